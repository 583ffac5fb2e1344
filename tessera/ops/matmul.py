"""`op.matmul`: matrix product with a fused epilogue: + bias, activation, + residual."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.jet import jet

from tessera.core import numerics
from tessera.core.activations import ACTIVATIONS
from tessera.core.epilogue import parse_epilogue
from tessera.core.errors import Code, CompileError
from tessera.core.keywords import as_precision
from tessera.core.op import Residuals, Sample, define_op
from tessera.core.operands import as_integer, to_array
from tessera.core.redundancy import computed_twice

# A bias or residual keeps its own dtype: it meets the product in the accumulation dtype.
NUMBERS = ("number", "number", "~number", "~number")


@define_op("*b m k, [*b] k n, [n], [*b m n] -> *b m n", kinds=NUMBERS)
def matmul(
    A: jax.Array,
    B: jax.Array,
    bias: jax.Array | None = None,
    residual: jax.Array | None = None,
    *,
    activation: str | None = None,
    accumulate: Any = jnp.float32,
    out_dtype: Any = None,
    precision: str | None = None,
    tile_shape: tuple[int, int, int] | None = None,
) -> jax.Array:
    """Returns activation(A @ B + bias) + residual.

    A is (..., m, k) and B is (..., k, n); leading axes broadcast and one-dimensional operands act as in
    `jnp.matmul`. Operands of different dtypes are promoted to their common dtype.

    `epilogue` names what follows the product, in this order and no other: a string of words joined by
    underscores, such as "bias", "relu", "bias_silu_residual", or a dict such as `{"add_bias": True,
    "bias": c, "activation": "silu", "add_residual": True, "residual": r}`. `bias` is (n,), `residual` has
    the shape of the result; each may be a keyword or in the dict, and is simply added when there is no
    `epilogue`. Activations: relu, gelu, silu, tanh, sigmoid. `accumulate` is the dtype of the sum over k
    and of the epilogue, never narrower than the operands; `out_dtype` that of the result (default: the
    promoted operand dtype). `precision` is the dtype A and B are computed in: bf16, fp16, fp32, fp64, or
    tf32, which is fp32 rounded to 10 bits of mantissa where the backend multiplies so and fp32 elsewhere.
    Without it fp32 operands are multiplied as the backend likes, which is TF32 on recent GPUs; "fp32"
    forbids that. `tile_shape=(BM, BN, BK)` is a hint for the tile program: its blocks of rows, columns and
    of the sum.

    `deterministic` is the determinism level of this call, D0 to D4 (see `numerics.deterministic`). From D2 on
    rows, columns and the sum over k are computed in tiles of fixed shape; in D4 products are exact: operands
    are split into slices of few bits, whose integer products are added up exactly, in any order.

    `redundant=True` computes the product twice and raises `E_DRIVER`, with both digests, unless the bits are
    equal: the device is at fault then. Under `jit` the error comes when the program runs (see `ts.checks`).

    Raises `E_SHAPE_MISMATCH` if k, m, n or the leading axes differ; `E_GRAPH_INVALID` for an unknown or
    misplaced epilogue word, a missing or unused bias or residual, an activation of integers, a `scale`,
    which needs the fp8 policy, and an `error_tolerance`, which `op.factorized_matmul` bounds.

    >>> import jax.numpy as jnp
    >>> matmul(jnp.ones((2, 3)), jnp.ones((3, 2)), epilogue="bias_relu", bias=jnp.array([-4.0, 1.0]))
    Array([[0., 4.],
           [0., 4.]], dtype=float32)
    """
    del tile_shape  # of the tile program alone
    z = _before_activation(A, B, bias, accumulate, precision)
    return _finish(z, residual, activation, out_dtype or A.dtype)


@matmul.def_forward(saves="*b m n")
def _forward(
    a: jax.Array,
    b: jax.Array,
    bias: jax.Array | None,
    residual: jax.Array | None,
    *,
    activation: str | None,
    accumulate: Any,
    out_dtype: Any,
    precision: str | None,
    tile_shape: tuple[int, int, int] | None,
) -> tuple[jax.Array, jax.Array]:
    del tile_shape
    z = _before_activation(a, b, bias, accumulate, precision)
    return _finish(z, residual, activation, out_dtype or a.dtype), z


@matmul.def_vjp
def _backward(
    res: Residuals,
    ct: jax.Array,
    *,
    activation: str | None,
    accumulate: Any,
    precision: str | None,
    **_statics: Any,
):
    a, b, bias, residual = res.operands
    (z,) = res.saved
    dz = ct.astype(z.dtype)
    if activation is not None:
        _, pullback = jax.vjp(ACTIVATIONS[activation], z)
        (dz,) = pullback(dz)
    narrow = dz.astype(a.dtype)  # both products run at the operands' own speed
    da = _product(narrow, jnp.swapaxes(b, -1, -2), accumulate, precision)
    if b.ndim == 2:
        rows = tuple(range(a.ndim - 1))
        db = jnp.tensordot(
            a, narrow, (rows, rows), precision=precision, preferred_element_type=dz.dtype
        )
    else:
        db = _product(jnp.swapaxes(a, -1, -2), narrow, accumulate, precision)
    dbias = None if bias is None else jnp.sum(dz, axis=tuple(range(dz.ndim - 1)))
    return da, db, dbias, None if residual is None else ct


@matmul.def_taylor
def _taylor(
    operands: Sequence[Any],
    series: Sequence[Any],
    *,
    activation: str | None,
    accumulate: Any,
    out_dtype: Any,
    precision: str | None,
    **_statics: Any,
) -> tuple[jax.Array, list[jax.Array]]:
    """The coefficients of A B: sums of products of those of A and B, none with one that is zero."""
    a, b, bias, residual = operands
    order = next(len(terms) for terms in series if terms is not None)
    of_a, of_b, of_bias, of_residual = (terms or [None] * order for terms in series)
    left, right = [a, *of_a], [b, *of_b]
    z = _before_activation(a, b, bias, accumulate, precision)

    def before_activation(k: int) -> jax.Array:
        pairs = zip(left[: k + 1], reversed(right[: k + 1]), strict=True)
        both = [(x, y) for x, y in pairs if x is not None and y is not None]
        products = [_product(x, y, accumulate, precision) for x, y in both]
        return _total([*products, of_bias[k - 1]], z)

    curve = [before_activation(k) for k in range(1, order + 1)]
    if activation is not None:
        _, curve = jet(ACTIVATIONS[activation], (z,), (curve,), factorial_scaled=False)
    kind = out_dtype or a.dtype
    found = [
        _total([y, extra], z).astype(kind) for y, extra in zip(curve, of_residual, strict=True)
    ]
    return _finish(z, residual, activation, kind), found


def _total(terms: Sequence[jax.Array | None], like: jax.Array) -> jax.Array:
    """Returns the sum of what there is, in the shape and dtype of an array."""
    there = [jnp.broadcast_to(x.astype(like.dtype), like.shape) for x in terms if x is not None]
    return sum(there[1:], there[0]) if there else jnp.zeros_like(like)


def _product(a: jax.Array, b: jax.Array, accumulate: Any, precision: str | None) -> jax.Array:
    if not jnp.issubdtype(a.dtype, jnp.floating):
        return jnp.matmul(a, b)
    total = numerics.wider(accumulate, a.dtype)
    return jnp.matmul(a, b, precision=precision, preferred_element_type=total)


def _before_activation(
    a: jax.Array, b: jax.Array, bias: jax.Array | None, accumulate: Any, precision: str | None
) -> jax.Array:
    z = _product(a, b, accumulate, precision)
    return z if bias is None else z + jnp.broadcast_to(bias.astype(z.dtype), z.shape)


def _finish(
    z: jax.Array, residual: jax.Array | None, activation: str | None, out_dtype: Any
) -> jax.Array:
    y = z if activation is None else ACTIVATIONS[activation](z)
    if residual is not None:
        y = y + residual.astype(y.dtype)
    return y.astype(out_dtype)


@matmul.def_call
def matmul(
    A: jax.Array,
    B: jax.Array,
    *,
    epilogue: str | Mapping[str, Any] | None = None,
    bias: jax.Array | None = None,
    residual: jax.Array | None = None,
    tile_shape: Sequence[int] | None = None,
    accumulate: Any = "fp32",
    out_dtype: Any = None,
    precision: Any = None,
    scale: str | None = None,
    redundant: bool = False,
    error_tolerance: float | None = None,
    deterministic: Any = None,
) -> jax.Array:
    if scale is not None or error_tolerance is not None:
        raise _not_offered(scale)
    activation, bias, residual = parse_epilogue(epilogue, bias, residual, _invalid)
    a, b = to_array("matmul", "A", A), to_array("matmul", "B", B)
    if a.ndim == 0 or b.ndim == 0:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"matmul: A has shape {a.shape} and B {b.shape}; a scalar has no axis to contract.",
            hints="A * B",
        )
    row, column = a.ndim == 1, b.ndim == 1
    if (row or column) and (bias is not None or residual is not None):
        raise _invalid("an epilogue with a bias or residual needs matrices, not vectors")
    product = numerics.wider(a.dtype, b.dtype)
    if activation is not None and not jnp.issubdtype(product, jnp.floating):
        raise _invalid(f"activation {activation!r} needs floats, not {product}")
    for name, x in (("bias", bias), ("residual", residual)):
        _require_fit(name, x, product)
    a, b = (a[None, :] if row else a), (b[:, None] if column else b)
    a, b = _broadcast_batch(a, b)
    total = numerics.dtype(accumulate, "matmul: accumulate")
    if not jnp.issubdtype(total, jnp.floating):
        raise _invalid(f"accumulate is {total}, not a float dtype")
    result = None if out_dtype is None else numerics.dtype(out_dtype, "matmul: out_dtype")
    products = None
    if precision is not None:
        a, b, products = _in_precision(a, b, product, precision)
        result = product if result is None else result
    statics = {
        "activation": activation,
        "accumulate": total,
        "out_dtype": result,
        "precision": products,
        "tile_shape": None if tile_shape is None else _blocks(tile_shape),
        "deterministic": deterministic,
    }
    if redundant:
        run = partial(matmul.bind, **statics)
        y = computed_twice("matmul", run, (a, b, bias, residual))
    else:
        y = matmul.bind(a, b, bias, residual, **statics)
    return jnp.squeeze(y, axis=(-2,) * row + (-1,) * column)


def _in_precision(
    a: jax.Array, b: jax.Array, product: Any, word: Any
) -> tuple[jax.Array, jax.Array, str | None]:
    """Returns operands in the dtype of a precision, and how their products are formed."""
    if not jnp.issubdtype(product, jnp.floating):
        raise _invalid(f"precision={word!r} is of floats, but the product is {product}")
    found = as_precision("matmul", word)
    return a.astype(found.dtype), b.astype(found.dtype), found.products


def _blocks(shape: Sequence[int]) -> tuple[int, int, int]:
    if not isinstance(shape, list | tuple) or len(shape) != 3:
        raise _invalid(f"tile_shape is {shape!r}, not (BM, BN, BK)")
    rows, columns, inner = (as_integer("matmul", "a size of tile_shape", x) for x in shape)
    if min(rows, columns, inner) < 1:
        raise _invalid(f"tile_shape is {tuple(shape)}, with a size below 1")
    return rows, columns, inner


def _require_fit(name: str, x: Any, product: Any) -> None:
    """Raises if a product of this dtype cannot hold what is added to it."""
    if x is None:
        return
    given = to_array("matmul", name, x).dtype
    kinds = (jnp.integer, jnp.floating, jnp.complexfloating)
    rank, allowed = (
        next((i for i, kind in enumerate(kinds) if jnp.issubdtype(d, kind)), 0)
        for d in (given, product)
    )
    if rank > allowed:
        raise _invalid(f"{name} is {given} but the product {product}, which cannot hold it")


def _broadcast_batch(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gives both operands the same leading axes; a two-dimensional B stays shared."""
    if b.ndim == 2 or a.shape[:-2] == b.shape[:-2]:
        return a, b
    try:
        lead = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"matmul: leading axes {a.shape[:-2]} of A and {b.shape[:-2]} of B do not broadcast. "
            f"Signature: {matmul.dims}.",
        ) from None
    return jnp.broadcast_to(a, lead + a.shape[-2:]), jnp.broadcast_to(b, lead + b.shape[-2:])


def _invalid(problem: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"matmul: {problem}. Signature: {matmul.dims}.")


def _not_offered(scale: str | None) -> CompileError:
    problem = "a product has no error_tolerance"
    fix = "op.factorized_matmul(A, B, rank=k, return_bound=True) gives the bound of its error"
    if scale is not None:
        problem = f"scale={scale!r} needs the fp8 policy, whose operands have scales"
        fix = "op.quantize(x) and op.dequantize(values, scales) scale by hand"
    return CompileError(Code.E_GRAPH_INVALID, f"matmul: {problem}.", hints=fix)


def _tile_pays(
    A: jax.Array, B: jax.Array, *_others: Any, activation: str | None, **_statics: Any
) -> bool:
    """Measured on an H100, bf16, with bias, gelu and residual: 1.06, 1.24 and 1.12 times XLA's speed.

    That was at 1024^3, 4096^3 and 8192^3; forward and backward 1.66 at 4096^3. Without an activation cuBLAS
    writes the rest itself, and its products alone are faster.
    """
    products = A.size * B.shape[-1]
    return activation is not None and A.dtype.itemsize == 2 and products >= 2**30


matmul.def_tile(platforms=("cuda", "rocm"), when=_tile_pays, splits="*b m n")

matmul.samples = (
    Sample((6, 5), (5, 4), None, None),
    Sample((2, 6, 5), (5, 4), (4,), (2, 6, 4), activation="silu"),
    Sample((2, 6, 5), (2, 5, 4), (4,), None, activation="gelu"),
)
