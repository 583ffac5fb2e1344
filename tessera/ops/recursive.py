"""`op.recursive`: a function applied to its own result a fixed number of times."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError

# Up to here the steps are written out; a loop would be compiled anew at every call outside jit.
MAX_UNROLLED = 8

Step = Callable[[Any], Any]


def recursive(
    fn: Step,
    depth: int,
    *,
    until: Callable[[Any], Any] | None = None,
    checkpoint: bool = False,
    bounded: bool = True,
) -> Step:
    """Returns the function that applies `fn` `depth` times: x, fn(x), fn(fn(x)), ...

    `fn` maps a pytree of arrays to one of the same structure, shapes and dtypes; depth 0 is the
    identity. `until(y)`, a scalar boolean, stops at the first y that satisfies it, x included;
    the steps after that are skipped, and every derivative is that of the steps taken.
    `bounded=False` runs such a recursion as a while loop, which has forward mode but no reverse
    mode (JAX raises when asked for it). `checkpoint=True` computes each step again in the
    backward instead of storing what it needs.

    Raises `E_GRAPH_INVALID` (a depth that is no non-negative integer, `fn` or `until` not callable,
    `until` not a scalar boolean, `bounded=False` without `until` or with `checkpoint`) and
    `E_SHAPE_MISMATCH` where `fn` changes a shape or dtype.

    >>> import jax.numpy as jnp
    >>> recursive(lambda y: 2 * y, depth=3)(jnp.array(1.0)).item()
    8.0
    >>> recursive(lambda y: 2 * y, depth=9, until=lambda y: y > 3)(jnp.array(1.0)).item()
    4.0
    """
    _check_arguments(fn, depth, until, checkpoint, bounded)
    step = _keeping_type(fn)
    step = jax.checkpoint(step) if checkpoint else step

    def recursion(x: Any) -> Any:
        x = _strong(x)
        if depth == 0:
            return x
        if until is None:
            return _repeat(step, depth, x)
        _check_predicate(until, x)
        run = _repeat_until if bounded else _while_not
        return run(step, depth, until, x)

    return recursion


def _repeat(step: Step, depth: int, x: Any) -> Any:
    if depth > MAX_UNROLLED:
        return jax.lax.scan(lambda y, _: (step(y), None), x, None, length=depth)[0]
    for _ in range(depth):
        x = step(x)
    return x


def _repeat_until(step: Step, depth: int, until: Callable[[Any], Any], x: Any) -> Any:
    def advance(carry: tuple[Any, jax.Array], _: None) -> tuple[tuple[Any, jax.Array], None]:
        y, done = carry
        # A branch, not a select: a step beyond the end may be infinite, and so its derivative.
        y = jax.lax.cond(done, lambda z: z, step, y)
        return (y, done | until(y)), None

    return jax.lax.scan(advance, (x, until(x)), None, length=depth)[0][0]


def _while_not(step: Step, depth: int, until: Callable[[Any], Any], x: Any) -> Any:
    def unfinished(carry: tuple[Any, jax.Array]) -> jax.Array:
        y, taken = carry
        return (taken < depth) & ~until(y)

    def advance(carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        y, taken = carry
        return step(y), taken + 1

    return jax.lax.while_loop(unfinished, advance, (x, jnp.array(0)))[0]


def _check_arguments(fn: Any, depth: Any, until: Any, checkpoint: bool, bounded: bool) -> None:
    if not callable(fn):
        raise _invalid(f"fn is a {type(fn).__name__}, not a function")
    if not isinstance(depth, int) or isinstance(depth, bool) or depth < 0:
        raise _invalid(f"depth is {depth!r}, not a non-negative integer known before the call")
    if until is not None and not callable(until):
        raise _invalid(f"until is a {type(until).__name__}, not a function")
    if not bounded and until is None:
        raise _invalid("bounded=False has no meaning without until=")
    if not bounded and checkpoint:
        raise _invalid("checkpoint=True has no meaning with bounded=False, which has no backward")


def _keeping_type(fn: Step) -> Step:
    def step(y: Any) -> Any:
        found = _strong(fn(y))
        before, after = (_types(tree) for tree in (y, found))
        if jax.tree.structure(y) != jax.tree.structure(found) or before != after:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"recursive: fn maps {before} to {after}, but must keep structure, shapes and dtypes.",
            )
        return found

    return step


def _strong(tree: Any) -> Any:
    """Returns a pytree of arrays none of which is weakly typed: a loop keeps one type."""
    arrays = jax.tree.map(jnp.asarray, tree)
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), arrays)


def _types(tree: Any) -> list[str]:
    leaves = jax.tree.leaves(tree)
    return [f"{x.dtype}[{','.join(map(str, x.shape))}]" for x in leaves]


def _check_predicate(until: Callable[[Any], Any], x: Any) -> None:
    found = jax.tree.leaves(jax.eval_shape(until, x))
    if len(found) != 1 or found[0].shape != () or found[0].dtype != jnp.bool_:
        raise _invalid(f"until gives {_types(found)}, not one scalar boolean")


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"recursive: {problem}.")
