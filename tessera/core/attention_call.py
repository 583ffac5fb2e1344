"""What a call of attention asks for, checked: the operands and options its formulas take.

Inside, heads are (g, r): g key heads, each shared by r query heads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tessera.core import kvcache, numerics
from tessera.core.determinism import as_level
from tessera.core.errors import Code, CompileError
from tessera.core.keywords import as_precision
from tessera.core.kvcache import RING, KVCache
from tessera.core.operands import as_integer, as_number, check_kind, to_array
from tessera.core.score_tiles import in_reach

Array = jax.Array


@dataclass(frozen=True)
class Attention:
    """A call, with `mask` (B, g|1, r|1, Lq|1, Lk|1) and `sinks` (g, r), None where absent.

    `q` is (B, g, r, Lq, D), `k` and `v` are (B, g, Lk, ...). `products` says how fp32 is multiplied.
    """

    q: Array
    k: Array
    v: Array
    mask: Array | None
    sinks: Array | None
    causal: bool
    window: int | None
    scale: float
    products: str | None
    blocks: Mapping[str, int | None]
    has_heads: bool
    out_dtype: Any  # None: that of what is computed
    cache: KVCache | None
    deterministic: str | None  # the level asked for

    def visible(self) -> Array | None:
        """Returns which scores count, or None if all do."""
        return visible_scores(self.q, self.k, self.mask, causal=self.causal, window=self.window)

    def result(self, out: Array) -> Any:
        """Returns what the call returns, for a result (B, g, r, Lq, E): with the cache, if it had one."""
        batch, groups, shared, rows, width = out.shape
        out = out.reshape(batch, groups * shared, rows, width)
        out = out if self.has_heads else jnp.squeeze(out, 1)
        out = out if self.out_dtype is None else out.astype(self.out_dtype)
        return out if self.cache is None else (out, self.cache)


def read_call(
    op: str,
    q: Any,
    k: Any,
    v: Any,
    *,
    causal: bool = False,
    mask: Any = None,
    window: Any = None,
    sinks: Any = None,
    scale: Any = None,
    block_q: Any = None,
    block_k: Any = None,
    block_d: Any = None,
    params: Mapping[str, Any] | None = None,
    precision: Any = None,
    accumulate: Any = "fp32",
    cache: Any = None,
    layer: Any = 0,
    deterministic: Any = None,
    num_heads: Any = None,
) -> Attention:
    """Returns the call that the arguments of `op.flash_attention` make; raises the errors it names."""
    require_arrays(op, q, k, v, num_heads)
    if accumulate != "fp32":
        fix = "fp32, which is fp64 for fp64 operands"
        raise _invalid(op, f"accumulate={accumulate!r} is unknown", fix)
    level = as_level(op, deterministic)
    direct = {"block_q": block_q, "block_k": block_k, "block_d": block_d}
    blocks = _blocks(op, direct, params or {})
    window = _window(op, window)
    arrays, has_heads = _with_head_axis(op, q, k, v)
    asked = None if precision is None else as_precision(op, precision)
    out_dtype = None if asked is None and cache is None else _common_dtype(op, arrays)
    seen = None
    if cache is not None:
        step = kvcache.step(op, cache, layer, arrays, window)
        if mask is not None and cache.kind == RING:
            raise _invalid(op, "a mask is over positions, which slots of a ring are not", "window=")
        arrays, seen, cache = [arrays[0], step.k, step.v], step.seen, step.cache
        causal, window = False, None
    if asked is not None:
        arrays = [x.astype(asked.dtype) for x in arrays]
    grouped, mask, sinks = _in_groups(op, arrays, mask, sinks, has_heads)
    return Attention(
        grouped,
        *arrays[1:],
        mask=mask if seen is None else _and_seen(op, mask, seen, len(grouped)),
        sinks=sinks,
        causal=bool(causal),
        window=window,
        scale=max(grouped.shape[-1], 1) ** -0.5 if scale is None else as_number(op, "scale", scale),
        products=None if asked is None else asked.products,
        blocks=blocks,
        has_heads=has_heads,
        out_dtype=out_dtype,
        cache=cache,
        deterministic=level,
    )


def require_arrays(op: str, q: Any, k: Any, v: Any, num_heads: Any = None) -> None:
    """Raises `E_GRAPH_INVALID`, naming the call on arrays, for a call that asks for a module."""
    if q is None or k is None or v is None or num_heads is not None:
        raise _invalid(
            op,
            "it is a function of arrays, not a factory of modules",
            f"{op}(q, k, v) with q (B, heads, L, D); op.split_heads makes the heads",
        )


def visible_scores(
    q: Array, k: Array, mask: Array | None, *, causal: bool, window: int | None
) -> Array | None:
    """Returns which scores (..., g, r, i, j) count, or None if all do; broadcastable, of the scores' rank."""
    rows, columns = q.shape[-2], k.shape[-2]
    visible = None
    if causal or window is not None:
        position = lax.broadcasted_iota(jnp.int32, (rows, columns), 0) + (columns - rows)
        back = position - lax.broadcasted_iota(jnp.int32, (rows, columns), 1)
        visible = in_reach(back, causal, window).reshape((1,) * (q.ndim - 2) + (rows, columns))
    if mask is None:
        return visible
    return mask if visible is None else mask & visible


def per_head(sinks: Array, like: Array) -> Array:
    """Returns sinks (g, r) aligned with an array (..., g, r, i, 1), in its dtype."""
    return sinks.astype(like.dtype).reshape((1,) * (like.ndim - 4) + (*sinks.shape, 1, 1))


def _with_head_axis(op: str, q: Any, k: Any, v: Any) -> tuple[list[Array], bool]:
    """Returns q, k, v as (B, H, L, D), and whether they had heads."""
    arrays = [to_array(op, name, x) for name, x in zip("qkv", (q, k, v), strict=True)]
    ranks = [x.ndim for x in arrays]
    if ranks == [4, 4, 4]:
        return arrays, True
    if ranks == [3, 3, 3]:
        return [jnp.expand_dims(x, 1) for x in arrays], False
    raise _mismatch(op, f"q, k, v have ranks {ranks}", "all (B, L, D) or all (B, H, L, D)")


def _in_groups(
    op: str, arrays: Sequence[Array], mask: Any, sinks: Any, has_heads: bool
) -> tuple[Array, Array | None, Array | None]:
    q, k, _ = arrays
    batch, heads, rows, depth = q.shape
    groups = k.shape[1]
    if groups == 0 or heads % groups:
        problem = f"q has {heads} heads and k has {groups}"
        raise _mismatch(op, problem, "key heads must divide query heads")
    if mask is not None:
        mask = to_array(op, "mask", mask)
        mask = jnp.expand_dims(mask, -3) if mask.ndim == 3 and not has_heads else mask
        mask = _grouped_mask(op, mask, (batch, groups, heads // groups, rows, k.shape[2]))
    if sinks is not None:
        sinks = to_array(op, "sinks", sinks)
        if sinks.shape != (heads,):
            fix = f"one logit per query head, ({heads},)"
            raise _mismatch(op, f"sinks has shape {sinks.shape}", fix)
        sinks = sinks.reshape(groups, heads // groups)
    return q.reshape(batch, groups, heads // groups, rows, depth), mask, sinks


def _grouped_mask(op: str, mask: Array, shape: tuple[int, ...]) -> Array:
    """Returns a mask broadcastable to (B, H, Lq, Lk) as (B, g or 1, r or 1, Lq or 1, Lk or 1)."""
    batch, groups, shared, rows, columns = shape
    full = (batch, groups * shared, rows, columns)
    sizes = [1] * (4 - mask.ndim) + list(mask.shape)
    if len(sizes) > 4 or any(n not in (1, m) for n, m in zip(sizes, full, strict=True)):
        fix = f"a shape that broadcasts to {full}"
        raise _mismatch(op, f"mask has shape {mask.shape}", fix)
    outer, heads, *inner = sizes
    mask = mask.reshape(outer, *((1, 1) if heads == 1 else (groups, shared)), *inner)
    return jnp.broadcast_to(mask, (batch, *mask.shape[1:]))


def _and_seen(op: str, mask: Array | None, seen: Array, batch: int) -> Array:
    """Returns the mask of attention to a cache: what the positions allow, and the mask given."""
    seen = jnp.broadcast_to(seen, (batch, 1, 1, *seen.shape))
    if mask is None:
        return seen
    check_kind(op, "mask", mask, "bool")
    return mask & seen


def _common_dtype(op: str, arrays: Sequence[Array]) -> Any:
    for name, x in zip("qkv", arrays, strict=True):
        check_kind(op, name, x, "float")
    return reduce(numerics.wider, [x.dtype for x in arrays])


def _window(op: str, window: Any) -> int | None:
    if window is None:
        return None
    found = as_integer(op, "window", window)
    if found < 1:
        fix = "window >= 1, or None for no window"
        raise _invalid(op, f"window={found} hides every key", fix)
    return found


def _blocks(op: str, direct: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, int | None]:
    for name, value in params.items():
        if name not in direct:
            fix = f"one of {', '.join(direct)}"
            raise _invalid(op, f"params has an unknown key {name!r}", fix)
        if direct[name] is not None:
            problem = f"{name} is given as {direct[name]} and in params as {value}"
            raise _invalid(op, problem, "give it once")
    blocks = {
        name: None if value is None else as_integer(op, name, value)
        for name, value in {**direct, **params}.items()
    }
    for name, value in blocks.items():
        if value is not None and value < 1:
            raise _invalid(op, f"{name} is {value}", f"{name} >= 1")
    return blocks


def _invalid(op: str, problem: str, fix: str) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=fix)


def _mismatch(op: str, problem: str, fix: str) -> CompileError:
    return CompileError(Code.E_SHAPE_MISMATCH, f"{op}: {problem}.", hints=fix)
