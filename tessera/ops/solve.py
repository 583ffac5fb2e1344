"""`op.solve` and `op.fixed_point`: what an equation determines, differentiated by that equation.

    solve        A x = b          dx = A^-1 (db - dA x)
    fixed_point  x = f(x)         dx = (I - df/dx)^-1 df

The iterations are never differentiated: `jax.lax.custom_linear_solve` and `jax.lax.custom_root` carry the
rules on the right, so memory does not grow with their number, and the derivative is that of the solution.
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import jax.scipy.sparse.linalg
import numpy as np
from jax import lax
from jax.core import Tracer

from tessera.core import numerics
from tessera.core.errors import Code, CompileError, TesseraWarning
from tessera.core.operands import as_integer, as_number, share_varying_axes, to_array
from tessera.core.precision import require_one_dtype

AUTO = "auto"
DIRECT = {"lu": "gen", "cholesky": "pos"}
ITERATIVE = ("cg", "gmres")
METHODS = (AUTO, *DIRECT, *ITERATIVE)
RESTART = 20  # GMRES keeps so many vectors
SLACK = 10.0  # rounding leaves a true residual somewhat above that of the recurrence
TANGENT_STEPS = 20 * RESTART


def solve(
    A_or_matvec: Any,
    b: Any,
    *,
    x0: Any = None,
    method: str = AUTO,
    tol: float = 1e-5,
    max_iter: int = 1000,
) -> Any:
    """Returns x with A x = b.

    A is a matrix (..., n, n), with b (..., n) or (..., n, m), or a linear function of what b is, any pytree
    of arrays. `method` is
      lu, cholesky   for a matrix; cholesky for a Hermitian positive definite one
      gmres, cg      for a function or one matrix (n, n); cg for a Hermitian positive definite one
      auto           lu for a matrix, gmres for a function
    The iterations start at `x0` (default 0) and end at |b - A x| <= tol |b| or after `max_iter`. If the
    residual is then above 10 tol |b| (rounding adds to it), a `TesseraWarning` says so, under `jit` when the
    program runs, and x is what was reached. A singular matrix gives inf or NaN.

    Gradients are those of the solution, for b and for A or whatever the function closes over, by one more
    solution with the transpose; x0 has none. bf16 and fp16 matrices are solved in fp32. A program that can
    warn calls back to Python, which `jax.export` does not save; with lu and cholesky it can be. Inside
    `jax.shard_map` gmres needs `check_vma=False` (JAX's own does).

    Raises `E_GRAPH_INVALID` for another method or one that does not go with A, `E_SHAPE_MISMATCH` if b does
    not fit.

    >>> import jax.numpy as jnp
    >>> solve(jnp.array([[2.0, 0.0], [1.0, 1.0]]), jnp.array([4.0, 5.0])).round(4).tolist()
    [2.0, 3.0]
    >>> solve(lambda x: 2.0 * x, jnp.array([4.0, 5.0]), method="cg").round(4).tolist()
    [2.0, 2.5]
    """
    if method not in METHODS:
        raise _invalid("solve", f"unknown method {method!r}; one of {', '.join(METHODS)}")
    if callable(A_or_matvec):
        if method in DIRECT:
            raise _invalid("solve", f"{method!r} needs a matrix, not a function", "method='gmres'")
        kind = "gmres" if method == AUTO else method
        return _iterated(A_or_matvec, _tree("solve", "b", b), x0, kind, tol, max_iter)
    a, right = _matrix(A_or_matvec), _inexact("solve", "b", b)
    vector = right.shape == a.shape[:-1]
    if not vector and (right.ndim != a.ndim or right.shape[:-1] != a.shape[:-1]):
        raise _mismatch("solve", f"A has shape {a.shape} but b {right.shape}")
    require_one_dtype("solve", [a, right])
    common = numerics.wider(a.dtype, right.dtype)
    wide = numerics.accumulator(common)
    a, right = a.astype(wide), right.astype(wide)
    if method in ITERATIVE:
        if a.ndim != 2:
            raise _mismatch("solve", f"{method!r} takes one matrix, not A of shape {a.shape}")
        start = None if x0 is None else jnp.asarray(x0).astype(wide)
        return _iterated(lambda x: a @ x, right, start, method, tol, max_iter).astype(common)
    one = functools.partial(_direct, assume_a=DIRECT["lu" if method == AUTO else method])
    for _ in range(a.ndim - 2):
        one = jax.vmap(one)
    return one(a, right).astype(common)


def fixed_point(f: Callable[[Any], Any], x0: Any, *, tol: float = 1e-6, max_iter: int = 100) -> Any:
    """Returns x with x = f(x), reached by iterating f from x0.

    x0 is an array or a pytree of them; f keeps its structure, shapes and dtypes. The iteration ends once f
    moves no element by more than `tol max(1, largest element)`, or after `max_iter` steps; then a
    `TesseraWarning` says by how much it still moved, under `jit` when the program runs, and x is what was
    reached.

    Gradients, for whatever f closes over, are those of the fixed point, by the implicit function theorem
    (GMRES on I - df/dx); x0 has none. They are as exact as x is. A program with a fixed point calls back to
    Python, which `jax.export` does not save; inside `jax.shard_map` it needs `check_vma=False` (JAX's GMRES).

    Raises `E_GRAPH_INVALID` if f is no function, `E_SHAPE_MISMATCH` if it does not keep what x0 is.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> def root(a):
    ...     return fixed_point(lambda x: (x + a / x) / 2, jnp.array(1.0))
    >>> root(4.0).round(4).item(), jax.grad(root)(4.0).round(4).item()
    (2.0, 0.25)
    """
    if not callable(f):
        raise _invalid("fixed_point", f"f is a {type(f).__name__}, not a function")
    bound, most = _limits("fixed_point", tol, max_iter)
    start = _tree("fixed_point", "x0", x0)
    _require_kept("fixed_point", "f", f, start)
    x, (moved, allowed) = lax.custom_root(
        lambda x: _minus(x, f(x)),
        lax.stop_gradient(start),
        lambda _, start: _repeated(f, start, bound, most),
        _tangent_solve,
        has_aux=True,
    )
    _warn_above(
        "fixed_point", f"x has not settled within {most} steps: f moves it by", moved, allowed
    )
    return x


def _repeated(f: Callable[[Any], Any], start: Any, bound: float, most: int) -> Any:
    """Returns x after enough steps, with its last move and the one allowed."""

    def step(state: Any) -> Any:
        x, _, _, count = state
        y = f(x)
        moved, size = _moved(x, y)
        return y, moved, bound * size, count + 1

    def unfinished(state: Any) -> Any:
        _, moved, allowed, count = state
        return (count < most) & (moved > allowed)  # a NaN ends it: no step would cure it

    x, moved, allowed, _ = lax.while_loop(unfinished, step, step((start, None, None, 0)))
    return x, (moved, allowed)


def _tangent_solve(linear: Callable[[Any], Any], right: Any) -> Any:
    eps = float(jnp.finfo(_common(right)).eps)
    return _by_iteration("gmres", linear, right, None, SLACK * eps, TANGENT_STEPS)


def _by_iteration(
    method: str, matvec: Callable[[Any], Any], b: Any, x0: Any, tol: float, most: int
) -> Any:
    """Returns x with matvec(x) = b; its rules make it linear in b, which JAX's own solvers are only nearly.

    The system is that of one vector: `custom_linear_solve` cannot be transposed for a part of its leaves.
    """
    if method == "cg":
        run = functools.partial(jax.scipy.sparse.linalg.cg, tol=tol, maxiter=most)
    else:
        restart = min(RESTART, most)
        rounds = -(-most // restart)
        run = functools.partial(
            jax.scipy.sparse.linalg.gmres, tol=tol, restart=restart, maxiter=rounds
        )
    right = _as_vector(b, _common(b))
    if right.size == 0:  # nothing to solve for, and JAX's GMRES takes no empty vector
        return b
    start = None
    if x0 is not None:
        start, right = share_varying_axes([_as_vector(x0, right.dtype), right])
    found = lax.custom_linear_solve(
        lambda v: _as_vector(matvec(_as_tree(v, b)), v.dtype),
        right,
        solve=lambda along, right: run(along, right, x0=start)[0],
        transpose_solve=lambda back, ct: run(back, ct)[0],
        symmetric=method == "cg",
    )
    return _as_tree(found, b)


def _common(tree: Any) -> Any:
    """Returns the dtype in which all leaves can be computed: at least fp32."""
    kinds = [numerics.accumulator(x.dtype) for x in jax.tree.leaves(tree)]
    return functools.reduce(numerics.wider, kinds)


def _as_vector(tree: Any, dtype: Any) -> jax.Array:
    leaves = share_varying_axes([x.astype(dtype).ravel() for x in jax.tree.leaves(tree)])
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves)


def _as_tree(vector: jax.Array, like: Any) -> Any:
    leaves, structure = jax.tree.flatten(like)
    first, found = 0, []
    for leaf in leaves:
        part = vector[first : first + leaf.size].reshape(leaf.shape)
        first += leaf.size
        part = part if jnp.iscomplexobj(leaf) else jnp.real(part)
        found.append(part.astype(leaf.dtype))
    return structure.unflatten(found)


def _moved(x: Any, y: Any) -> tuple[jax.Array, jax.Array]:
    """Returns the largest difference, and the larger of 1 and the largest element."""
    moved = [_largest(b - a) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True)]
    sizes = [_largest(b) for b in jax.tree.leaves(y)]
    moved, sizes = share_varying_axes(moved), share_varying_axes(sizes)
    size = functools.reduce(jnp.maximum, sizes)
    return functools.reduce(jnp.maximum, moved), jnp.maximum(size, jnp.ones_like(size))


def _largest(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.abs(x), initial=0).astype(_real(x.dtype))


def _real(dtype: Any) -> Any:
    """Returns the dtype all norms are compared in."""
    return jnp.float64 if jnp.finfo(dtype).bits == 64 else jnp.float32


def _minus(x: Any, y: Any) -> Any:
    return jax.tree.map(jnp.subtract, x, y)


def _direct(a: jax.Array, b: jax.Array, *, assume_a: str) -> jax.Array:
    return jax.scipy.linalg.solve(a, b, assume_a=assume_a)


def _iterated(
    matvec: Callable[[Any], Any], b: Any, x0: Any, method: str, tol: float, max_iter: int
) -> Any:
    bound, most = _limits("solve", tol, max_iter)
    _require_kept("solve", "the function", matvec, b)
    start = None if x0 is None else lax.stop_gradient(_tree("solve", "x0", x0))
    if start is not None and _types(start) != _types(b):
        raise _mismatch("solve", f"x0 is {_shown(start)} but b {_shown(b)}")
    x = _by_iteration(method, matvec, b, start, bound, most)
    left = _length(lax.stop_gradient(_minus(b, matvec(lax.stop_gradient(x)))))
    size = _length(lax.stop_gradient(b))
    _warn_above("solve", f"{method} has not converged: |b - A x| is", left, SLACK * bound * size)
    return x


def _length(x: Any) -> jax.Array:
    squares = [jnp.sum(jnp.square(jnp.abs(v)).astype(_real(v.dtype))) for v in jax.tree.leaves(x)]
    return jnp.sqrt(functools.reduce(jnp.add, share_varying_axes(squares)))


def _warn_above(op: str, problem: str, found: jax.Array, bound: jax.Array) -> None:
    """Warns if a residual is above a bound or NaN, from the running program where there is one."""
    found, bound = lax.stop_gradient((found, bound))
    warn = functools.partial(_warn, op, problem)
    if isinstance(found, Tracer) or isinstance(bound, Tracer):
        jax.debug.callback(warn, found, bound)
    else:
        warn(found, bound)


def _warn(op: str, problem: str, found: Any, bound: Any) -> None:
    left, limit = np.broadcast_arrays(np.asarray(found), np.asarray(bound))
    for one, allowed in zip(left.ravel(), limit.ravel(), strict=True):
        if not one <= allowed:
            text = f"{op}: {problem} {one:.3g}, above {allowed:.3g}."
            warnings.warn(text, TesseraWarning, stacklevel=4)


def _limits(op: str, tol: Any, max_iter: Any) -> tuple[float, int]:
    bound, most = as_number(op, "tol", tol), as_integer(op, "max_iter", max_iter)
    if bound < 0 or most < 1:
        raise _invalid(op, f"tol is {tol} and max_iter {max_iter}, not at least 0 and 1")
    return bound, most


def _require_kept(op: str, name: str, f: Callable[[Any], Any], x: Any) -> None:
    """Raises unless a function returns what it gets: structure, shapes and dtypes."""
    found = jax.eval_shape(f, x)
    if _types(found) != _types(x):
        raise _mismatch(op, f"{name} makes {_shown(found)} of {_shown(x)}")


def _types(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(x.shape, x.dtype) for x in leaves]


def _shown(tree: Any) -> str:
    shown = jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", tree)
    return shown if isinstance(shown, str) else str(shown).replace("'", "")


def _tree(op: str, name: str, tree: Any) -> Any:
    """Returns a pytree of arrays, float or complex."""
    arrays = jax.tree.map(lambda x: _inexact(op, name, x), tree)
    if not jax.tree.leaves(arrays):
        raise _invalid(op, f"{name} holds no array")
    return arrays


def _inexact(op: str, name: str, x: Any) -> jax.Array:
    array = to_array(op, name, x)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{op}: argument {name!r} is {array.dtype}, neither float nor complex.",
            hints=f"{name}.astype(...)",
        )
    # Weakly typed, a number would become what it is added to, and a loop keeps its types.
    return lax.convert_element_type(array, array.dtype) if array.weak_type else array


def _matrix(x: Any) -> jax.Array:
    a = _inexact("solve", "A", x)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise _mismatch("solve", f"A has shape {a.shape}, not that of a square matrix")
    return a


def _invalid(op: str, problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hint or ())


def _mismatch(op: str, problem: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"{op}: {problem}.")
