"""`op.recursive_mixture`: one gated mixture of functions, applied again and again."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer, to_array

Function = Callable[[jax.Array], jax.Array]


def recursive_mixture(experts: Sequence[Function], depth: int, *, gate: Any = None) -> Function:
    """Returns a function that applies y -> sum_e g_e expert_e(y) `depth` times.

    `gate` are logits (experts,), of which g is the softmax; None gives every expert the same weight. Every
    expert keeps the shape and dtype of its input, and sees all of it. `depth` is known before the call, and 0
    gives the identity. Terms are added in the order of the list, in at least fp32. Raises `E_GRAPH_INVALID`
    for an empty list, what is no function or a negative depth, `E_SHAPE_MISMATCH` for logits that do not fit
    or an expert that changes the shape.

    >>> import jax.numpy as jnp
    >>> recursive_mixture([lambda y: 2 * y, lambda y: 4 * y], depth=2)(jnp.array([1.0])).tolist()
    [9.0]
    """
    functions = _checked_functions(experts)
    count = as_integer("recursive_mixture", "depth", depth)
    if count < 0:
        raise _invalid(f"depth is {count}, not at least 0")
    logits = (
        jnp.zeros(len(functions)) if gate is None else to_array("recursive_mixture", "gate", gate)
    )
    if logits.shape != (len(functions),):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"recursive_mixture: gate has shape {logits.shape}; one logit for each of "
            f"{len(functions)} experts.",
        )

    def step(y: jax.Array) -> jax.Array:
        wide = numerics.accumulator(y.dtype)
        weights = jax.nn.softmax(logits.astype(numerics.wider(wide, logits.dtype))).astype(wide)
        total = jnp.zeros(y.shape, wide)
        for e, expert in enumerate(functions):
            found = expert(y)
            if found.shape != y.shape or found.dtype != y.dtype:
                raise CompileError(
                    Code.E_SHAPE_MISMATCH,
                    f"recursive_mixture: expert {e} maps {y.dtype}{list(y.shape)} to "
                    f"{found.dtype}{list(found.shape)}, but must keep shape and dtype.",
                )
            total = total + weights[e] * found.astype(wide)
        return total.astype(y.dtype)

    def mixture(x: Any) -> jax.Array:
        y = to_array("recursive_mixture", "x", x)
        y = jax.lax.convert_element_type(y, y.dtype)  # a loop keeps one type, so none that is weak
        return jax.lax.scan(lambda y, _: (step(y), None), y, None, length=count)[0]

    return mixture


def _checked_functions(experts: Any) -> list[Function]:
    if not isinstance(experts, list | tuple) or not experts:
        raise _invalid("experts must be a list of at least one function")
    other = next((i for i, f in enumerate(experts) if not callable(f)), None)
    if other is not None:
        raise _invalid(f"experts[{other}] is a {type(experts[other]).__name__}, not a function")
    return list(experts)


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"recursive_mixture: {problem}.")
