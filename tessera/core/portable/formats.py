"""float32 and float64 as integers, and what keeps compilers from contracting and rewriting arithmetic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tessera.core.errors import Code, CompileError

Elementwise = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Format:
    """A format of IEEE 754 with its words: NumPy scalars, so that arithmetic with them keeps its dtype."""

    name: str
    width: int
    fraction: int  # bits of a number after its leading one

    @cached_property
    def dtype(self) -> Any:
        """Returns the dtype of the numbers."""
        return np.dtype(f"float{self.width}")

    @cached_property
    def integers(self) -> Any:
        """Returns the dtype of signed integers of the same width."""
        return np.dtype(f"int{self.width}")

    @cached_property
    def words(self) -> Any:
        """Returns the dtype of unsigned integers of the same width."""
        return np.dtype(f"uint{self.width}")

    @property
    def bias(self) -> int:
        """Returns what the exponent field of 1 holds."""
        return (1 << (self.width - self.fraction - 2)) - 1

    @property
    def leading(self) -> Any:
        """Returns the leading one of a number's digits, also the word of the smallest normal number."""
        return self.word(1 << self.fraction)

    @property
    def digits(self) -> Any:
        """Returns the mask of the digits after the leading one."""
        return self.word((1 << self.fraction) - 1)

    @property
    def sign(self) -> Any:
        """Returns the mask of the sign."""
        return self.word(1 << (self.width - 1))

    @property
    def magnitude(self) -> Any:
        """Returns the mask of everything but the sign."""
        return self.word((1 << (self.width - 1)) - 1)

    @property
    def one(self) -> Any:
        """Returns the word of 1."""
        return self.word(self.bias << self.fraction)

    @property
    def infinity(self) -> Any:
        """Returns the word of infinity."""
        return self.word((2 * self.bias + 1) << self.fraction)

    @property
    def linear_below(self) -> Any:
        """Returns a magnitude below which x + x^3 / 3 is x to half a unit of its last place."""
        return self.number(2.0 ** -(self.fraction // 2 + 1))

    def number(self, value: float) -> Any:
        """Returns a constant rounded to the format."""
        return self.dtype.type(value)

    def word(self, value: int) -> Any:
        """Returns an unsigned constant."""
        return self.words.type(value)

    def integer(self, value: int) -> Any:
        """Returns a signed constant."""
        return self.integers.type(value)

    def bits(self, x: jax.Array) -> jax.Array:
        """Returns the words of numbers."""
        return lax.bitcast_convert_type(x, self.words)

    def signed(self, x: jax.Array) -> jax.Array:
        """Returns the words of numbers, or of unsigned integers, as signed integers."""
        return lax.bitcast_convert_type(x, self.integers)

    def floats(self, bits: jax.Array) -> jax.Array:
        """Returns the numbers of words, signed or not."""
        return lax.bitcast_convert_type(bits, self.dtype)

    def with_sign(self, size: jax.Array, x: jax.Array) -> jax.Array:
        """Returns magnitudes with the signs of x."""
        return self.floats(self.bits(size) | self.bits(x) & self.sign)

    def scaled(self, x: jax.Array, n: jax.Array) -> jax.Array:
        """Returns x 2^n for signed integers n, where x and it are normal."""
        return self.floats(
            self.bits(x) + lax.shift_left(n.astype(self.words), self.word(self.fraction))
        )


SINGLE = Format("float32", 32, 23)
DOUBLE = Format("float64", 64, 52)
FORMATS = {"float32": SINGLE, "float64": DOUBLE}


def operand(op: str, x: Any) -> tuple[Format, jax.Array]:
    """Returns an operand as an array, and its format, or raises for other dtypes than the two."""
    array = jnp.asarray(x)
    if array.dtype.name not in FORMATS:
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{op}: {array.dtype.name} has no portable arithmetic, float32 and float64 have.",
            hints="Compute in float32 and round the result.",
        )
    return FORMATS[array.dtype.name], array


def operands(op: str, x: Any, y: Any) -> tuple[Format, jax.Array, jax.Array]:
    """Returns two operands as arrays of one dtype, and its format; a Python number takes the other's."""
    dtype = jnp.result_type(x, y)
    form, x = operand(op, jnp.asarray(x, dtype))
    return form, x, jnp.asarray(y, dtype)


# The magnitude of a NaN that no operation makes. A compiler cannot know that bits are not these, while it
# knows the sign of an absolute value, and that an integer made a float is not NaN: for such p it drops the
# select in where(p == p, p, nan).
_MARK = {"float32": 0x7FD5A5A5, "float64": 0x7FFD5A5A5A5A5A5A}


def marked(form: Format, x: jax.Array) -> jax.Array:
    """Returns where x is one certain NaN: nowhere, but only at run time."""
    return (form.bits(x) & form.magnitude) == form.word(_MARK[form.name])


def keeper(form: Format, x: jax.Array) -> Elementwise:
    """Returns what keeps a product rounded: its bits xor a zero that the compiler cannot know, taken from x.

    That is one instruction, a select is two; with neither, a product and a sum are fused and rounded once.
    """
    zero = marked(form, x).astype(form.words)
    return lambda product: form.floats(form.bits(product) ^ zero)


def polynomial(keep: Elementwise, terms: Sequence[Any], z: jax.Array) -> jax.Array:
    """Returns terms[0] + terms[1] z + terms[2] z^2 + ... by Horner's rule, each step rounded twice."""
    total = keep(z * terms[-1]) + terms[-2]
    for term in terms[-3::-1]:
        total = keep(total * z) + term
    return total


def exact_product(
    form: Format, keep: Elementwise, x: jax.Array, y: Any
) -> tuple[jax.Array, jax.Array]:
    """Returns x y rounded and what it lacks, where nothing over- or underflows (Dekker 1971).

    Halves are cut by their bits, so the products of most are exact, and contracted or not the same.
    """
    product = keep(x * y)
    (x_high, x_low), (y_high, y_low) = halves(form, x), halves(form, jnp.asarray(y))
    lost = ((x_high * y_high - product) + x_high * y_low) + x_low * y_high
    return product, lost + keep(x_low * y_low)


def halves(form: Format, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns two numbers of at most half the digits, rounded up, whose sum is x."""
    cut = form.word((1 << (form.fraction + 2) // 2) - 1)
    high = form.floats(form.bits(x) & ~cut)
    return high, x - high
