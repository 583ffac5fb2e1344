"""The matrix product in integers: the same bits on every device, mesh, batch and version.

After K. Ozaki, T. Ogita, S. Oishi, S. Rump, Error-free transformations of matrix multiplication by using
fast routines, Numerical Algorithms 59 (2012), and H. Ootomo, K. Ozaki, R. Yokota, DGEMM on integer matrix
multiplication unit (2024).

1. A row of `a` (a column of `b`) becomes integers below 2^P times one power of two, taken from its largest
   entry; P = 8 s - 2 for s slices.
2. An integer is s digits of base 256, each in [-128, 127]: int8.
3. Digits of equal weight are multiplied as one int8 matrix product with int32 sums. Nothing rounds, so the
   compiler may tile it and split it over devices as it likes.
4. The sums are added with their weights into one long integer, which is rounded once, to nearest even.

No step computes in floats: their bits are read and put together as integers. So what a platform does with
subnormals, or with a multiply and an add in a row, cannot show.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from tessera.core import compat, numerics
from tessera.core.errors import Code, CompileError
from tessera.core.operands import to_array

# Six bits or more beyond the dtype's own, for entries smaller than the largest of their row.
SLICES = {
    "float64": 8,
    "float32": 4,
    "float16": 3,
    "bfloat16": 3,
    "float8_e4m3fn": 3,
    "float8_e5m2": 3,
}
DIGIT = 8
# An int32 holds this many products of two digits and a carry of as many bits as remain.
TERMS = 1 << 16
MAX_CHUNKS = 1 << 14
# Up to so many rows, or columns, one product with zeros among the digits beats seven without: it reads the
# larger operand once, and XLA:CPU has no kernel for a vector of int8.
THIN = 32
# XLA:CPU takes the maximum of neighbours one by one; of vectors it takes it 15 times faster.
LANES = 32


@dataclass(frozen=True)
class Format:
    """A float of `width` bits, `mantissa` of them significant (the leading one is not stored)."""

    width: int
    mantissa: int

    @property
    def signed(self) -> np.dtype:
        """The signed integers of as many bits."""
        return jnp.dtype(f"int{self.width}")

    @property
    def unsigned(self) -> np.dtype:
        """The unsigned integers of as many bits."""
        return jnp.dtype(f"uint{self.width}")

    @property
    def special(self) -> int:
        """The exponent field of infinities and NaN."""
        return (1 << (self.width - self.mantissa)) - 1

    @property
    def bias(self) -> int:
        """The exponent field of 1."""
        return self.special >> 1


FORMATS = {"float32": Format(32, 24), "float64": Format(64, 53)}


def exact_product(a: Any, b: Any) -> jax.Array:
    """Returns the matrix product, summed exactly and rounded once, with the same bits everywhere.

    Shapes: a (*b, m, k), b (*b, k, n) or (k, n), result (*b, m, n). Operands are floats; the result has the
    dtype that products of theirs accumulate in (float32, or float64 if one is float64). An entry depends on
    its row of `a` and its column of `b` alone: not on m, n, the batch, the backend, the mesh or how the
    operands lie on it. Inside `shard_map` this holds for a contracted axis that is whole in each shard.

    Accuracy. Let A be the power of two above the largest entry of a row, B that of a column. Entries count
    as rounded to multiples of A 2^-P: P is 30 for float32, 62 for float64, 22 for the narrower ones. With p
    significant bits this changes no entry of at least A 2^(p - 1 - P), which is A 2^-7 for float32 and
    A 2^-15 for bfloat16, and then the result is the correctly rounded product. In general it differs from
    the exact sum by at most half a unit in the last place and 2^(-P - 1) (A sum|b| + B sum|a|) + k A B
    2^(-2 P - 2).

    Infinities and NaN give what IEEE 754 says of the sum, and every NaN is the same one. Subnormal operands
    count as 0, and results that round to less than the least normal number are 0. The sum 0 is +0.

    It has no derivative: `jax.grad` takes it for a constant. Under `vmap` over either operand, infinities
    cost one product more. Raises `E_SHAPE_MISMATCH`, and `E_TARGET_CODEGEN` for other dtypes.

    >>> import jax.numpy as jnp
    >>> a = jnp.array([[2.0**24, 1.0, -(2.0**24)]])
    >>> exact_product(a, jnp.ones((3, 1))).item()
    1.0
    """
    a, b = to_array("exact_product", "a", a), to_array("exact_product", "b", b)
    _check(a, b)
    kinds = [jax.typeof(x) for x in (a, b)]
    if not any(map(compat.explicitly_sharded, kinds)):
        return _product(a, b)
    return compat.with_auto_axes(_product, _result_sharding(*kinds))(a, b)


def _check(a: jax.Array, b: jax.Array) -> None:
    for name, x in (("a", a), ("b", b)):
        if x.dtype.name not in SLICES:
            raise CompileError(
                Code.E_TARGET_CODEGEN,
                f"exact_product: argument {name!r} is {x.dtype.name}; one of {', '.join(SLICES)}.",
                hints="a product of complex numbers is four of its real and imaginary parts",
            )
    batches = a.shape[:-2], b.shape[:-2]
    if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2] or batches[1] not in ((), batches[0]):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"exact_product: a is {a.shape} and b is {b.shape}. "
            "Signature: *b m k, *b k n -> *b m n or *b m k, k n -> *b m n.",
        )
    slices = min(SLICES[a.dtype.name], SLICES[b.dtype.name])
    if a.shape[-1] > MAX_CHUNKS * (TERMS // slices):
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"exact_product: k is {a.shape[-1]}, more than {MAX_CHUNKS * (TERMS // slices)}.",
            hints="split the contracted axis and add the products",
        )


def _result_sharding(a: Any, b: Any) -> NamedSharding:
    """Returns where the result of operands of these types lies: rows as in a, columns as in b."""
    of_a, of_b = (list(x.sharding.spec) + [None] * (x.ndim - len(x.sharding.spec)) for x in (a, b))
    batch = of_b[:-2] or [None] * (a.ndim - 2)
    wanted = [x if x is not None else y for x, y in zip(of_a[:-2], batch, strict=True)]
    spec, taken = list[Any](), set[str]()
    for entry in (*wanted, of_a[-2], of_b[-1]):
        axes = set(entry if isinstance(entry, tuple) else () if entry is None else (entry,))
        spec.append(None if axes & taken else entry)
        taken |= axes
    mesh = (a if compat.explicitly_sharded(a) else b).sharding.mesh
    return NamedSharding(mesh, PartitionSpec(*spec))


@jax.jit
def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    slices = SLICES[a.dtype.name], SLICES[b.dtype.name]
    dtype = numerics.wider(*(numerics.accumulator(x.dtype) for x in (a, b)))
    form = FORMATS[dtype.name]
    a, b = a.astype(dtype), b.astype(dtype)
    rows, row_scale = _digits(a, a.ndim - 1, slices[0], form)
    columns, column_scale = _digits(b, b.ndim - 2, slices[1], form)
    column_scale = lax.expand_dims(column_scale, range(a.ndim - b.ndim))
    columns = lax.rev(columns, (b.ndim - 2,))
    # Seven products read the digits: without the barrier each would work them out for itself.
    rows, columns = lax.optimization_barrier((rows, columns))
    sums = _sums_of_long(rows, columns)
    point = row_scale + column_scale + (2 - form.bias - sum(map(_integer_bits, slices)))
    finite = lax.bitcast_convert_type(_rounded(sums, point, form), dtype)
    unusual = [scale == form.special for scale in (row_scale, column_scale)]
    return lax.cond(
        jnp.any(unusual[0]) | jnp.any(unusual[1]),
        lambda: jnp.where(unusual[0] | unusual[1], _of_kinds(a, b), finite),
        lambda: finite,
    )


def _integer_bits(slices: int) -> int:
    """Returns P: the leading digit has a bit for the sign and one that the digits below may carry into."""
    return DIGIT * slices - 2


def _digits(x: jax.Array, axis: int, slices: int, form: Format) -> tuple[jax.Array, jax.Array]:
    """Returns the digits of fixed-point entries on a new axis, the first first, and their exponents.

    The new axis stands before `axis`, along which entries share the exponent field of the largest; there
    the exponents have size 1. An infinity or NaN makes that field `form.special`.
    """
    bits = lax.bitcast_convert_type(x, form.unsigned)
    stored = form.mantissa - 1
    fields = ((bits >> stored) & form.special).astype(jnp.int32)
    scale = _largest(fields, axis)
    leading = form.unsigned.type(1 << stored)
    integer = jnp.where(fields > 0, (bits & (leading - 1)) | leading, 0)
    shift = _integer_bits(slices) - form.mantissa - (scale - fields)
    left = jnp.maximum(shift, 0).astype(form.unsigned)
    right = jnp.clip(-shift, 0, form.width - 1).astype(form.unsigned)
    half = (form.unsigned.type(1) << right) >> 1
    integer = lax.bitcast_convert_type(((integer << left) + half) >> right, form.signed)
    integer = jnp.where((bits >> (form.width - 1)) > 0, -integer, integer)
    return _balanced(integer, axis, slices, form), scale


def _largest(fields: jax.Array, axis: int) -> jax.Array:
    *before, length = fields.shape
    if axis == len(before) and length % LANES == 0:
        lanes = fields.reshape(*before, length // LANES, LANES)
        fields = jnp.max(lanes, axis=-2, initial=0)
    return jnp.max(fields, axis=axis, keepdims=True, initial=0)


def _balanced(integer: jax.Array, axis: int, slices: int, form: Format) -> jax.Array:
    """Returns digits in [-128, 127] of base 256, most significant first, on a new axis before `axis`."""
    # Adding 128 to every byte but the first makes the bytes those digits plus 128.
    offset = form.signed.type(sum(1 << (DIGIT * i + DIGIT - 1) for i in range(slices - 1)))
    digits = jnp.expand_dims((integer + offset) ^ offset, axis)
    shape = (slices,) + (1,) * (integer.ndim - axis)
    before = [form.width - DIGIT * (slices - i) for i in range(slices)]
    left = np.array(before, form.signed).reshape(shape)
    left = jnp.broadcast_to(left, digits.shape[:axis] + shape)
    return ((digits << left) >> (form.width - DIGIT)).astype(jnp.int8)


def _sums_of_long(rows: jax.Array, columns: jax.Array) -> list[jax.Array]:
    """Returns the sums of `_sums` for a contracted axis of any length, each less than 2^31 - 2^24."""
    terms = TERMS // min(rows.shape[-2], columns.shape[-3])
    length = rows.shape[-1]
    if length <= terms:
        return _sums(rows, columns)
    rest = -length % terms
    rows, columns = _padded(rows, -1, rest), _padded(columns, -2, rest)

    def halves(chunk: Any) -> list[tuple[jax.Array, jax.Array]]:
        start = chunk * terms
        parts = [
            lax.dynamic_slice_in_dim(x, start, terms, x.ndim + axis)
            for x, axis in ((rows, -1), (columns, -2))
        ]
        return [(total >> 16, total & 0xFFFF) for total in _sums(*parts)]

    def add(chunk: Any, total: Any) -> Any:
        return jax.tree.map(lax.add, total, halves(chunk))

    total = lax.fori_loop(1, (length + rest) // terms, add, halves(0))
    # The upper halves weigh as much as the digits two places before.
    upper, lower = ([half[i] for half in total] for i in (0, 1))
    middle = [u + w for u, w in zip(upper[2:], lower[:-2], strict=True)]
    return [*upper[:2], *middle, *lower[-2:]]


def _padded(x: jax.Array, axis: int, count: int) -> jax.Array:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, count)
    return jnp.pad(x, widths)


def _sums(rows: jax.Array, columns: jax.Array) -> list[jax.Array]:
    """Returns the sums of products of digits of equal weight, the heaviest first.

    Shapes: rows (*b, m, s, k), columns (*b, t, k, n) or (t, k, n), whose digits come last first.
    """
    batch = columns.ndim - 3
    m, n = math.prod(rows.shape[batch:-2]), columns.shape[-1]
    s, t = rows.shape[-2], columns.shape[-3]
    if min(m, n) > THIN:
        return [_sum_of_weight(rows, columns, weight) for weight in range(s + t - 1)]
    if m <= n:
        found = _dot(_windows(rows, rows.ndim - 2, t), columns, batch)
    else:
        found = _dot(rows, _windows(columns, batch, s), batch)
        found = lax.rev(found, (found.ndim - 2,))
    return [lax.index_in_dim(found, i, -2, keepdims=False) for i in range(s + t - 1)]


def _sum_of_weight(rows: jax.Array, columns: jax.Array, weight: int) -> jax.Array:
    s, t = rows.shape[-2], columns.shape[-3]
    first, last = max(0, weight - t + 1), min(weight, s - 1) + 1
    of_columns = t - 1 - weight + first
    left = lax.slice_in_dim(rows, first, last, axis=-2)
    right = lax.slice_in_dim(columns, of_columns, of_columns + last - first, axis=-3)
    return _dot(left, right, columns.ndim - 3)


def _windows(digits: jax.Array, axis: int, length: int) -> jax.Array:
    """Returns every run of `length` digits, 0 beyond the ends, on a new axis before that of the digits."""
    widths = [(0, 0)] * digits.ndim
    widths[axis] = (length - 1, length - 1)
    padded = jnp.pad(digits, widths)
    count = padded.shape[axis] - length + 1
    runs = [lax.slice_in_dim(padded, i, i + length, axis=axis) for i in range(count)]
    return jnp.stack(runs, axis)


def _dot(rows: jax.Array, columns: jax.Array, batch: int) -> jax.Array:
    """Returns (*b, *m, *w, n), the sums over digits and entries of (*b, *m, s, k) and (*b, *w, s, k, n)."""
    contracted = (rows.ndim - 2, rows.ndim - 1), (columns.ndim - 3, columns.ndim - 2)
    axes = tuple(range(batch))
    return lax.dot_general(
        rows, columns, (contracted, (axes, axes)), preferred_element_type=jnp.int32
    )


def _rounded(sums: Sequence[jax.Array], point: jax.Array, form: Format) -> jax.Array:
    """Returns the bits of the float nearest to an integer times a power of two.

    The integer is the total of sums, each worth 256 times the next. It is scaled so that one whose leading
    bit is bit 0 has the exponent field `point`.
    """
    negative, words = _magnitude(_words(sums, form))
    position = jnp.full(negative.shape, form.width * len(words) - 1, jnp.int32)
    for _ in words[1:]:
        empty = words[0] == 0
        moved = [*words[1:], jnp.zeros_like(words[0])]
        words = [jnp.where(empty, b, a) for a, b in zip(words, moved, strict=True)]
        position = jnp.where(empty, position - form.width, position)
    zero = words[0] == 0
    shift = jnp.where(zero, 0, lax.clz(words[0]))
    top = (words[0] << shift) | ((words[1] >> 1) >> (form.width - 1 - shift))
    rest = words[1] << shift
    for word in words[2:]:
        rest = rest | word
    exponent = position - shift.astype(jnp.int32) + point
    return _assembled(negative, zero, exponent, *_to_nearest_even(top, rest, form), form)


def _words(sums: Sequence[jax.Array], form: Format) -> list[jax.Array]:
    """Returns the total of sums, each worth 256 times the next, as words of two's complement, last first."""
    per_word = form.width // DIGIT
    carry, word, words = jnp.zeros_like(sums[0]), jnp.zeros_like(sums[0], form.unsigned), []
    for i in range(len(sums) + -len(sums) % per_word):
        carry = carry + sums[-1 - i] if i < len(sums) else carry
        byte = (carry & 0xFF).astype(form.unsigned)
        place = i % per_word
        word = byte if place == 0 else word | (byte << (DIGIT * place))
        carry = carry >> DIGIT
        if place == per_word - 1:
            words.append(word)
    return [*words, lax.bitcast_convert_type(carry.astype(form.signed), form.unsigned)]


def _magnitude(words: Sequence[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
    """Returns whether a number is negative, and its magnitude, first word first.

    The number is in two's complement, last word first.
    """
    negative = (words[-1] >> (words[-1].dtype.itemsize * 8 - 1)) > 0
    flipped = jnp.where(negative, ~jnp.zeros_like(words[0]), 0)
    carry, found = negative.astype(words[0].dtype), []
    for word in words:
        word = (word ^ flipped) + carry
        carry = jnp.where(word == 0, carry, 0)
        found.append(word)
    return negative, found[::-1]


def _to_nearest_even(top: jax.Array, rest: jax.Array, form: Format) -> tuple[jax.Array, jax.Array]:
    """Returns the stored mantissa of a word whose first bit is 1, and whether rounding doubled it."""
    dropped = form.width - form.mantissa
    kept = top >> dropped
    below = (top & ((1 << (dropped - 1)) - 1)) | rest
    up = ((top >> (dropped - 1)) & 1).astype(jnp.bool_) & ((below | (kept & 1)) > 0)
    kept = kept + up.astype(form.unsigned)
    return kept & ((1 << (form.mantissa - 1)) - 1), (kept >> form.mantissa).astype(jnp.int32)


def _assembled(
    negative: jax.Array,
    zero: jax.Array,
    exponent: jax.Array,
    mantissa: jax.Array,
    carry: jax.Array,
    form: Format,
) -> jax.Array:
    """Returns the bits of a float, infinite or 0 where its exponent is beyond its format."""
    exponent = exponent + carry
    kept = jnp.where(exponent < form.special, mantissa, 0)
    field = jnp.clip(exponent, 0, form.special).astype(form.unsigned)
    magnitude = (field << (form.mantissa - 1)) | kept
    magnitude = jnp.where(zero | (exponent <= 0), 0, magnitude)
    return magnitude | (negative.astype(form.unsigned) << (form.width - 1))


def _of_kinds(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the product right where a row or column has an infinity or NaN: it is none but these there.

    Such a sum is told by the kinds and signs of its terms, in any order, so all finite entries may be 1.
    """
    batch = tuple(range(b.ndim - 2))
    dims = (((a.ndim - 1,), (b.ndim - 2,)), (batch, batch))
    found = lax.dot_general(_kind(a), _kind(b), dims, preferred_element_type=jnp.float32)
    return jnp.where(jnp.isnan(found), jnp.nan, found).astype(a.dtype)


def _kind(x: jax.Array) -> jax.Array:
    # Of 16 bits: a product of wider ones may be emulated in parts, and a part of an infinity is NaN.
    unit = jnp.where(jnp.isfinite(x), jnp.sign(x), x)
    return jnp.where(jnp.abs(x) < jnp.finfo(x.dtype).tiny, 0, unit).astype(jnp.bfloat16)
