"""The keyword `precision=` that several ops take: the dtype operands are computed in."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from tessera.core import numerics
from tessera.core.errors import Code, CompileError

# How a backend that has several ways to multiply fp32 is asked for one, in the words of `jax.lax.Precision`;
# one that has a single way, as CPUs do, uses that.
FULL, TF32 = "highest", "high"
PRECISIONS = ("fp64", "fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True)
class Precision:
    """The dtype operands are cast to, and how products of it are formed (None: as the backend likes)."""

    dtype: np.dtype
    products: str | None


def as_precision(op: str, word: Any) -> Precision:
    """Returns what a `precision=` word or dtype asks for.

    Raises `E_GRAPH_INVALID` for what is no float dtype, or needs the fp8 policy, and `E_TARGET_CODEGEN` for
    fp64 without 64-bit mode.

    >>> as_precision("matmul", "tf32")
    Precision(dtype=dtype('float32'), products='high')
    """
    if isinstance(word, str) and word == "tf32":
        return Precision(np.dtype(np.float32), TF32)
    known = ", ".join(PRECISIONS)
    if isinstance(word, str) and word not in numerics.WORDS:
        raise _invalid(op, f"unknown precision {word!r}", f"one of {known}")
    found = numerics.dtype(word, f"{op}: precision")
    if found.name.startswith("float8"):
        raise _invalid(op, f"precision={word!r} is for the fp8 policy", f"one of {known}")
    if not jnp.issubdtype(found, jnp.floating):
        raise _invalid(op, f"precision is {found.name}, no float dtype", f"one of {known}")
    return Precision(found, FULL if found.name == "float32" else None)


def _invalid(op: str, problem: str, fix: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=fix)
