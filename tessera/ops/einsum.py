"""`op.einsum`: contraction of any number of arrays, written as in NumPy."""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import numerics, precision
from tessera.core.errors import Code, CompileError
from tessera.core.operands import to_array

DOTS = "..."


def einsum(spec: str, *xs: Any, out_dtype: Any = None) -> jax.Array:
    """Returns the contraction that `spec` describes: labels of the operands, then after `->` of the result.

    As `jnp.einsum` with a string, with every sum in at least fp32 and one size per label: an axis of size 1
    is not stretched. `...` stands for leading axes that broadcast. The result has the promoted dtype of the
    operands unless `out_dtype` names another.

    Raises `E_SHAPE_MISMATCH` if an operand lacks the rank of its labels or two sizes of a label differ,
    `E_GRAPH_INVALID` for text that is no spec and another number of operands than it has.

    >>> import jax.numpy as jnp
    >>> einsum("ij,jk->ki", jnp.array([[1.0, 2.0]]), jnp.array([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    if not isinstance(spec, str):
        raise _invalid(
            f"the spec is a {type(spec).__name__}, not a string", 'einsum("ij,jk->ik", A, B)'
        )
    arrays = [to_array("einsum", f"xs[{i}]", x) for i, x in enumerate(xs)]
    inputs, _, output = spec.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(arrays):
        raise _invalid(f"{spec!r} has {len(terms)} operands, but {len(arrays)} are given")
    _require_sizes(spec, terms, arrays)
    precision.require_one_dtype("einsum", arrays)
    common = jnp.dtype(arrays[0].dtype)
    for x in arrays[1:]:
        common = numerics.wider(common, x.dtype)
    cast, how, _ = precision.for_product(
        "einsum", [x.astype(common) for x in arrays], {"precision": None}
    )
    arrays = [x for x in cast if x is not None]
    wide = numerics.accumulator(numerics.wider(common, arrays[0].dtype))
    # A label summed within one operand is summed in that operand's dtype.
    within = _summed_within(terms, output if "->" in spec else None)
    given = [x.astype(wide) for x in arrays] if within else arrays
    try:
        found = jnp.einsum(spec, *given, preferred_element_type=wide, **how)
    except (TypeError, ValueError) as error:
        raise _invalid(f"{spec!r} is no contraction: {error}") from error
    return found.astype(
        common if out_dtype is None else numerics.dtype(out_dtype, "einsum: out_dtype")
    )


def _require_sizes(spec: str, terms: list[str], arrays: list[jax.Array]) -> None:
    sizes: dict[str, tuple[Any, int]] = {}
    for i, (term, x) in enumerate(zip(terms, arrays, strict=True)):
        front, dots, back = term.partition(DOTS)
        labels = front + back
        if not all(label.isalpha() for label in labels):
            raise _invalid(f"{term!r} in {spec!r} is not letters and at most one '...'")
        if x.ndim < len(labels) or (x.ndim > len(labels) and not dots):
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"einsum: operand {i} has shape {x.shape}, of rank {x.ndim}, but {term!r} in {spec!r} "
                f"needs {'at least ' if dots else ''}rank {len(labels)}.",
            )
        ends = (*x.shape[: len(front)], *x.shape[x.ndim - len(back) :])
        for label, size in zip(labels, ends, strict=True):
            first, where = sizes.setdefault(label, (size, i))
            if first != size:
                raise CompileError(
                    Code.E_SHAPE_MISMATCH,
                    f"einsum: {label!r} in {spec!r} is {first} in operand {where} but {size} in operand {i}.",
                )


def _summed_within(terms: list[str], output: str | None) -> bool:
    """Returns whether a sum or a diagonal involves one operand alone.

    That is a label of no other operand and not of the result, or one that an operand has twice.
    """
    count = Counter(label for term in terms for label in term if label != ".")
    in_result = output if output is not None else [s for s, n in count.items() if n == 1]
    lonely = (set(t) - set("".join(terms[:i] + terms[i + 1 :])) for i, t in enumerate(terms))
    twice = any(term.count(label) > 1 for term in terms for label in term if label != ".")
    return twice or any(labels - set(in_result) - {"."} for labels in lonely)


def _invalid(problem: str, hint: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"einsum: {problem}.", hints=hint or ())
