"""Calls for `test_fuzz_ops`: elementwise functions, norms, reductions, movement, casts, control flow."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import scipy.special
from fuzz_source import (
    ALL_FINITE,
    LARGE,
    Call,
    Case,
    Entry,
    Operand,
    Shape,
    Source,
    UnsaidError,
    at_least_fp32,
    broadcastable,
    call_first,
    common,
    floating,
    require,
)

from tessera import op

# -- single elements -----------------------------------------------------------------------------


def of_one(exact: Callable[..., Any], **words: Any) -> Case:
    """A function of one array that keeps shape and dtype; `words` are options of static arguments."""

    def case(s: Source) -> Call:
        x = s.array(*s.shape())
        chosen = {name: s.pick(*options) for name, options in words.items()}
        return Call((x,), chosen, lambda: exact(x.value, **chosen), x.dtype)

    return case


def as_jnp(exact: Callable[..., Any], function: Callable[..., Any], count: int) -> Case:
    """A function of single elements with the dtypes of a function of jax.numpy."""

    def case(s: Source) -> Call:
        shape = s.shape()
        xs = [
            s.array(*(shape if i == 0 else broadcastable(s, shape)), scalars=True)
            for i in range(count)
        ]

        def dtype() -> Any:
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                return jax.eval_shape(function, *(x.given for x in xs)).dtype

        def want() -> Any:
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                jax.eval_shape(function, *(x.given for x in xs))  # raises for booleans subtracted
            shape = np.broadcast_shapes(*(x.shape for x in xs))
            # Without values where NumPy's integers would be wider than the op's.
            values = exact(*(x.value for x in xs))
            return values if np.shape(values) == shape else Shape(shape)

        return Call(tuple(xs), {}, want, dtype)

    return case


def power(a: Any, b: Any) -> Any:
    if a.dtype.kind not in "iub" or b.dtype.kind not in "iub":
        return np.power(a, b)
    if b.size and b.min() < 0:
        raise UnsaidError  # refused, or a float where the other is a boolean
    return None


def atan2(s: Source) -> Call:
    shape = s.shape()
    y, x = s.array(*shape), s.array(*broadcastable(s, shape))
    return Call((y, x), {}, lambda: np.arctan2(y.value, x.value), common(x, y))


def threshold(s: Source) -> Call:
    x, t = s.array(*s.shape()), s.pick(0.5, 0.0, 1, -1.0, 5.0)
    mode = s.off("hard", "soft", "firm")

    def want() -> Any:
        require(mode in ("hard", "soft"))
        if mode == "hard":
            return np.where(np.abs(x.value) >= t, x.value, 0)
        size = np.abs(x.value)
        with np.errstate(all="ignore"):
            return (
                np.where(size > t, x.value * (1 - t / np.where(size == 0, 1, size)), 0)
                if t >= 0
                else Shape(x.shape)
            )

    return Call((x, t, mode), {}, want, floating(x))


def logic(name: str) -> Case:
    def case(s: Source) -> Call:
        shape = s.shape()
        one = s.pick("logic", "bool", "integer")
        a = s.array(*shape, kind=one, within=(0, 1))
        words = (
            {}
            if name == "logic_not"
            else {"logic": s.off("product", "godel", "lukasiewicz", "fuzzy")}
        )
        xs = (
            [a]
            if name == "logic_not"
            else [a, s.array(*broadcastable(s, shape), kind=one, within=(0, 1))]
        )
        same = len({x.dtype.kind in "iu" for x in xs}) == 1

        def want() -> Any:
            require(words.get("logic", "product") in ("product", "godel", "lukasiewicz"))
            require(same)
            shape = np.broadcast_shapes(*(x.shape for x in xs))
            if len({x.dtype for x in xs}) > 1:
                return Shape(shape)
            return oracles.LOGIC[name](*(x.value for x in xs), **words)

        return Call(tuple(xs), words, want, common(*xs))

    return case


# -- norms ---------------------------------------------------------------------------------------


def softmax(s: Source) -> Call:
    x = s.array(*s.shape())
    axis = s.axis(len(x.shape))
    words = {} if s.pick(True, False) else {"stable": True}

    def want() -> Any:
        moved = np.moveaxis(x.value, axis, -1)
        if moved.shape[-1] == 0:
            return x.value
        return np.moveaxis(scipy.special.softmax(moved, axis=-1), -1, axis)

    return Call((x, axis), words, want, x.dtype)


def row_norm(names: tuple[str, ...]) -> Case:
    def case(s: Source) -> Call:
        x = s.array(*s.shape(s.off(1, 0)))
        n = x.shape[-1] if x.shape else 1
        words: dict[str, Any] = {w: s.array(s.near(n)) for w in names if s.pick(False, True)}
        eps = s.pick(1e-5, 1e-3)
        oracle = oracles.rmsnorm if names == ("weight",) else oracles.layernorm
        if "bias" in names and x.shape and s.rarely():
            words["axis"] = s.axis(len(x.shape))

        def want() -> Any:
            axis = words.get("axis", -1)
            moved = np.moveaxis(x.value, axis, -1)
            given = {w: words[w].value for w in words if w != "axis"}
            require(all(v.shape == moved.shape[-1:] for v in given.values()))
            if moved.size == 0:
                return x.value
            return np.moveaxis(oracle(moved, **given, eps=eps), -1, axis)

        return Call((x, eps), words, want, x.dtype)

    return case


def batch_norm(s: Source) -> Call:
    x = s.array(*s.shape(s.off(2, 1)))
    layout = s.off("nhwc", "nchw", "chwn")
    rank = len(x.shape)
    axis = 1 if layout == "nchw" else rank - 1
    n = x.shape[axis] if rank > axis else 1
    weight, bias = (s.pick(None, s.array(s.near(n))) for _ in range(2))
    stats = s.pick(None, (s.array(s.near(n)), s.array(s.near(n), within=(0.5, 2))))
    words = {
        "training": s.pick(False, True),
        "momentum": s.off(0.1, 0.0, 1.0, 1.5),
        "layout": layout,
    }

    def want() -> Any:
        require(layout in ("nhwc", "nchw") and rank >= 2 and 0 <= words["momentum"] <= 1)
        vectors = [v for v in (weight, bias, *(stats or ())) if v is not None]
        require(all(v.shape == (n,) for v in vectors))
        others = tuple(i for i in range(rank) if i != axis)
        of_batch = words["training"] or stats is None
        require(not of_batch or 0 not in [x.shape[i] for i in others])
        shape = tuple(n if i == axis else 1 for i in range(rank))
        if of_batch:
            mean, var = x.value.mean(others), x.value.var(others)
        else:
            mean, var = (v.value for v in stats or ())
        y = (x.value - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + 1e-5)
        y = y if weight is None else y * weight.value.reshape(shape)
        y = y if bias is None else y + bias.value.reshape(shape)
        if not words["training"]:
            return y
        count = x.data.size // max(n, 1)
        old = (np.zeros(n), np.ones(n)) if stats is None else [v.value for v in stats]
        batch = mean, var * count / max(count - 1, 1)
        m = words["momentum"]
        return y, *((1 - m) * a + m * b for a, b in zip(old, batch, strict=True))

    wide = at_least_fp32(x)
    dtype = (x.dtype, wide, wide) if words["training"] else x.dtype
    return Call((x, weight, bias, stats), words, want, dtype)


def norm(s: Source) -> Call:
    x = s.array(*s.shape())
    rank = len(x.shape)
    axis = s.pick(None, s.axis(rank), (s.axis(rank), s.axis(rank)))
    p = s.pick(2, 1, math.inf, -math.inf, 0, 3, "fro", "nuc", -2, 0.5)

    def want() -> Any:
        places = None if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, rank)
        v = x.value.ravel() if axis is None else x.value
        if places is None or len(places) == 1:
            require(not isinstance(p, str))
            if p not in (2, 1, math.inf, 0, 3):
                return Shape(() if places is None else tuple(np.delete(x.shape, places)))
        else:
            require(p in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf))
        along = 0 if places is None else places if len(places) == 2 else places[0]
        rest = tuple(n for i, n in enumerate(v.shape) if i not in np.atleast_1d(along))
        if any(v.shape[i] == 0 for i in np.atleast_1d(along)):
            return np.zeros(rest)
        if v.size == 0 or s.mode != "tame":
            return Shape(rest)
        return np.linalg.norm(v, ord=p, axis=along)

    real = jnp.finfo(floating(x)).dtype
    return Call((x, p, axis), {}, want, real)


# -- reductions ----------------------------------------------------------------------------------


def dot(s: Source) -> Call:
    shape = s.shape()
    x, y = s.array(*shape), s.array(*s.off(shape, (*shape, 2)))
    axis, keep = s.axis(len(shape)), s.pick(False, True)
    words = {"keepdims": keep, "method": s.pick(None, "compensated", "naive")}

    def want() -> Any:
        require(x.shape == y.shape and x.shape and -len(shape) <= axis < len(shape))
        return np.sum(x.value * y.value, axis=axis, keepdims=keep)

    return Call((x, y, axis), words, want, common(x, y))


def summed(x: Operand, x64: bool) -> Any:
    """The dtype of a sum: integers narrower than the default one in that."""
    if x.dtype.kind in "iub":
        unsigned = x.dtype.kind == "u"
        return f"{'u' if unsigned else ''}int{64 if x64 else 32}"
    return x.dtype


def reduction(exact: Callable[..., Any], *, widens: str = "") -> Case:
    def case(s: Source) -> Call:
        x = s.array(*s.shape())
        rank = len(x.shape)
        axis = s.pick(None, s.axis(rank), (s.axis(rank), s.axis(rank)), ())
        keep = s.pick(False, True)

        def want() -> Any:
            places = axis if axis is None or isinstance(axis, tuple) else (axis,)
            if places is not None:
                places = np.lib.array_utils.normalize_axis_tuple(places, rank)
            value = x.value.astype(int) if x.dtype == np.bool_ and widens else x.value
            if widens == "mean":
                along = range(rank) if places is None else places
                require(0 not in [x.shape[i] for i in along])
            return exact(value, axis=places, keepdims=keep)

        dtype = (
            summed(x, s.x64) if widens == "sum" else floating(x) if widens == "mean" else x.dtype
        )
        if widens == "mean" and dtype == np.float32 and s.x64 and x.dtype.kind in "iub":
            dtype = jnp.dtype("float64")
        return Call((x, axis), {"keepdims": keep}, want, dtype)

    return case


def reduce(s: Source) -> Call:
    x, word = s.array(*s.shape()), s.off("sum", "mean", "max", "min", "prod", "median")
    axis = s.pick(None, s.axis(len(x.shape)))

    def want() -> Any:
        exact = {"sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod, "mean": np.mean}[
            word
        ]
        rank = len(x.shape)
        along = range(rank) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, rank)
        require(word in ("sum", "prod") or 0 not in [x.shape[i] for i in along])
        return exact(x.value, axis=axis)

    return Call((x, word, axis), {}, want, x.dtype)


def segment_reduce(s: Source) -> Call:
    n, rest, segments = s.size(), s.shape(0, 2), s.off(s.size(), -1, 1.5)
    x, ids = s.array(n, *rest), s.indices(s.near(n), below=max(int(segments), 1), stray=2)
    word = s.off("sum", "mean", "max", "min")

    def want() -> Any:
        require(isinstance(segments, int) and segments >= 0 and ids.shape == (n,))
        require(word in ("sum", "mean", "max"))
        if s.mode != "tame":
            return Shape((segments, *rest))
        flat = x.value.reshape(n, math.prod(rest))
        y = oracles.segment_reduce(
            flat, ids.value, range(segments), op="max" if word == "max" else "sum"
        )
        if word == "mean":
            counts = np.array([np.sum(ids.value == i) for i in range(segments)])
            y = y / np.maximum(counts, 1)[:, None]
        if word == "max":
            y = np.maximum(y, float(jnp.finfo(x.dtype).min))
        return y.reshape(segments, *rest)

    return Call((x, ids, word), {"num_segments": segments}, want, x.dtype)


def scan(s: Source) -> Call:
    x, word = s.array(*s.shape()), s.off("inclusive_sum", "exclusive_sum", "sum")
    axis = s.axis(len(x.shape))

    def want() -> Any:
        require(word in ("inclusive_sum", "exclusive_sum"))
        total = np.cumsum(x.value if x.dtype != np.bool_ else x.value.astype(int), axis=axis)
        require(x.shape)
        return total if word == "inclusive_sum" else total - x.value

    return Call((x, word, axis), {}, want, summed(x, s.x64))


# -- movement ------------------------------------------------------------------------------------


def reshape(s: Source) -> Call:
    x = s.array(*s.shape(0, 3))
    n = x.data.size
    shape = s.off(
        (n,), (-1,), (1, n), (n, -1), (2, -1), (-1, -1), (-2,), n, x.shape[::-1], (1.5,), "ab", None
    )

    def want() -> Any:
        sizes = (shape,) if isinstance(shape, int) else shape
        require(min(sizes, default=0) >= -1)
        if n == 0 and -1 in sizes:
            raise UnsaidError
        return x.value.reshape(sizes)

    return Call((x, shape), {}, want, x.dtype)


def transpose(s: Source) -> Call:
    x = s.array(*s.shape())
    rank = len(x.shape)
    axes = s.off(
        None, tuple(range(rank))[::-1], tuple(range(-rank, 0)), (0, 0), (rank,), 0, (0.5,), "ab"
    )
    return Call(
        (x, axes),
        {},
        lambda: np.transpose(x.value, axes if not isinstance(axes, int) else [axes, 9]),
        x.dtype,
    )


def concat(s: Source) -> Call:
    shape = s.shape(s.off(1, 0), 3)
    xs = [s.array(*s.off(shape, shape[1:])) for _ in range(s.pick(2, 1, 3, 0))]
    axis = s.axis(len(shape))
    return Call(
        (xs, axis),
        {},
        lambda: np.concatenate([x.value for x in xs], axis),
        common(*xs) if xs else None,
    )


def split(s: Source) -> Call:
    x = s.array(*s.shape())
    axis = s.axis(len(x.shape))
    n = s.off(1, 2, 3, 0, -1, [1, 2], [2, 1], [0], [], 1.5, "x", None)

    def want() -> Any:
        size = x.shape[axis]
        if isinstance(n, list):
            require(n == sorted(n) and all(0 <= i <= size for i in n))
        else:
            require(isinstance(n, int) and n >= 1 and size % n == 0)
        return np.split(x.value, n, axis)

    return Call((x, n, axis), {}, want, x.dtype)


def pad(s: Source) -> Call:
    x = s.array(*s.shape(0, 3))
    rank = len(x.shape)
    pads = s.off(
        1, 0, (1, 2), [(0, 1)] * rank, [(0, 1)] * (rank + 1), -1, 1.5, "x", [1, 2, 3], [(1,)], None
    )
    value = s.off(0, 1, s.array(2, plain=True))

    def want() -> Any:
        require(isinstance(value, int))
        found = np.asarray(pads)
        if rank == 0:
            raise UnsaidError
        require(found.dtype.kind in "iu" and (found >= 0).all())
        require(found.shape in ((), (2,), (rank, 2)))
        return np.pad(x.value, pads, constant_values=value)

    return Call((x, pads, value), {}, want, x.dtype)


def slice_(s: Source) -> Call:
    x = s.array(*s.shape(0, 3))
    sizes = tuple(s.off(n, max(n - 1, 0), n + 1, -1) for n in x.shape)
    starts = tuple(s.off(0, 1, -n, -n - 1, 0.5) for n in x.shape)
    lengths = s.off(sizes, (*sizes, 1), "x")

    def want() -> Any:
        require(len(lengths) == len(x.shape) and lengths != "x")
        at = [i + (n if i < 0 else 0) for i, n in zip(starts, x.shape, strict=True)]
        require(all(isinstance(i, int) for i in starts))
        require(
            all(
                i >= 0 and m >= 0 and i + m <= n for i, m, n in zip(at, sizes, x.shape, strict=True)
            )
        )
        return x.value[tuple(slice(i, i + m) for i, m in zip(at, sizes, strict=True))]

    return Call((x, starts, lengths), {}, want, x.dtype)


def gather(s: Source) -> Call:
    x = s.array(*s.shape())
    axis = s.axis(len(x.shape))
    size = x.shape[axis] if isinstance(axis, int) and -len(x.shape) <= axis < len(x.shape) else 1
    index = s.indices(*s.shape(0, 2), below=size, stray=1)

    def want() -> Any:
        require(x.shape and isinstance(axis, int))
        n = x.shape[axis]
        require(((index.value >= -n) & (index.value < n)).all())  # NumPy lets them be of no rows
        return np.take(x.value, index.value, axis)

    return Call((x, index, axis), {}, want, x.dtype)


def layout_cast(s: Source) -> Call:
    x = s.array(*s.shape(s.off(4, 0), 4))
    layout = s.off("nchw", "nhwc", "row_major", "col_major", "tile", 3)

    def want() -> Any:
        moves = {"nchw": (0, 3, 1, 2), "nhwc": (0, 2, 3, 1)}
        if layout in moves:
            return np.transpose(x.value, moves[layout])
        require(layout in ("row_major", "col_major"))
        if len(x.shape) != 4:
            raise UnsaidError
        return x.value

    return Call((x, layout), {}, want, x.dtype)


REARRANGEMENTS: tuple[tuple[str, dict[str, int], Callable[[Any], Any]], ...] = (
    ("a b -> b a", {}, lambda v: v.reshape(v.shape[0], v.shape[1]).T),
    ("... a b -> ... b a", {}, lambda v: v.swapaxes(-1, -2)),
    (
        "a (h b) -> h a b",
        {"h": 2},
        lambda v: (
            v.reshape(v.shape[0], 2, -1).swapaxes(0, 1) if v.shape[1] % 2 == 0 and v.size else None
        ),
    ),
    ("a b -> (a b)", {}, lambda v: v.reshape(v.shape[0] * v.shape[1])),
    ("a b -> a 1 b", {}, lambda v: v.reshape(v.shape[0], 1, v.shape[1])),
    ("-> ()", {}, lambda v: v.reshape(1) if v.ndim == 0 else None),
)
UNREADABLE = (
    "a b",
    "a -> b",
    "a a -> a",
    "(a b -> a b",
    "a b -> a b c",
    "",
    "->",
    "a b -> a -> b",
    "a\x00 -> a",
    "... ... -> ...",
)


def rearrange(s: Source) -> Call:
    spec, sizes, exact = s.pick(*REARRANGEMENTS)
    rank = 2 if s.pick(True, True, False) else s.pick(0, 1, 3)
    x = s.array(*s.shape(rank, rank))
    broken = s.off(spec, *UNREADABLE)
    sizes = s.off(sizes, {**sizes, "q": 2}, {"h": 0}, {"h": 1.5})

    def want() -> Any:
        if broken == "->" and not sizes and not x.shape:
            raise UnsaidError
        require(broken == spec)
        require(all(isinstance(n, int) for n in sizes.values()) and "q" not in sizes)
        require(("h" in spec) == ("h" in sizes) and sizes.get("h", 2) == 2)
        require(
            len(x.shape) == (0 if spec == "-> ()" else 2) or ("..." in spec and len(x.shape) >= 2)
        )
        if 0 in x.shape and "h" in spec:
            raise UnsaidError
        found = exact(x.value)
        require(found is not None)
        return found

    return Call((x, broken), sizes, want, x.dtype)


def tiled(v: Any, bm: int, bn: int) -> Any:
    *lead, m, n = v.shape
    return v.reshape(*lead, m // bm, bm, n // bn, bn).swapaxes(-3, -2)


def pack(s: Source) -> Call:
    x, layout = (
        s.array(*s.shape()),
        s.off(
            "tile(4,4)", "tile(2,3)", "tile(0,1)", "tile(a,b)", "tile(2)", "bsr(2,2)", "tile(2,3", 4
        ),
    )

    def want() -> Any:
        require(layout in ("tile(4,4)", "tile(2,3)") and len(x.shape) >= 2)
        bm, bn = (4, 4) if "4" in layout else (2, 3)
        m, n = x.value.shape[-2:]
        ends = [(0, 0)] * (len(x.shape) - 2) + [(0, -m % bm), (0, -n % bn)]
        return tiled(np.pad(x.value, ends), bm, bn)

    return Call((x, layout), {}, want, x.dtype)


def unpack(s: Source) -> Call:
    x, packed = s.array(*s.shape(2)), s.off(True, False)

    def run(x: Any) -> Any:
        return op.unpack(op.pack(x, "tile(2,3)") if packed else x)

    def want() -> Any:
        require(packed)
        return x.value

    return Call((run, x), {}, want, x.dtype)


def tile_view(s: Source) -> Call:
    x, bm, bn = s.array(*s.shape()), s.off(1, 2, 0, -1, 1.5, "x"), s.off(1, 3, 8, 0)
    words = {"BK": s.pick(1, 2, 0)} if s.rarely() else {}

    def want() -> Any:
        sizes = (bm, bn, *words.values())
        require(all(isinstance(n, int) and n >= 1 for n in sizes) and len(x.shape) >= len(sizes))
        require(all(n % b == 0 for n, b in zip(x.shape[-len(sizes) :], sizes, strict=True)))
        if words:
            tail = zip(x.shape[-3:], sizes, strict=True)
            return Shape((*x.shape[:-3], *(n // b for n, b in tail), *sizes))
        return tiled(x.value, bm, bn)

    return Call((x, bm, bn), words, want, x.dtype)


# -- arrays and dtypes ---------------------------------------------------------------------------


def assert_shape(s: Source) -> Call:
    x = s.array(*s.shape())
    spec = s.off(
        "*b",
        "*b n",
        "n n",
        "2 3",
        "m n",
        ("n", None),
        (None, 3),
        "n)",
        "*a *b",
        3,
        ("n", 1.5),
        "",
        "()",
    )

    def want() -> Any:
        shape, rank = x.shape, len(x.shape)
        holds = {
            "*b": True,
            "*b n": rank >= 1,
            "n n": rank == 2 and shape[0] == shape[-1],
            "2 3": shape == (2, 3),
            "m n": rank == 2,
            ("n", None): rank == 2,
            (None, 3): rank == 2 and shape[-1] == 3,
            "()": rank == 0,
        }
        require(holds.get(spec, False))
        return x.value

    return Call((x, spec), {}, want, x.dtype)


def cast(s: Source) -> Call:
    x = s.array(*s.shape())
    word = s.off(
        s.pick("fp32", "bf16", "fp16", "int32", "uint8", "bool", "complex64"),
        "float",
        "fp128",
        None,
        3,
        "int64",
    )
    names = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16", "float": "float64"}
    name = names.get(word, word) if isinstance(word, str) else word

    def want() -> Any:
        if word == "float" or (word == "bool" and np.iscomplexobj(x.value)):
            raise UnsaidError
        target = jnp.dtype(name)
        require(name is not None and (s.x64 or name != "int64"))
        require(not np.iscomplexobj(x.value) or target.kind == "c")
        if jnp.issubdtype(target, jnp.integer):
            if x.dtype.kind in "iub":
                return x.value.astype(target)
            return np.trunc(x.value) if target != jnp.uint8 and s.mode == "tame" else Shape(x.shape)
        return x.value != 0 if target == np.bool_ else x.value

    return Call((x, word), {}, want, name)


def copy(s: Source) -> Call:
    x, y = s.array(*s.shape()), s.array(*s.shape(0, 2))
    return Call(({"a": x, "b": [y, None]},), {}, lambda: [x.value, y.value], (x.dtype, y.dtype))


def check_numerics(s: Source) -> Call:
    xs = [s.array(*s.shape(0, 3)) for _ in range(s.pick(1, 2))]
    single = len(xs) == 1

    def want() -> Any:
        require(all(np.isfinite(x.value).all() for x in xs))
        return [x.value for x in xs]

    return Call((xs[0] if single else xs,), {}, want, tuple(x.dtype for x in xs))


SCHEMES = {
    "int8_per_channel": "int8",
    "int8_per_tensor": "int8",
    "fp8_e4m3_per_channel": "float8_e4m3fn",
    "fp8_e4m3_per_tensor": "float8_e4m3fn",
}


def quantize(s: Source) -> Call:
    x, scheme = s.array(*s.shape()), s.off(s.pick(*SCHEMES), "int4", "mxfp4")
    axis = s.axis(len(x.shape))

    def want() -> Any:
        require(scheme in SCHEMES)
        if "tensor" in scheme:
            if not isinstance(axis, int):
                raise UnsaidError
            return Shape(x.shape), Shape(())
        x.shape[axis]
        keep = tuple(n if i == axis % len(x.shape) else 1 for i, n in enumerate(x.shape))
        return Shape(x.shape), Shape(keep)

    wide = at_least_fp32(x)
    return Call((x, scheme), {"axis": axis}, want, (SCHEMES.get(scheme, "int8"), wide))


def dequantize(s: Source) -> Call:
    shape = s.shape(0, 3)
    values = Operand(s.array(*shape, kind="integer", plain=True).data.astype(np.int8))
    scales = s.array(*s.off((), (1,) * len(shape), shape, (2, 7, 7, 7)), within=(0.1, 1))
    scheme = s.off("int8_per_channel", "int8_per_tensor", "fp8_e4m3_per_tensor", "mxfp4", "int4")
    out = s.off("fp32", "bf16", "int8", "floaty")

    def want() -> Any:
        require(scheme.startswith("int8") and out in ("fp32", "bf16"))
        require(scales.shape in ((), (1,) * len(shape), shape))
        return values.value * scales.value

    return Call(
        (values, scales, scheme),
        {"out_dtype": out},
        want,
        {"fp32": "float32", "bf16": "bfloat16"}.get(out),
    )


def mxfp4(s: Source) -> Call:
    lead, n = s.shape(0, 2), s.some()
    scales = Operand(s.array(*lead, n, kind="integer", plain=True).data.astype(np.uint8))
    values = Operand(
        s.array(*lead, s.off(16 * n, 15), kind="integer", plain=True).data.astype(np.uint8)
    )

    def want() -> Any:
        require(values.shape[-1] == 16 * n)
        return Shape((*lead, 32 * n))

    return Call((values, scales, "mxfp4"), {}, want, "float32")


def tensor(s: Source) -> Call:
    x = s.array(*s.shape())
    flat = s.array(s.size())
    data: Any = s.pick(
        x,
        s.shape(),
        flat.data.astype(np.float64).tolist() if not np.iscomplexobj(flat.data) else [1.5],
    )
    data = s.off(data, (1, -1), (1.5,), [[1], [1, 2]], "x", None, ["a"])
    dtype = s.off(None, "fp32", "bf16", "floaty")

    def want() -> Any:
        require(dtype != "floaty")
        if isinstance(data, Operand):
            require(not (dtype and np.iscomplexobj(data.value)))
            return data.value
        if isinstance(data, tuple):
            return np.zeros(data)
        require(isinstance(data, list))
        return np.asarray(data, float)

    own = data.dtype if isinstance(data, Operand) else "float32"
    return Call(
        (data,),
        {"dtype": dtype},
        want,
        {"fp32": "float32", "bf16": "bfloat16"}.get(dtype or "", own),
    )


# -- control flow --------------------------------------------------------------------------------


def branches(s: Source) -> Call:
    x = s.array(*s.shape(0, 2))
    pred = s.off(True, False, np.True_, 1, "x", np.array([True]))
    other = s.off("same", "differ", "none")

    def run(x: Any) -> Any:
        second = {"same": lambda x: x, "differ": lambda x: jnp.zeros(9), "none": None}[other]
        return op.if_then_else(pred, lambda x: x, second, x)

    def want() -> Any:
        require(isinstance(pred, bool | np.bool_) and other == "same")
        return x.value

    return Call((run, x), {}, want, x.dtype)


def mapped(s: Source) -> Call:
    shape = s.shape(s.off(1, 0), 3)
    x, y = s.array(*shape), s.array(*s.off(shape, (99,)))

    def want() -> Any:
        require(x.shape and x.shape[0] == y.shape[0])
        if x.shape[0] == 0:
            raise UnsaidError
        return [x.value, y.value]

    return Call((lambda pair: pair, [x, y]), {}, want, (x.dtype, y.dtype))


def piped(s: Source) -> Call:
    x = s.array(*s.shape(0, 3))
    stages = s.off([op.relu, op.relu], [op.relu], [], [op.relu, None], 3)

    def run(x: Any) -> Any:
        return op.pipeline(stages)(x)

    def want() -> Any:
        require(isinstance(stages, list) and stages and None not in stages)
        return np.maximum(x.value, 0)

    return Call((run, x), {}, want, x.dtype)


def recursed(s: Source) -> Call:
    x, depth = s.array(*s.shape(0, 2)), s.off(2, 0, 1, -1, 1.5, None)
    keeps = s.off(True, False)

    def run(x: Any) -> Any:
        return op.recursive(lambda y: y if keeps else jnp.stack([y, y]), depth)(x)

    def want() -> Any:
        require(isinstance(depth, int) and depth >= 0 and (keeps or depth == 0))
        return x.value

    return Call((run, x), {}, want, x.dtype)


def predicate(s: Source) -> Call:
    x, k = s.array(*s.shape()), s.pick(1.0, 2.5)
    return Call(
        ("predicate_eval",), {"input": x, "k": k}, lambda: scipy.special.expit(k * x.value), x.dtype
    )


# -- the table -------------------------------------------------------------------------------------


ONE = {  # floats, as NumPy computes booleans in fp16
    "exp": (lambda x: np.exp(x * 1.0), jnp.exp),
    "log": (lambda x: np.log(x * 1.0), jnp.log),
    "sqrt": (lambda x: np.sqrt(x * 1.0), jnp.sqrt),
    "square": (np.square, jnp.square),
}
TWO = {
    "add": (np.add, jnp.add),
    "sub": (np.subtract, jnp.subtract),
    "mul": (np.multiply, jnp.multiply),
    "maximum": (np.maximum, jnp.maximum),
    "minimum": (np.minimum, jnp.minimum),
    "lt": (np.less, jnp.less),
    "le": (np.less_equal, jnp.less_equal),
    "gt": (np.greater, jnp.greater),
    "ge": (np.greater_equal, jnp.greater_equal),
    "eq": (np.equal, jnp.equal),
    "ne": (np.not_equal, jnp.not_equal),
}


ENTRIES: dict[str, Entry] = {
    "gelu": Entry(of_one(oracles.gelu, approximate=(False, True)), finite=ALL_FINITE),
    "silu": Entry(of_one(oracles.VALUES["silu"]), finite=ALL_FINITE),
    "relu": Entry(of_one(oracles.VALUES["relu"]), finite=ALL_FINITE),
    "tanh": Entry(of_one(np.tanh), finite=ALL_FINITE),
    "sigmoid": Entry(of_one(scipy.special.expit), finite=ALL_FINITE),
    "sin": Entry(of_one(np.sin), finite=LARGE),
    "cos": Entry(of_one(np.cos), finite=LARGE),
    "tan": Entry(of_one(np.tan), slack=2),
    "asin": Entry(of_one(np.arcsin), slack=2),
    "acos": Entry(of_one(np.arccos), slack=2),
    "cbrt": Entry(of_one(np.cbrt), finite=ALL_FINITE),
    "atan2": Entry(atan2, finite=ALL_FINITE),
    "threshold": Entry(threshold, "inexact"),
    **{name: Entry(as_jnp(np_, jnp_, 1), "any") for name, (np_, jnp_) in ONE.items()},
    **{name: Entry(as_jnp(np_, jnp_, 2), "any") for name, (np_, jnp_) in TWO.items()},
    "pow": Entry(as_jnp(power, jnp.power, 2), "any"),
    **{name: Entry(logic(name), "logic") for name in oracles.LOGIC},
    "softmax": Entry(softmax, finite=ALL_FINITE),
    "rmsnorm": Entry(row_norm(("weight",))),
    "layernorm": Entry(row_norm(("weight", "bias"))),
    "batch_norm": Entry(batch_norm, slack=4),
    "norm": Entry(norm, "number"),
    "dot": Entry(dot, slack=4),
    "reduce_sum": Entry(reduction(np.sum, widens="sum"), "any"),
    "reduce_mean": Entry(reduction(np.mean, widens="mean"), "any"),
    "reduce_max": Entry(reduction(np.max), "real"),
    "reduce_min": Entry(reduction(np.min), "real"),
    "reduce_prod": Entry(reduction(np.prod, widens="sum"), "any"),
    "reduce": Entry(reduce, says=("reduce_",)),
    "scan": Entry(scan, "any"),
    "segment_reduce": Entry(segment_reduce, slack=2),
    "reshape": Entry(reshape, "any", exact=True),
    "transpose": Entry(transpose, "any", exact=True),
    "concat": Entry(concat, "any", exact=True),
    "split": Entry(split, "any", exact=True),
    "pad": Entry(pad, "any", exact=True),
    "slice": Entry(slice_, "any", exact=True),
    "gather": Entry(gather, "any", exact=True),
    "layout_cast": Entry(layout_cast, "any", exact=True),
    "rearrange": Entry(rearrange, "any", exact=True),
    "pack": Entry(pack, "any", exact=True),
    "unpack": Entry(unpack, "any", exact=True, run=call_first),
    "tile_view": Entry(tile_view, "any", exact=True),
    "assert_shape": Entry(assert_shape, "any", exact=True),
    "cast": Entry(cast, "any"),
    "copy": Entry(copy, "any", exact=True),
    "check_numerics": Entry(check_numerics, "any", exact=True),
    "quantize": Entry(quantize),
    "dequantize": Entry(lambda s: mxfp4(s) if s.rarely() else dequantize(s), slack=2),
    "tensor": Entry(tensor, "any"),
    "if_then_else": Entry(branches, "any", exact=True, run=call_first),
    "map": Entry(mapped, "any", exact=True),
    "pipeline": Entry(piped, run=call_first, says=("relu",)),
    "recursive": Entry(recursed, "any", exact=True, run=call_first),
    "tile_kernel": Entry(predicate, says=("predicate_eval",)),
}
