"""`op.rearrange` and `op.layout_cast`: axes split, merged and reordered by a line that says so.

    "b n (h d) -> b h n d"      names stand for axes, parentheses for axes merged into one

    ...    any number of axes, kept together
    1      an axis of size 1, made or dropped
    ()     the same

The notation is that of einops (A. Rogozhnikov, ICLR 2022). Layout words are names for two orders of axes.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core.errors import Code, CompileError
from tessera.core.operands import as_integer, to_array

LAYOUT_CASTS = {"nchw": "n h w c -> n c h w", "nhwc": "n c h w -> n h w c"}
ROW_MAJOR = ("row_major", "col_major")
ELLIPSIS = "..."

Group = tuple[str, ...]  # the names merged into one axis; a single name is a group of one


def rearrange(x: Any, spec: str, /, **sizes: int) -> jax.Array:
    """Returns x with its axes split, merged and reordered as a line such as "b n (h d) -> b h n d" says.

    Both sides name the same axes, each once. Of the axes merged on the left all sizes but one are given as
    keywords (`h=8`). A layout word ("nchw", "nhwc", "row_major", "col_major") stands for `layout_cast`.

    Raises `E_GRAPH_INVALID` (a line that cannot be read, a name on one side only or twice, sizes missing or
    unknown) and `E_SHAPE_MISMATCH` (another rank, a size that does not fit).

    >>> import jax.numpy as jnp
    >>> rearrange(jnp.zeros((2, 5, 12)), "b n (h d) -> b h n d", h=3).shape
    (2, 3, 5, 4)
    """
    if spec in LAYOUT_CASTS or spec in ROW_MAJOR:
        return layout_cast(x, spec)
    array = to_array("rearrange", "x", x)
    left, right = _sides(spec, array.shape)
    given = {name: as_integer("rearrange", name, size) for name, size in sizes.items()}
    found = _sizes(left, array.shape, given, spec)
    names = [name for group in left for name in group]
    wanted = [name for group in right for name in group]
    apart = jnp.reshape(array, [found[name] for name in names])
    ordered = jnp.transpose(apart, [names.index(name) for name in wanted])
    return jnp.reshape(ordered, [math.prod(found[name] for name in group) for group in right])


def layout_cast(x: Any, layout: str) -> jax.Array:
    """Returns an image batch with its axes in the order of a layout word.

    "nchw" takes (n, h, w, c) to (n, c, h, w) and "nhwc" the other way. "row_major" and "col_major" speak of
    memory, which XLA lays out: they change nothing.

    Raises `E_GRAPH_INVALID` for another word and `E_SHAPE_MISMATCH` for an array that has not four axes.

    >>> import jax.numpy as jnp
    >>> layout_cast(jnp.zeros((1, 8, 9, 3)), "nchw").shape
    (1, 3, 8, 9)
    """
    array = to_array("layout_cast", "x", x)
    if layout in ROW_MAJOR:
        return array
    if layout not in LAYOUT_CASTS:
        known = ", ".join([*LAYOUT_CASTS, *ROW_MAJOR])
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"layout_cast: unknown layout {layout!r}; one of {known}.",
            hints="op.pack(x, 'tile(BM,BN)') for tiles; how an array lies in memory is XLA's choice",
        )
    if array.ndim != 4:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"layout_cast: {layout} is of four axes, but x is {array.shape}.",
        )
    return rearrange(array, LAYOUT_CASTS[layout])


def _sides(spec: Any, shape: Sequence[int]) -> tuple[list[Group], list[Group]]:
    texts = spec.split("->") if isinstance(spec, str) else []
    if len(texts) != 2:
        words = ", ".join([*LAYOUT_CASTS, *ROW_MAJOR])
        raise _invalid(spec, f"is neither 'left -> right' nor a layout word ({words})")
    left, right = (_groups(text, spec) for text in texts)
    here, there = ({name for group in side for name in group} for side in (left, right))
    if here != there:
        raise _invalid(spec, f"has {sorted(here ^ there)[0]!r} on one side only")
    several = ELLIPSIS in here
    if (several and (ELLIPSIS,) not in left) or re.search(r"\(\s*\.\.\.\s*\)", texts[0]):
        raise _invalid(spec, "merges the axes of ... on the left, where they cannot be told apart")
    count = len(shape) - len(left) + several
    if count < 0 or (count != 0 and not several):
        least = "at least " if several else ""
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"rearrange: x is {tuple(shape)} but {spec!r} needs {least}{len(left) - several} axes.",
        )
    hidden = " ".join(f"__{i}" for i in range(count))
    left, right = (_groups(text.replace(ELLIPSIS, f" {hidden} "), spec) for text in texts)
    return left, right


def _groups(side: str, spec: str) -> list[Group]:
    words = re.findall(r"\([^()]*\)|\.\.\.|[A-Za-z_]\w*|1(?!\w)|\S", side)
    groups: list[Group] = []
    for word in words:
        inside = word[1:-1].split() if word.startswith("(") and len(word) > 1 else [word]
        for name in inside:
            if not (name in (ELLIPSIS, "1") or name.isidentifier()):
                raise _invalid(spec, f"has {name!r}, which is no axis; use n, (a b), 1 or ...")
        groups.append(tuple(name for name in inside if name != "1"))
    names = [name for group in groups for name in group]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise _invalid(spec, f"names {repeated[0]!r} twice on one side")
    return groups


def _sizes(
    left: Sequence[Group], shape: Sequence[int], given: Mapping[str, int], spec: str
) -> dict[str, int]:
    names = [name for group in left for name in group]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise _invalid(spec, f"has no axis {unknown[0]!r}, whose size is given")
    found = dict(given)
    for i, (group, size) in enumerate(zip(left, shape, strict=True)):
        free = [name for name in group if name not in found]
        if len(free) > 1:
            raise _invalid(
                spec, f"leaves open how axis {i} of length {size} splits", f"{free[0]}=..."
            )
        known = math.prod(found[name] for name in group if name in found)
        if free and known > 0 and size % known == 0:
            found[free[0]] = size // known
        elif free or known != size or any(found[name] < 0 for name in group):
            shown = " ".join(f"{n}={found[n]}" if n in found else n for n in group) or "1"
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"rearrange: axis {i} has length {size}, which is not ({shown}) of {spec!r}.",
            )
    return found


def _invalid(spec: Any, problem: str, hint: str = "") -> CompileError:
    message = f"rearrange: {spec!r} {problem}."
    return CompileError(Code.E_GRAPH_INVALID, message, hints=hint or ())
