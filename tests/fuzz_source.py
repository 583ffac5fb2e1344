"""What the fuzz of the operators draws its calls from: sizes, dtypes, values, layouts in memory."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import numerics

# Earlier ones are simpler: a failing call shrinks towards them.
SIZES = (3, 2, 1, 5, 0, 8, 7, 17)
LARGEST = 5000  # elements of one array

FLOATS = ("float32", "bfloat16", "float16")
COMPLEX = ("complex64",)
INTEGERS = ("int32", "int8", "uint8")
DTYPES: dict[str, tuple[str, ...]] = {
    "float": FLOATS,
    "inexact": FLOATS + COMPLEX,
    "complex": COMPLEX,
    "integer": INTEGERS,
    "bool": ("bool",),
    "real": FLOATS + INTEGERS + ("bool",),
    "number": FLOATS + COMPLEX + INTEGERS,
    "any": FLOATS + COMPLEX + INTEGERS + ("bool",),
    "logic": FLOATS,
}
WIDE = {"float32": "float64", "complex64": "complex128"}
MODES = ("tame", "tame", "tame", "large", "finite", "any")


class UnsaidError(Exception):
    """The documents do not say what this call does: it may return, or be refused."""


@dataclass(frozen=True)
class Shape:
    """A result whose values the fuzz does not know: only its shape counts."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Operand:
    """An array as data, and how it lies in memory when an op gets it."""

    data: Any
    layout: str = "jax"

    def __repr__(self) -> str:
        text = np.array2string(self.data, threshold=12).replace("\n", "")
        return f"<{self.layout} {self.data.dtype.name}{list(self.data.shape)} {text}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype."""
        return self.data.dtype

    @property
    def given(self) -> Any:
        """What the op gets."""
        return LAYOUTS[self.layout](self.data)

    @property
    def value(self) -> Any:
        """The values in 64 bits."""
        if jnp.issubdtype(self.dtype, jnp.complexfloating):
            return self.data.astype(np.complex128)
        if jnp.issubdtype(self.dtype, jnp.floating):
            return self.data.astype(np.float64)
        return self.data if self.dtype == np.bool_ else self.data.astype(np.int64)


def _reversed(x: Any) -> Any:
    backwards = (slice(None, None, -1),) * x.ndim
    return x[backwards].copy()[backwards]


def _strided(x: Any) -> Any:
    every_other = (slice(None, None, 2),) * x.ndim
    buffer = np.zeros([2 * n for n in x.shape], x.dtype)
    buffer[every_other] = x
    return buffer[every_other]


def _stretched(x: Any) -> Any:
    """The same where no two entries along the first axis differ (`Source.array` sees to it)."""
    return np.broadcast_to(x[:1], x.shape) if x.ndim and len(x) else x


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "jax": jnp.asarray,
    "numpy": np.array,
    "fortran": lambda x: np.array(x, order="F"),
    "transposed": lambda x: np.array(x.T, order="C").T,
    "reversed": _reversed,
    "strided": _strided,
    "stretched": _stretched,
    "python": lambda x: x.tolist(),
}
OF_ARRAYS = tuple(name for name in LAYOUTS if name != "python")


@dataclass(frozen=True)
class Call:
    """A call of an op, and what it should give.

    `want` computes it, with NumPy arrays or `Shape`s as leaves, and raises if the op must refuse the call.
    `dtype` is that of every result, or one for each.
    """

    args: tuple[Any, ...]
    words: dict[str, Any] = field(default_factory=dict)
    want: Callable[[], Any] | None = None
    dtype: Any = None


class Source:
    """Draws what a call is made of. `kind` are the dtypes an op takes."""

    def __init__(self, draw: Callable[[Any], Any], kind: str):
        self._draw = draw
        self.kind = kind
        self.x64 = self.pick(*[False] * 7, True)
        self.mode = self.pick(*MODES)
        self.foreign = False  # whether an operand has a dtype that the op need not take
        self._main = self._dtype(kind)

    def __repr__(self) -> str:
        return f"<{self.mode}{', 64 bits' * self.x64}{', foreign' * self.foreign}>"

    def pick(self, *options: Any) -> Any:
        """Returns one of the options; the first is the simplest."""
        return self._draw(st.sampled_from(options))

    def off(self, value: Any, *others: Any) -> Any:
        """Returns a value, sometimes another one that may be out of range."""
        return self.pick(*[value] * (4 * len(others)), *others)

    def rarely(self) -> bool:
        """Returns True one time in eight."""
        return self.pick(*[False] * 7, True)

    def size(self) -> int:
        """Returns a size."""
        return self.pick(*SIZES)

    def some(self) -> int:
        """Returns a size of at least 1, and small."""
        return self.pick(2, 1, 3, 5)

    def near(self, size: int) -> int:
        """Returns a size, sometimes another one."""
        return self.off(size, size + 1)

    def shape(self, least: int = 0, most: int = 4) -> tuple[int, ...]:
        """Returns a shape."""
        rank = self.pick(*range(least, most + 1))
        found: list[int] = []
        for _ in range(rank):
            found.append(self.size())
            if np.prod(found) > LARGEST:
                found[-1] = 1
        return tuple(found)

    def batch(self) -> tuple[int, ...]:
        """Returns a few leading axes."""
        return self.pick((), (2,), (1,), (3, 2), (0,))

    def axis(self, rank: int) -> Any:
        """Returns an axis of an array, sometimes one it lacks or no axis at all."""
        inside = self.pick(*range(-rank, rank)) if rank else -1
        return self.off(inside, rank, -rank - 1, 0.5, "x")

    def _dtype(self, kind: str) -> str:
        name = self.pick(*DTYPES[kind])
        if self.x64 and name in WIDE:
            return WIDE[name]
        return name

    def array(
        self,
        *shape: int,
        kind: str | None = None,
        within: tuple[float, float] = (-2.0, 2.0),
        plain: bool = False,
        scalars: bool = False,
    ) -> Operand:
        """Returns an operand: of the case's dtype, or of `kind`; uniform `within`, or special values.

        `plain` keeps special values and other dtypes out. `scalars` lets it be a Python number.
        """
        dtype = self._main if kind is None else self._dtype(kind)
        if not plain and self.pick(*[False] * 15, True):
            dtype = self._dtype("any")
            self.foreign = self.foreign or dtype not in DTYPES[kind or self.kind]
        seed = self.pick(*range(8))
        data = _filled(shape, np.dtype(jnp.dtype(dtype)), within, seed, plain or self.mode)
        layout = self.pick(*OF_ARRAYS)
        if layout == "stretched":
            data = np.array(_stretched(data))
        if scalars and not shape and self.pick(False, True):
            layout = "python"
        return Operand(data, layout)

    def indices(self, *shape: int, below: int, stray: int = 0) -> Operand:
        """Returns whole numbers in [0, below), with `stray` sometimes beyond on both sides."""
        rng = np.random.default_rng(self.pick(*range(8)))
        more = stray if stray and self.pick(False, True) else 0
        data = rng.integers(-more, max(below + more, 1), shape).astype(
            self.pick("int32", "int8", "uint8") if more == 0 else "int32"
        )
        return Operand(data, self.pick(*OF_ARRAYS[:-1]))


def _filled(
    shape: tuple[int, ...], dtype: np.dtype, within: tuple[float, float], seed: int, mode: Any
) -> Any:
    rng = np.random.default_rng([seed, *shape])
    if dtype == np.bool_:
        return rng.random(shape) < 0.5
    if jnp.issubdtype(dtype, jnp.integer):
        data = rng.integers(0 if dtype.kind == "u" else -5, 6, shape).astype(dtype)
        ends = [np.iinfo(dtype).min, np.iinfo(dtype).max]
        return _mixed(data, ends, rng) if mode in ("finite", "any") else data
    data = rng.uniform(*within, shape)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        data = data + 1j * rng.uniform(*within, shape)
    with np.errstate(all="ignore"):
        data = np.asarray(data).astype(dtype)
        return _mixed(data, _specials(dtype, mode), rng)


def _specials(dtype: np.dtype, mode: Any) -> list[float]:
    real = jnp.finfo(dtype)
    largest, least = float(real.max), float(real.smallest_subnormal)
    return {
        "large": [1e4, -1e4],
        "finite": [0.0, -0.0, least, -least, largest, -largest],
        "any": [0.0, -0.0, least, largest, -largest, np.inf, -np.inf, np.nan],
    }.get(mode, [])


def _mixed(data: Any, specials: Sequence[float], rng: np.random.Generator) -> Any:
    if not specials:
        return data
    chosen = np.asarray(rng.choice(specials, data.shape)).astype(data.dtype)
    return np.where(rng.random(data.shape) < 0.4, chosen, data)


Case = Callable[[Source], Call]

# Modes of values for which an op promises finite results.
ALL_FINITE = ("tame", "large", "finite")
LARGE = ("tame", "large")


@dataclass(frozen=True)
class Entry:
    """How an op is fuzzed.

    `kind` are the dtypes it takes, `run` what is called if not the op, `finite` the values that give finite
    results, `says` the names of its parts, which an error may have instead. `slack` is a factor of the
    tolerance, for results of several sums or roundings; `exact` asks for the very values, special ones too.
    `traces=False` is for an op that looks at values; `few` for one that compiles for long.
    """

    case: Case
    kind: str = "float"
    run: Callable[..., Any] | None = None
    finite: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    slack: float = 1.0
    exact: bool = False
    traces: bool = True
    few: bool = False


def common(*operands: Operand) -> Any:
    """The dtype to which JAX promotes."""
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.promote_types, (x.dtype for x in operands))


def floating(x: Operand) -> Any:
    """The dtype of a float; that of another number as one."""
    return x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.dtype("float32")


def at_least_fp32(x: Operand) -> Any:
    """The dtype in which an op accumulates."""
    return numerics.accumulator(x.dtype)


def require(holds: object) -> None:
    """Says that the op must refuse the call unless this holds."""
    if not holds:
        raise ValueError


def broadcastable(s: Source, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts with another, or nearly."""
    tail = shape[s.pick(*range(len(shape) + 1)) :]
    return tuple(s.off(s.pick(n, 1), n + 1) for n in tail)


def call_first(run: Callable[..., Any], *args: Any) -> Any:
    """What the function gives that stands before its arguments: for calls that take more than one step."""
    return run(*args)
