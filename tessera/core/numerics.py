"""Dtype words, accumulation dtypes and tolerances."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import compat
from tessera.core.errors import Code, CompileError

WORDS: dict[str, Any] = {
    "fp64": jnp.float64,
    "fp32": jnp.float32,
    "fp16": jnp.float16,
    "bf16": jnp.bfloat16,
    "fp8_e4m3": jnp.float8_e4m3fn,
    "fp8_e5m2": jnp.float8_e5m2,
    "int64": jnp.int64,
    "int32": jnp.int32,
    "int16": jnp.int16,
    "int8": jnp.int8,
    "uint64": jnp.uint64,
    "uint32": jnp.uint32,
    "uint16": jnp.uint16,
    "uint8": jnp.uint8,
    "bool": jnp.bool_,
    "complex64": jnp.complex64,
    "complex128": jnp.complex128,
}

NEEDS_X64 = frozenset({"float64", "int64", "uint64", "complex128"})

# Sums of many terms in these dtypes lose digits that the result could hold.
ACCUMULATE_IN: dict[str, Any] = {
    "bfloat16": jnp.float32,
    "float16": jnp.float32,
    "float8_e4m3fn": jnp.float32,
    "float8_e5m2": jnp.float32,
}

# (rtol, atol) of a kernel against its reference; tf32 is a compute mode, not a storage dtype.
TOLERANCES: dict[str, tuple[float, float]] = {
    "float64": (1e-12, 1e-12),
    "float32": (1e-5, 1e-6),
    "tf32": (1e-3, 1e-3),
    "bfloat16": (1.6e-2, 1e-2),
    "float16": (2e-3, 1e-3),
    "float8_e4m3fn": (1.25e-1, 5e-2),
    "float8_e5m2": (1.25e-1, 5e-2),
}


def dtype(word: Any, where: str = "dtype") -> np.dtype:
    """Returns the dtype a word such as `"bf16"` or a NumPy/JAX dtype names.

    Raises `E_GRAPH_INVALID` for an unknown word and `E_TARGET_CODEGEN` for a 64-bit dtype while
    `jax_enable_x64` is off: nothing is ever truncated. `where` begins the message.

    >>> dtype("bf16").name
    'bfloat16'
    """
    try:
        if word is None:
            raise TypeError("NumPy takes None for float64")
        found = jnp.dtype(WORDS.get(word, word) if isinstance(word, str) else word)
    except TypeError:
        known = ", ".join(WORDS)
        raise CompileError(
            Code.E_GRAPH_INVALID, f"{where}: unknown dtype {word!r}; one of {known}."
        ) from None
    require_x64(found, where)
    return found


def require_x64(found: np.dtype, where: str = "dtype") -> None:
    """Raises `E_TARGET_CODEGEN` if a dtype has 64 bits per component and `jax_enable_x64` is off."""
    if found.name in NEEDS_X64 and not compat.x64_is_on():
        raise CompileError(
            Code.E_TARGET_CODEGEN,
            f"{where}: {found.name} needs 64-bit mode, which is off.",
            hints='jax.config.update("jax_enable_x64", True) before the first array, or cast to 32 bits',
        )


def accumulator(of: Any) -> np.dtype:
    """Returns the dtype in which sums and products of that dtype are accumulated (at least fp32).

    >>> accumulator(jnp.bfloat16).name
    'float32'
    """
    found = jnp.dtype(of)
    return jnp.dtype(ACCUMULATE_IN.get(found.name, found))


def tolerance(of: Any) -> tuple[float, float]:
    """Returns (rtol, atol) for comparing results in a dtype or in the compute mode `"tf32"`."""
    return TOLERANCES[of if isinstance(of, str) and of == "tf32" else jnp.dtype(of).name]


def wider(first: Any, second: Any) -> np.dtype:
    """Returns the common dtype of two dtypes, also where implicit promotion is off.

    >>> wider(jnp.bfloat16, jnp.float32).name
    'float32'
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(first, second)
