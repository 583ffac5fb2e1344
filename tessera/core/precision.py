"""How the operators of a scope compute: the dtype of products, what may be cast, how sums add up.

Three axes, each with a scope of its own; with the determinism level (`tessera.core.determinism`) they are
what `current()` returns. All are part of the key under which `jit` keeps programs.

    policy      in which dtype products are computed          PRODUCTS, and nothing else, follow it
    casting     whether operands of several dtypes may meet   promote, strict, downcast
    reduction   how sums add up that are not told by method=

A precision policy casts the operands of a product, sums in at least fp32, and gives the result in the dtype
it would have had anyway, so parameters and activations keep theirs:

    matmul gemm linear einsum conv     operands cast; the fp32 sum, unrounded, is what follows sees
    flash_attention grouped_matmul     operands cast; the result is rounded to their dtype once
    bsmm
    reductions norms softmax losses    as without a policy: statistics in fp32
    spectral and sparse operators      as without a policy
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from tessera.core import float8, float32, numerics, stochastic
from tessera.core.determinism import LEVELS, PROFILES, as_level, current_level, deterministic
from tessera.core.errors import Code, CompileError


@dataclass(frozen=True)
class Policy:
    """In which dtype operands of products are computed; made by `op.numeric`, which explains the fields."""

    dtype: str | None = None
    accum: str = "fp32"
    scale: str | None = None
    stochastic_round: bool = False
    deterministic: str | None = None

    @property
    def word(self) -> str:
        """The recipe it belongs to: fp32, mixed, fp8, tf32 or fp64."""
        return RECIPE_OF.get(self.dtype, self.dtype or "fp32")


@dataclass(frozen=True)
class Numerics:
    """What holds in a scope: the determinism level (None: no promise), and the three axes."""

    determinism: str | None
    reduction: str | None
    precision: Policy
    casting: str


# The words of `policy`, and what they stand for.
RECIPES = {
    "fp32": Policy("fp32"),
    "mixed": Policy("bf16"),
    "fp8": Policy("fp8_e4m3", scale="per_tensor"),
    "tf32": Policy("tf32"),
}
PRESETS = {"safe": "fp32", "standard": "mixed", "aggressive": "fp8"}
RECIPE_OF = {None: "fp32", "bf16": "mixed", "fp16": "mixed", "fp8_e4m3": "fp8"}
REDUCTIONS = {"kahan_sum": "kahan"}
POLICIES = (*RECIPES, *PRESETS, *PROFILES, *LEVELS, *REDUCTIONS)
METHODS = ("naive", "tree", "compensated", "kahan", "neumaier", "exact")
CASTINGS = ("promote", "strict", "downcast")
SCALES = ("per_tensor", "per_channel")

# The ops whose operands a policy casts: those operands, by the axis that is summed over, along which a scale
# per channel is shared. None is the whole operand, and () any number of such.
PRODUCTS: dict[str, tuple[int | None, ...]] = {
    "matmul": (-1, -2),
    "grouped_matmul": (-1, -2),
    "bsmm": (-1, -2),
    "flash_attention": (-1, -1, -2),
    "einsum": (),
    "conv": (),
}

# Which operands are cast to a dtype. Wider ones keep theirs: who passes fp64 wants fp64.
CAST_TO: dict[str | None, tuple[str, ...]] = {
    "fp64": ("float32", "float16", "bfloat16"),
    "fp32": ("float16", "bfloat16"),
    "bf16": ("float32",),
    "fp16": ("float32",),
    "fp8_e4m3": ("float32", "float16", "bfloat16"),
}
# How products of fp32 are formed, in the words of JAX.
PRECISION_OF = {"fp32": "highest", "tf32": "high"}

_policy = jax.make_user_context(Policy())
_casting = jax.make_user_context("promote")
_reduction = jax.make_user_context("")


def numeric(
    dtype: str | None = None,
    *,
    accum: str = "fp32",
    scale: str | None = None,
    stochastic_round: bool = False,
    deterministic: Any = None,
) -> Policy:
    """Returns a precision policy, for `with numerics.policy(...)` and for `policy=` of an operator.

    `dtype` is what the operands of products are cast to: None leaves them, "fp64" and "fp32" widen, "tf32"
    keeps fp32 and lets the backend multiply it in 10 bits of mantissa, "bf16" and "fp16" narrow fp32, and
    "fp8_e4m3" rounds to 8 bits under a scale. `accum` is "fp32", the least dtype of the sums, or "bf16",
    which `op.matmul` alone takes. `scale`, of fp8, is "per_tensor" (the default there) or "per_channel": one
    for each row of the first operand and column of the second, where the operator is a matrix product or
    attention. A scale is a power of two. With `stochastic_round=True` narrowing rounds at random, by a key
    made of the operand itself: the same operand rounds alike, another anew. `deterministic` is the level of
    the scope.

    Raises `E_GRAPH_INVALID` for another word, `E_TARGET_CODEGEN` for fp64 while 64-bit mode is off.

    >>> numeric("fp8_e4m3", scale="per_channel").word
    'fp8'
    """
    if dtype not in (None, "tf32", *CAST_TO):
        raise _unknown("numeric", "dtype", dtype, ("tf32", *map(str, CAST_TO)))
    if dtype == "fp64":
        numerics.dtype(dtype, "numeric")
    if accum not in ("fp32", "bf16"):
        raise _unknown("numeric", "accum", accum, ("fp32", "bf16"))
    is_fp8 = dtype == "fp8_e4m3"
    if scale is not None and (scale not in SCALES or not is_fp8):
        raise _unknown("numeric", "scale (of fp8_e4m3)", scale, SCALES)
    if is_fp8 and scale is None:
        scale = SCALES[0]
    level = as_level("numeric", deterministic)
    return Policy(dtype, accum, scale, bool(stochastic_round), level)


@contextmanager
def policy(word: str | Policy) -> Iterator[None]:
    """Sets how operators called inside compute; the innermost scope counts, and `policy=` of one before it.

    A precision recipe, or the value `op.numeric` makes:

        fp32, safe          operands in fp32, multiplied in full where the backend has a choice
        mixed, standard     fp32 operands in bf16 (`op.numeric("fp16")`: in fp16, which needs a loss scale)
        fp8, aggressive     operands rounded to e4m3 under a scale, computed in bf16; gradients in bf16.
                            Permits `pack_dtype="fp8_e4m3"` in the transport of `op.moe`
        tf32                fp32 in storage, products as TF32 where the backend has it

    The word of another axis sets that one: fast, deterministic, strict and D0 to D4 the determinism level,
    kahan_sum the sums. fp32 and tf32 hold for products of plain JAX too (`jax.default_matmul_precision`).

    Raises `E_GRAPH_INVALID` for another word, and the errors of `numerics.deterministic`.

    >>> with policy("fp8"):
    ...     current_policy()
    'fp8'
    """
    if isinstance(word, str) and (word in PROFILES or word in LEVELS):
        scope: Any = deterministic(word)
    elif isinstance(word, str) and word in REDUCTIONS:
        scope = reduction(REDUCTIONS[word])
    else:
        scope = _precision(_as_policy(word))
    with scope:
        yield


def current_policy() -> str:
    """Returns the precision recipe of the scope: fp32, also where none is set, mixed, fp8, tf32 or fp64.

    >>> current_policy()
    'fp32'
    """
    return _policy.value.word


@contextmanager
def casting(word: str) -> Iterator[None]:
    """Sets what operators called inside do with operands of several dtypes.

    `promote` brings them to the dtype that holds both; `strict` raises `E_GRAPH_INVALID`, naming the dtypes;
    `downcast` promotes, and `op.cast` to a narrower float, the one way to get there, gives a warning.
    Operands that keep their own dtype by design, such as the weight of a norm, are not promoted and may
    differ. Plain JAX promotes, or raises, likewise. Raises `E_GRAPH_INVALID` for another word.

    >>> with casting("strict"):
    ...     current_casting()
    'strict'
    """
    if word not in CASTINGS:
        raise _unknown("casting", "word", word, CASTINGS)
    with _casting(word), jax.numpy_dtype_promotion("strict" if word == "strict" else "standard"):
        yield


def current_casting() -> str:
    """Returns the casting policy of the scope: promote unless one is set.

    >>> current_casting()
    'promote'
    """
    return _casting.value


@contextmanager
def reduction(method: str) -> Iterator[None]:
    """Sets the `method=` of the sums inside that are given none. Raises `E_GRAPH_INVALID` for another word.

    >>> with reduction("exact"):
    ...     current_reduction()
    'exact'
    """
    if method not in METHODS:
        raise _unknown("reduction", "method", method, METHODS)
    with _reduction(method):
        yield


def current_reduction() -> str | None:
    """Returns the method of the sums of the scope, None where none is set.

    >>> current_reduction() is None
    True
    """
    return _reduction.value or None


def current() -> Numerics:
    """Returns all that holds in this scope: determinism level, method of sums, precision policy and casting.

    >>> with policy("kahan_sum"), casting("strict"):
    ...     found = current()
    >>> found.reduction, found.precision.word, found.casting
    ('kahan', 'fp32', 'strict')
    """
    return Numerics(current_level(), current_reduction(), _policy.value, current_casting())


def require_one_dtype(op: str, arrays: Sequence[Any]) -> None:
    """Raises `E_GRAPH_INVALID` under the casting policy strict if operands that are promoted differ in dtype.

    Python scalars have none of their own.
    """
    if current_casting() != "strict":
        return
    found = sorted({x.dtype.name for x in arrays if not x.weak_type})
    if len(found) > 1:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"{op}: operands are {' and '.join(found)}, and the casting policy is strict.",
            hints="op.cast(x, dtype), or numerics.casting('promote')",
        )


def for_product(
    op: str, arrays: Sequence[Array | None], statics: dict[str, Any]
) -> tuple[list[Array | None], dict[str, Any], Any]:
    """Returns what an op is given under the policy: operands, statics, and the dtype to cast its result to.

    That is None where the result has the right dtype without. An op not in PRODUCTS, and one whose
    `precision` the caller chose, is given what it was.
    """
    chosen = _policy.value
    if op not in PRODUCTS or chosen.dtype is None or statics.get("precision") is not None:
        return list(arrays), statics, None
    axes = PRODUCTS[op] or (None,) * len(arrays)
    found, first = list(arrays), arrays[0]
    assert first is not None
    for i, axis in enumerate(axes):
        if (x := found[i]) is not None and x.dtype.name in CAST_TO.get(chosen.dtype, ()):
            found[i] = _narrowed(x, chosen, axis)
    result = None if found[0] is first else first.dtype
    if "precision" in statics:
        statics = {**statics, "precision": PRECISION_OF.get(chosen.dtype)}
    if "out_dtype" in statics and result is not None:
        # The sum itself is the result: it is not rounded to the operands' dtype on its way.
        statics = {**statics, "out_dtype": statics["out_dtype"] or result}
        if chosen.accum != "fp32":
            statics["accumulate"] = numerics.dtype(chosen.accum)
        return found, statics, None
    return found, statics, result


@contextmanager
def _precision(chosen: Policy) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(_policy(replace(chosen, deterministic=None)))
        if chosen.dtype in PRECISION_OF:
            stack.enter_context(jax.default_matmul_precision(PRECISION_OF[chosen.dtype]))
        if chosen.deterministic is not None:
            stack.enter_context(deterministic(chosen.deterministic))
        yield


def _as_policy(word: Any) -> Policy:
    if isinstance(word, Policy):
        return word
    found = PRESETS.get(word, word) if isinstance(word, str) else word
    if not isinstance(found, str) or found not in RECIPES:
        raise _unknown("policy", "word", word, POLICIES)
    return RECIPES[found]


def _narrowed(x: Array, chosen: Policy, axis: int | None) -> Array:
    """Returns an operand in the dtype of a policy; one of fp8 as the number it stands for, in bf16."""
    if chosen.dtype == "fp8_e4m3":
        return _through_fp8(x, axis if chosen.scale == "per_channel" else None, chosen)
    dtype = numerics.dtype(chosen.dtype)
    if chosen.stochastic_round and dtype.itemsize < x.dtype.itemsize:
        return stochastic.rounded(x, dtype, stochastic.key_of(x))
    return x.astype(dtype)


@partial(jax.jit, static_argnums=(1, 2))
def _through_fp8(x: Array, axis: int | None, chosen: Policy) -> Array:
    """Rounds to s x8 with x8 in e4m3 and s a power of two, so that bf16 holds the product.

    Rounding counts as the identity in derivatives. What is not finite stays.
    """
    wide = x.astype(jnp.float32)
    fixed = lax.stop_gradient(wide)
    scale = _next_power_of_two(float8.scale_of(fixed, axis))
    if chosen.stochastic_round:
        held = stochastic.rounded(fixed / scale, jnp.float8_e4m3fn, stochastic.key_of(fixed))
    else:
        held = float8.saturated(fixed / scale)
    # x and what it is rounded to are within a factor of two, so the difference and the sum are exact.
    change = jnp.where(jnp.isfinite(fixed), held.astype(jnp.float32) * scale - fixed, 0)
    return (wide + change).astype(jnp.bfloat16)


def _next_power_of_two(x: Array) -> Array:
    """Returns the least power of two that is not below x, between 2^-100 and 2^100."""
    up = float32.bits(jnp.clip(x, np.float32(2.0**-100), np.float32(2.0**100))) + 0x007FFFFF
    return float32.from_bits(up & np.uint32(0x7F800000))


def _unknown(where: str, what: str, value: Any, known: Sequence[str]) -> CompileError:
    return CompileError(
        Code.E_GRAPH_INVALID, f"{where}: unknown {what} {value!r}; one of {', '.join(known)}."
    )
