"""Attention: softmax(scale q k^T [masked]) v  →  tessera.graph.flash_attention.

    s = dot_general q k;  s = c s;  s = select m s -1e9;  p = softmax s;  o = dot_general p v
        →  o = flash_attention q k v m {scale = c}

Axes may stand in any order and heads may share keys: which axis is which is read from the labels that the
two products give each other. A mask that depends on nothing but the program is evaluated; where it is causal,
or a causal window, the op is told so and skips the tiles nobody sees. Any other mask is handed on.

The op gives zeros to a query that sees nothing. Where that cannot be ruled out the result is corrected to
what the program computes: NaN if hidden scores are minus infinity, the mean of v if they are finite, alike.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core import compat, numerics
from tessera.core.op import registered_op
from tessera.ir.graph import Node, jax_type
from tessera.lowering.axes import (
    Atoms,
    Axes,
    Labels,
    Layout,
    layout,
)
from tessera.lowering.idioms.attention_reading import (
    Found,
    Operand,
    Reading,
    read_attention,
)
from tessera.lowering.idioms.masks import (
    Band,
    Hidden,
    Mask,
    band_of,
    shown,
)
from tessera.lowering.idioms.softmax import closed
from tessera.lowering.match import dtype, param, shape
from tessera.lowering.rule import Context, Replacement, Rule

# The fewest scores per head for which tiles beat the whole, (all keys, causal), by bits of the operands, on
# the platforms that have tiles.
# cpu: measured forward and backward on one core that multiplies bf16 at twice the rate of fp32, which the
#   op's tiles do not use. From there on the op took 0.3 to 1.0 of the plain time, at half of it up to 1.6.
# cuda, rocm: measured on an H100 in bf16 (benchmarks/results), where 256 x 256 scores took a sixth of the
#   time and more of them less; in fp32, which XLA multiplies in TF32 there, tiles took 1.5 times it.
ON_CPU = {16: (2**22, 2**18), 32: (2**17, 2**17), 64: (2**17, 2**17)}
ON_GPU = {16: (2**16, 2**16)}
PAYS_FROM = {"cpu": ON_CPU, "cuda": ON_GPU, "rocm": ON_GPU}

NARROW = (
    "a step between has less precision than its operands, and flash_attention would not round there"
)
UNLIKE = (
    "a row that sees nothing would get another value: its hidden scores differ among themselves"
)
ADDED = (
    "a row that sees nothing would get another gradient, as a sum lets that of its scores pass: hide them "
    "by jnp.where(mask, scores, low)"
)
SHARDED = "operands are sharded over Explicit axes, across which the op's form would reshape"
PRECISE = "the products ask for a precision that flash_attention does not pass on"


@dataclass(frozen=True)
class Attention:
    """Computes an attention that was found: brings operands into the op's form and the result back."""

    q: Layout
    k: Layout
    v: Layout
    masks: tuple[tuple[Layout, bool], ...]
    band: Band
    scale: float
    empty: str  # what a row that sees nothing gets: "zero" if there is none, "mean" or "nan"
    parts: tuple[int, ...]  # sizes of the result's atoms, as the op gives them
    order: tuple[int, ...]
    out: tuple[int, ...]
    dtype: str

    def __call__(self, q: jax.Array, k: jax.Array, v: jax.Array, *masks: jax.Array) -> jax.Array:
        """Returns the attention of arrays of the types it was found with."""
        wide = numerics.wider(numerics.wider(q.dtype, k.dtype), numerics.wider(v.dtype, self.dtype))
        pairs = ((q, self.q), (k, self.k), (v, self.v))
        queries, keys, values = (place.apply(x.astype(wide)) for x, place in pairs)
        mask = _combined(masks, self.masks)
        op = registered_op("flash_attention")
        result = op(
            queries,
            keys,
            values,
            mask=mask,
            causal=self.band.causal,
            window=self.band.window,
            scale=self.scale,
        )
        if mask is not None and self.empty != "zero":
            seen = _sees_any(mask, self.band, queries.shape[2], keys.shape[2])
            result = jnp.where(seen, result, self._of_nothing(values, result))
        result = jnp.transpose(result.reshape(self.parts), self.order)
        return result.reshape(self.out).astype(self.dtype)

    def _of_nothing(self, values: jax.Array, result: jax.Array) -> jax.Array:
        if self.empty == "nan":
            return jnp.full((1,) * result.ndim, jnp.nan, result.dtype)
        wide = values.astype(numerics.accumulator(values.dtype))
        mean = jnp.mean(wide, axis=2, keepdims=True).astype(result.dtype)
        return jnp.repeat(mean, result.shape[1] // mean.shape[1], axis=1)


def match_attention(node: Node, context: Context) -> Replacement | None:
    """Returns flash attention in the place of the product of softmax weights with values."""
    for side in (0, 1):
        found = read_attention(node, side)
        if found is not None:
            return _replacement(node, found, context)
    return None


# -- the op's view of it -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Groups:
    """The atoms of each axis of (B, G, R, Lq, Lk, D, E)."""

    batch: Atoms
    heads: Atoms
    shared: Atoms
    rows: Atoms
    keys: Atoms
    depth: Atoms
    values: Atoms


def _replacement(node: Node, found: Found, context: Context) -> Replacement | None:
    reading, axes = found.reading, found.reading.axes
    masks = [_settled(axes, mask) for hidden in reading.hidden for mask in hidden.masks]
    visible = [shown(mask) for mask in masks]
    groups = _groups(found, masks, visible)
    if groups is None:
        return None
    band, kept = _bands(axes, groups, masks, visible)
    empty = _of_nothing(reading.hidden) if _may_be_empty(axes, groups, masks, visible) else "zero"
    rows, keys = axes.size(groups.rows), axes.size(groups.keys)
    reasons = (
        reading.problem,
        SHARDED if any(map(_is_sharded, (found.q, found.k, found.v))) else "",
        NARROW if _rounds(found) else "",
        PRECISE if context.device.platform != "cpu" and _asks_for_precision(reading) else "",
        {"unlike": UNLIKE, "added": ADDED}.get(empty, ""),
        _gains_nothing(rows, keys, _bits(found), band.causal, context.device.platform),
    )
    because = next((reason for reason in reasons if reason), "")
    operands = (found.q.value, found.k.value, found.v.value, *(mask.value for mask in kept))
    build = _attention(found, groups, kept, band, empty, node)
    reason = f"{rows} x {keys} scores per head are never whole in memory"
    nodes = tuple(dict.fromkeys(reading.nodes))
    return Replacement(
        node.results[0],
        operands,
        build,
        nodes=len(nodes),
        kept_because=because,
        reason=reason,
        shared=not closed(nodes, node),
    )


def _gains_nothing(rows: int, keys: int, bits: int, causal: bool, platform: str) -> str:
    if platform not in PAYS_FROM:
        return f"flash_attention computes scores whole on {platform}, as the program does"
    if bits not in PAYS_FROM[platform]:
        return f"flash_attention was not measured for {bits}-bit operands on {platform}"
    least = PAYS_FROM[platform][bits][causal]
    if rows * keys >= least:
        return ""
    return f"{rows} x {keys} scores are few: tiles of {bits}-bit operands pay from {least}"


def _settled(axes: Axes, mask: Mask) -> Mask:
    return Mask(mask.value, tuple(axes.resolved(atoms) for atoms in mask.labels), mask.shows)


def _groups(
    found: Found, masks: Sequence[Mask], visible: Sequence[np.ndarray | None]
) -> _Groups | None:
    """Returns which atom plays which part, or None if the products do not fit an attention."""
    axes = found.reading.axes
    q, k, v = (_ordered(axes, x.labels) for x in (found.q, found.k, found.v))
    out, keys = _ordered(axes, found.out), axes.resolved(found.keys)
    both = [a for a in q if (a in k or a in v) and a in out]
    depth = tuple(a for a in q if a not in out)
    rows = [a for a in q if a in out and a not in both]
    values = tuple(a for a in v if a in out and a not in q)
    fits = (
        set(k) <= {*both, *keys, *depth}
        and set(v) == {*keys, *values} | (set(both) & set(v))
        and set(out) == {*both, *rows, *values}
        and set(keys) <= set(k)
        and set(depth) <= set(k)
    )
    if not fits:
        return None
    row = _row_atom(axes, rows, keys, masks, visible)
    in_masks = {a for mask in masks for atoms in mask.labels for a in atoms}
    split = len(both) - 1 if not in_masks & set(both) else None
    batch = [a for i, a in enumerate(both) if (a in in_masks if split is None else i < split)]
    return _Groups(
        batch=tuple(batch),
        heads=tuple(a for a in both if a not in batch),
        shared=tuple(a for a in rows if a not in row),
        rows=row,
        keys=keys,
        depth=depth,
        values=values,
    )


def _ordered(axes: Axes, labels: Labels) -> list[int]:
    return [atom for atoms in labels for atom in axes.resolved(atoms)]


def _row_atom(
    axes: Axes,
    rows: Sequence[int],
    keys: Atoms,
    masks: Sequence[Mask],
    visible: Sequence[np.ndarray | None],
) -> Atoms:
    """Returns the query axis: the one a mask by position depends on, else the longest."""
    for mask, seen in zip(masks, visible, strict=True):
        if seen is None:
            continue
        used = {a for atoms, n in zip(mask.labels, seen.shape, strict=True) if n > 1 for a in atoms}
        used -= set(keys)
        if len(used) == 1 and used <= set(rows):
            return tuple(used)
    return tuple(sorted(rows, key=lambda atom: axes.size((atom,)))[-1:])


def _bands(
    axes: Axes, groups: _Groups, masks: Sequence[Mask], visible: Sequence[np.ndarray | None]
) -> tuple[Band, list[Mask]]:
    """Returns what is hidden by position alone, and the masks that hide anything else."""
    band = Band(False, None)
    kept: list[Mask] = []
    for mask, seen in zip(masks, visible, strict=True):
        matrix = _by_position(axes, groups, mask, seen)
        size = axes.size(groups.rows), axes.size(groups.keys)
        part = None if matrix is None else band_of(matrix, *size)
        if part is None:
            kept.append(mask)
            continue
        windows = [w for w in (band.window, part.window) if w is not None]
        band = Band(band.causal or part.causal, min(windows, default=None))
    return band, kept


def _by_position(
    axes: Axes, groups: _Groups, mask: Mask, seen: np.ndarray | None
) -> np.ndarray | None:
    """Returns a mask that depends on query and key alone as (rows or 1, keys or 1)."""
    if seen is None:
        return None
    used = [atoms if n > 1 else () for atoms, n in zip(mask.labels, seen.shape, strict=True)]
    if any(atoms not in ((), groups.rows, groups.keys) for atoms in used):
        return None
    order = [atoms for atoms in used if atoms]
    matrix = seen.reshape([n for n in seen.shape if n > 1])
    if order == [groups.keys, groups.rows]:
        matrix = matrix.T
    sizes = [axes.size(x) if x in order else 1 for x in (groups.rows, groups.keys)]
    return matrix.reshape(sizes)


def _may_be_empty(
    axes: Axes, groups: _Groups, masks: Sequence[Mask], visible: Sequence[np.ndarray | None]
) -> bool:
    """Returns whether it cannot be ruled out that a query sees nothing."""
    matrices = [
        _by_position(axes, groups, mask, seen) for mask, seen in zip(masks, visible, strict=True)
    ]
    together = np.ones((axes.size(groups.rows), axes.size(groups.keys)), bool)
    for matrix in matrices:
        if matrix is None:
            return True
        together = together & matrix
    return not together.any(axis=1).all()


def _of_nothing(hidden: Sequence[Hidden]) -> str:
    """Returns what softmax weights give a row all of whose scores are hidden."""
    fills = {h.fill for h in hidden}
    if fills == {float("-inf")}:
        return "nan"
    if len(fills) > 1 or not all(h.alike and math.isfinite(h.fill) for h in hidden):
        return "unlike"
    if any(h.added for h in hidden):
        return "added"
    return "mean"


def _rounds(found: Found) -> bool:
    """Returns whether a value on the way is narrower than the operands."""
    widest = _bits(found)
    results = [r for node in found.reading.nodes[1:] for r in node.results]
    floats = [dtype(r) for r in results if jnp.issubdtype(dtype(r), jnp.floating)]
    return any(jnp.finfo(of).bits < widest for of in floats)


def _is_sharded(operand: Operand) -> bool:
    return compat.explicitly_sharded(jax_type(operand.value))


def _bits(found: Found) -> int:
    return max(jnp.finfo(dtype(x.value)).bits for x in (found.q, found.k, found.v))


def _asks_for_precision(reading: Reading) -> bool:
    """Whether a product asks for what the op may not give: one of 16-bit floats is exact in its fp32 sums."""
    dots = [node for node in reading.nodes if node.name == "jax.dot_general"]
    wide = [dot for dot in dots if dtype(dot.operands[0]).itemsize > 2]
    return any(param(dot, "precision") is not None for dot in wide)


def _attention(
    found: Found, groups: _Groups, masks: Sequence[Mask], band: Band, empty: str, node: Node
) -> Attention:
    axes = found.reading.axes
    heads = groups.heads + groups.shared
    made = groups.batch + heads + groups.rows + groups.values
    out = _ordered(axes, found.out)

    def place(operand: Operand | Mask, *of: Atoms, repeated: bool = True) -> Layout:
        labels = tuple(axes.resolved(atoms) for atoms in operand.labels)
        return layout(axes, labels, of, repeated)

    return Attention(
        q=place(found.q, groups.batch, heads, groups.rows, groups.depth),
        k=place(found.k, groups.batch, groups.heads, groups.keys, groups.depth),
        v=place(found.v, groups.batch, groups.heads, groups.keys, groups.values),
        masks=tuple(
            (place(m, groups.batch, heads, groups.rows, groups.keys, repeated=False), m.shows)
            for m in masks
        ),
        band=band,
        scale=found.reading.scale,
        empty=empty,
        parts=tuple(axes.size((atom,)) for atom in made),
        order=tuple(made.index(atom) for atom in out),
        out=tuple(shape(node.results[0])),
        dtype=str(dtype(node.results[0])),
    )


def _combined(
    masks: Sequence[jax.Array], places: Sequence[tuple[Layout, bool]]
) -> jax.Array | None:
    mask = None
    for x, (place, shows) in zip(masks, places, strict=True):
        part = place.apply(x.astype(bool))
        part = part if shows else ~part
        mask = part if mask is None else mask & part
    return mask


def _sees_any(mask: jax.Array, band: Band, rows: int, columns: int) -> jax.Array:
    """Returns whether each query sees a key, (B or 1, H or 1, Lq or 1, 1)."""
    if band != Band(False, None):
        back = jnp.arange(rows)[:, None] + (columns - rows) - jnp.arange(columns)[None, :]
        near = back < (columns + rows if band.window is None else band.window)
        mask = mask & (near & (back >= 0) if band.causal else near)[None, None]
    return jnp.any(mask, axis=-1, keepdims=True)


ATTENTION = Rule("flash_attention", frozenset({"jax.dot_general"}), match_attention)
