"""Calls of linear algebra, sparse, spectral and random operators and derivatives, for `test_fuzz_ops`."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.fft
from fuzz_elements import as_jnp
from fuzz_source import (
    Call,
    Case,
    Entry,
    Operand,
    Shape,
    Source,
    UnsaidError,
    broadcastable,
    call_first,
    common,
    floating,
    require,
)
from jax.experimental.sparse import BCOO, BCSR

from tessera import op

# -- linear algebra ------------------------------------------------------------------------------


def cholesky(s: Source) -> Call:
    batch, n = s.batch(), s.size()
    a = s.array(*s.off((*batch, n, n), (*batch, n, n + 1), (n,)))
    tame = s.mode == "tame" and len(a.shape) > 1 and a.shape[-1] == n and n
    if tame:
        wide = a.value @ np.swapaxes(a.value.conj(), -1, -2) + n * np.eye(n)
        a = Operand(wide.astype(a.dtype), a.layout if a.layout != "stretched" else "numpy")

    def want() -> Any:
        require(len(a.shape) > 1 and a.shape[-1] == a.shape[-2])
        return np.linalg.cholesky(a.value) if tame else Shape(a.shape)

    return Call((a,), {}, want, a.dtype)


def decomposed(name: str) -> Case:
    def case(s: Source) -> Call:
        m, n = s.size(), s.size()
        a = s.array(*s.off((*s.batch(), m, n), (n,)))

        def want() -> Any:
            require(len(a.shape) > 1)
            *batch, m, n = a.shape
            r = min(m, n)
            if name == "qr":
                return Shape((*batch, m, r)), Shape((*batch, r, n))
            values = (
                Shape((*batch, r)) if s.mode != "tame" else np.linalg.svd(a.value, compute_uv=False)
            )
            return Shape((*batch, m, r)), values, Shape((*batch, r, n))

        real = jnp.finfo(floating(a)).dtype
        return Call(
            (a,), {}, want, (a.dtype, a.dtype) if name == "qr" else (a.dtype, real, a.dtype)
        )

    return case


def square_system(s: Source) -> tuple[Operand, Operand, int]:
    n, batch = s.size(), s.batch()
    a = s.array(*batch, n, s.near(n))
    if a.shape[-1] == n and s.mode == "tame" and not s.foreign:  # far from singular
        a = Operand((a.value + 3 * n * np.eye(n)).astype(a.dtype), "numpy")
    b = s.array(*batch, s.near(n), *s.pick((), (2,)))
    return a, b, n


def tri_solve(s: Source) -> Call:
    a, b, n = square_system(s)
    lower = s.pick(True, False)

    def want() -> Any:
        require(a.shape[-1] == n)
        batch = a.shape[:-2]
        vector = b.shape == (*batch, n)
        require(vector or b.shape[:-1] == (*batch, n))
        if s.mode != "tame":
            return Shape(b.shape)
        t = np.tril(a.value) if lower else np.triu(a.value)
        x = np.linalg.solve(t, b.value[..., None] if vector else b.value)
        return x[..., 0] if vector else x

    return Call((a, b), {"lower": lower}, want, common(a, b))


def solve(s: Source) -> Call:
    a, b, n = square_system(s)
    method = s.off("auto", "lu", "gmres", "qr")

    def want() -> Any:
        require(method in ("auto", "lu", "gmres") and a.shape[-1] == n)
        batch = a.shape[:-2]
        require(method != "gmres" or not batch)
        vector = b.shape == (*batch, n)
        require(vector or (b.shape[:-1] == (*batch, n) and len(b.shape) == len(a.shape)))
        if method == "gmres" and n == 0:
            raise UnsaidError
        if s.mode != "tame" or method == "gmres":
            return Shape(b.shape)
        x = np.linalg.solve(a.value, b.value[..., None] if vector else b.value)
        return x[..., 0] if vector else x

    return Call((a, b), {"method": method, "max_iter": 20}, want, common(a, b))


def fixed_point(s: Source) -> Call:
    x = s.array(*s.shape(0, 2))
    keeps = s.off(True, False)

    def run(x: Any) -> Any:
        return op.fixed_point(lambda y: y / 2 if keeps else jnp.stack([y, y]), x, max_iter=30)

    def want() -> Any:
        require(keeps)
        return Shape(x.shape)

    return Call((run, x), {}, want, x.dtype)


# -- sparse matrices -----------------------------------------------------------------------------


def sparse(form: Any, *, vector: bool = False) -> Case:
    def case(s: Source) -> Call:
        m, k, n, e = s.size(), s.size(), s.size(), s.pick(3, 0, 1, 7)
        values = s.array(e)
        rows, columns = s.indices(e, below=max(m, 1)), s.indices(e, below=max(k, 1))
        b = s.array(s.near(k)) if vector else s.array(*s.off((s.near(k), n), (k,)))
        own = form or s.pick(BCOO, BCSR)
        places = np.stack([rows.data, columns.data], -1).astype(np.int32)
        if 0 in (m, k):
            values, places = Operand(values.data[:0]), places[:0]
        if own is BCSR:
            places = places[np.lexsort((places[:, 1], places[:, 0]))]
        starts = np.searchsorted(places[:, 0], np.arange(m + 1)).astype(np.int32)

        def run(name: str, values: Any, b: Any) -> Any:
            if own is BCOO:
                return getattr(op, name)(
                    BCOO((jnp.asarray(values), jnp.asarray(places)), shape=(m, k)), b
                )
            parts = jnp.asarray(values), jnp.asarray(places[:, 1]), jnp.asarray(starts)
            return getattr(op, name)(BCSR(parts, shape=(m, k)), b)

        def want() -> Any:
            require(len(b.shape) == (1 if vector else 2) and b.shape[0] == k)
            y = np.zeros((m, *b.shape[1:]), np.result_type(values.value, b.value))
            for v, (row, column) in zip(values.value, places, strict=True):
                y[row] += v * b.value[column]
            return y

        name = "spmv" if vector else {BCOO: "spmm_coo", BCSR: "spmm_csr", None: "spmm"}[form]
        return Call((run, name, values, b), {}, want, common(values, b))

    return case


def sddmm(s: Source) -> Call:
    batch, m, k, n, e = s.batch(), s.size(), s.size(), s.size(), s.size()
    a, b = s.array(*batch, m, k), s.array(*s.pick(batch, ()), s.near(k), n)
    dense = s.pick(False, True)
    mask = (
        s.array(m, s.near(n), kind="bool", plain=True)
        if dense
        else s.indices(e, 2, below=max(m, 1), stray=1)
    )

    def want() -> Any:
        product = a.value @ b.value
        if dense:
            require(mask.shape == (m, n))
            return np.where(mask.value, product, 0)
        rows, columns = mask.value[:, 0], mask.value[:, 1]
        there = (rows >= 0) & (rows < m) & (columns >= 0) & (columns < n)
        if product.size == 0 or not e:
            return np.zeros((*batch, e))
        found = product[..., np.where(there, rows, 0), np.where(there, columns, 0)]
        return np.where(there, found, 0.0)

    return Call((a, b, mask), {}, want, common(a, b))


def bsmm(s: Source) -> Call:
    bm, bn, r, c = s.some(), s.some(), s.some(), s.some()
    mask = s.array(r, c, kind="bool", plain=True).data
    present = int(mask.sum())
    values = s.array(s.near(present), bm, bn)
    x = s.array(*s.batch(), s.near(r * bm))

    def run(x: Any, values: Any) -> Any:
        return op.bsmm(x, op.BSR(bm, bn, mask, jnp.asarray(values)))

    def want() -> Any:
        require(values.shape[0] == present and x.shape[-1] == r * bm)
        w = np.zeros((r * bm, c * bn))
        for block, (i, j) in zip(values.value, np.argwhere(mask), strict=True):
            w[i * bm : (i + 1) * bm, j * bn : (j + 1) * bn] = block
        return x.value @ w

    return Call((run, x, values), {}, want, common(x, values))


# -- spectral ------------------------------------------------------------------------------------


def complex_of(x: Operand) -> Any:
    return jnp.dtype("complex128" if x.dtype.name in ("float64", "complex128") else "complex64")


def transform(name: str) -> Case:
    def case(s: Source) -> Call:
        x = s.array(*s.shape())
        rank = len(x.shape)
        axes = s.pick((s.axis(rank),), (s.axis(rank), s.axis(rank)), ())
        norm = s.off("backward", "ortho", "forward", "both")
        words: dict[str, Any] = {"axes": axes, "normalize": norm}
        if s.rarely():
            words["n"] = s.pick(4, 3, 0, -1, (4, 3), 1.5)

        def want() -> Any:
            places = np.lib.array_utils.normalize_axis_tuple(axes, rank)
            require(norm in ("backward", "ortho", "forward"))
            n = words.get("n")
            sizes = n if isinstance(n, tuple) or n is None else (n,) * len(axes)
            require(
                sizes is None
                or (len(sizes) == len(axes) and all(isinstance(m, int) for m in sizes))
            )
            require(sizes is None or min(sizes, default=1) >= 1)
            if not places:
                raise UnsaidError
            have = [x.shape[i] for i in places]
            if 0 in have and sizes is not None:
                raise UnsaidError
            require(sizes is not None or 0 not in have)
            if name == "irfft":
                require(sizes is not None or have[-1] > 1)
            if name == "rfft":
                require(not np.iscomplexobj(x.value))
            return getattr(np.fft, f"{name}n")(x.value, s=sizes, axes=axes, norm=norm)

        wide = complex_of(x)
        return Call((x,), words, want, jnp.finfo(wide).dtype if name == "irfft" else wide)

    return case


def cosine(exact: Callable[..., Any]) -> Case:
    def case(s: Source) -> Call:
        x = s.array(*s.shape())
        axis = s.axis(len(x.shape))

        def want() -> Any:
            require(x.shape[axis])
            if x.data.size == 0:
                return Shape(x.shape)
            return exact(x.value, norm="ortho", axis=axis)

        return Call((x,), {"axis": axis}, want, x.dtype)

    return case


def hann(size: int) -> Any:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def stft(s: Source) -> Call:
    win, hop = s.off(4, 3, 2, 1, 8, 2.5), s.off(2, 1, 4, 0, 9)
    x = s.array(*s.batch(), s.size())

    def want() -> Any:
        require(isinstance(win, int) and 2 <= win <= x.shape[-1] and 1 <= hop <= win)
        half = win // 2
        padded = np.concatenate(
            [np.zeros((*x.shape[:-1], half)), x.value, np.zeros((*x.shape[:-1], half))], -1
        )
        frames = -(-(padded.shape[-1] - win) // hop) + 1
        padded = np.concatenate([padded, np.zeros((*x.shape[:-1], win + hop))], -1)
        seen = np.stack([padded[..., i * hop : i * hop + win] for i in range(frames)], -2)
        found = np.fft.rfft(seen * hann(win), axis=-1) / hann(win).sum()
        return np.swapaxes(found, -1, -2)

    return Call((x, win, hop), {}, want, complex_of(x))


def istft(s: Source) -> Call:
    win, hop = s.off(4, 3, 2, 1, 8), s.off(2, 1, 4, 0)
    x = s.array(*s.batch(), s.near(win // 2 + 1), s.size(), kind="complex")

    def want() -> Any:
        require(win >= 2 and 1 <= hop <= win)
        sums = np.concatenate([hann(win), np.zeros(-win % hop)]).reshape(-1, hop).sum(0)
        require(np.ptp(sums) < 1e-6 * np.max(np.abs(sums)))
        require(x.shape[-2] == win // 2 + 1 and (x.shape[-1] - 1) * hop >= 2 * (win // 2))
        return Shape((*x.shape[:-2], win + (x.shape[-1] - 1) * hop - 2 * (win // 2)))

    real = jnp.finfo(complex_of(x)).dtype
    return Call((x, win, hop), {}, want, real)


def wavelet(s: Source) -> Call:
    x, levels, kind = (
        s.array(*s.shape()),
        s.off(1, 2, 0, -1, 1.5),
        s.off("haar", "db2", "db3", "db9"),
    )
    axis = s.axis(len(x.shape))

    def want() -> Any:
        require(isinstance(levels, int) and levels >= 0 and kind != "db9")
        n = x.shape[axis]
        require(n % 2**levels == 0)
        place = axis % len(x.shape)
        if n == 0 and levels:
            raise UnsaidError

        def sized(m: int) -> Shape:
            return Shape((*x.shape[:place], m, *x.shape[place + 1 :]))

        details = [sized(n // 2 ** (i + 1)) for i in range(levels)]
        if kind == "haar" and levels == 1:
            even, odd = (np.take(x.value, range(i, n, 2), axis) for i in (0, 1))
            low, high = (even + odd) / math.sqrt(2), (even - odd) / math.sqrt(2)
            return low, [high]
        return sized(n // 2**levels), details

    return Call((x, kind, levels), {"axis": axis}, want, x.dtype)


def wavelet_round(s: Source) -> Call:
    x, kind = s.array(*s.shape(1, 3)), s.pick("haar", "db2", "db3")
    axis = s.axis(len(x.shape))

    def run(x: Any) -> Any:
        return op.iwavelet(*op.wavelet(x, kind, axis=axis), kind, axis=axis)

    def want() -> Any:
        require(x.shape[axis] % 2 == 0)
        if x.shape[axis] == 0:
            raise UnsaidError
        return x.value

    return Call((run, x), {}, want, x.dtype)


def spectral_conv(s: Source) -> Call:
    rank, channels, outer = s.pick(1, 2), s.some(), s.some()
    grid = tuple(s.pick(8, 5, 3, 1, 0) for _ in range(rank))
    modes = tuple(s.off(1, 2, 0, 9) for _ in range(rank))
    kept = tuple(2 * m for m in modes[:-1]) + modes[-1:]
    x = s.array(*s.pick((2,), (), (0,)), s.near(channels), *grid, kind="float")
    w = s.array(channels, outer, *kept, kind="complex", plain=True)
    if x.dtype == np.float64:
        w = Operand(w.data.astype(np.complex128))

    def want() -> Any:
        require(x.shape[-rank - 1] == channels and all(m >= 1 for m in modes))
        require(
            modes[-1] <= grid[-1] // 2 + 1
            and all(2 * m <= n for m, n in zip(modes[:-1], grid, strict=False))
        )
        require(0 not in grid)
        axes = tuple(range(-rank, 0))
        spectrum = np.fft.rfftn(x.value, axes=axes)
        y = np.zeros((*x.shape[: -rank - 1], outer, *spectrum.shape[-rank:]), complex)
        rows = [
            list(range(m)) + list(range(n - m, n)) for m, n in zip(modes[:-1], grid, strict=False)
        ]
        at = np.ix_(*rows, range(modes[-1]))
        y[(..., *at)] = np.einsum(
            "...ixy,ioxy->...oxy" if rank == 2 else "...ix,iox->...ox",
            spectrum[(..., *at)],
            w.value,
        )
        return np.fft.irfftn(y, s=grid, axes=axes)

    words = {"modes": modes if rank > 1 else s.pick(modes, modes[0])}
    return Call((x, w), words, want, x.dtype)


def conv_fft(s: Source) -> Call:
    shape = s.shape(1, 3)
    x, k = (
        s.array(*shape),
        s.array(*shape[s.pick(*range(len(shape))) : -1], s.off(shape[-1], 1, shape[-1] + 1)),
    )
    axes = s.off((-1,), (len(shape) - 1,), (-1, -1), (7,))

    def want() -> Any:
        require(axes in ((-1,), (len(shape) - 1,)) and k.shape[-1] <= shape[-1] and shape[-1])
        n = shape[-1]
        lead = np.broadcast_shapes(shape[:-1], k.shape[:-1])
        if 0 in lead:
            return Shape((*lead, n))
        kernel = np.concatenate([k.value, np.zeros((*k.shape[:-1], n - k.shape[-1]))], -1)
        y = np.fft.ifft(np.fft.fft(x.value) * np.fft.fft(kernel))
        both_real = not (np.iscomplexobj(x.value) or np.iscomplexobj(k.value))
        return y.real if both_real else y

    return Call((x, k), {"axes": axes}, want, common(x, k))


def spectral_filter(s: Source) -> Call:
    x = s.array(*s.shape())
    second = s.pick(0.5, 0.0, 1.0, 1, 2.0, s.array(*broadcastable(s, x.shape)))
    axis = s.axis(len(x.shape))
    spectrum = isinstance(second, Operand)

    def want() -> Any:
        if isinstance(second, Operand) and second.shape:
            return x.value * second.value
        if isinstance(second, Operand):
            raise UnsaidError
        require(0 <= second <= 1)
        require(x.shape[axis])
        if x.data.size == 0:
            return Shape(x.shape)
        n = x.shape[axis]
        kept = np.abs(np.fft.fftfreq(n)) * 2 <= second * (1 + 1e-6)
        shape = [n if i == axis % len(x.shape) else 1 for i in range(len(x.shape))]
        y = np.fft.ifft(np.fft.fft(x.value, axis=axis) * kept.reshape(shape), axis=axis)
        return y if np.iscomplexobj(x.value) else y.real

    return Call((x, second), {"axis": axis}, want, common(x, second) if spectrum else floating(x))


def box(s: Source, x: Operand) -> Any:
    return s.off(1.0, 2, (1.0,), (1.0, 2.0), 0.0, -1.0, (), "long", math.inf)


def check_box(x: Operand, domain: Any, bc: str) -> tuple[int, ...]:
    """The axes of the grid; raises for what is no grid."""
    require(bc in ("periodic", "dirichlet"))
    lengths = domain if isinstance(domain, tuple) else (domain,) * len(x.shape)
    require(1 <= len(lengths) <= len(x.shape) and all(0 < n < math.inf for n in lengths))
    return tuple(range(len(x.shape) - len(lengths), len(x.shape)))


def laplacian_of(v: Any, axes: tuple[int, ...], domain: Any) -> Any:
    total = np.zeros(v.shape, complex)
    lengths = domain if isinstance(domain, tuple) else (domain,) * len(axes)
    for axis, length in zip(axes, lengths, strict=True):
        n = v.shape[axis]
        waves = 2 * np.pi / length * np.fft.fftfreq(n, 1 / n)
        shape = [n if i == axis else 1 for i in range(v.ndim)]
        total += np.fft.ifft(np.fft.fft(v, axis=axis) * -(waves.reshape(shape) ** 2), axis=axis)
    return total if np.iscomplexobj(v) else np.real(total)


def poisson(s: Source) -> Call:
    x = s.array(*s.shape(0, 3))
    domain, bc = box(s, x), s.off("periodic", "dirichlet", "neumann")

    def want() -> Any:
        check_box(x, domain, bc)
        return Shape(x.shape)

    return Call((x,), {"domain": domain, "bc": bc}, want, x.dtype)


def helmholtz(s: Source) -> Call:
    x, k = s.array(*s.shape(0, 3)), s.pick(2.0, 0, 1.5)
    domain, bc = box(s, x), s.off("periodic", "dirichlet", "neumann")

    def want() -> Any:
        axes = check_box(x, domain, bc)
        if bc == "dirichlet" or x.data.size == 0:
            return Shape(x.shape)
        return laplacian_of(x.value, axes, domain) + k**2 * x.value

    return Call((x, k), {"domain": domain, "bc": bc}, want, x.dtype)


# -- derivatives ---------------------------------------------------------------------------------


NODES = {2: 3, 4: 5, 6: 7, 8: 9}  # points that differences of an order need along an axis


def grid_derivative(s: Source) -> Call:
    x = s.array(*s.shape(0, 3))
    axis = s.axis(len(x.shape))
    where = s.pick({"spacing": 0.5}, {"domain": 2.0}, {"spacing": 0.0}, {"domain": -1.0}, {})
    words = {"axis": axis, **where}
    if s.pick(False, True):
        words["order"] = s.off(2, 4, 3, 0)

    def want() -> Any:
        x.shape[axis]
        require(words.get("order", 2) in NODES)
        require(all(v > 0 for v in where.values()) and where)
        n = x.shape[axis]
        if "spacing" in words and words.get("order", 2) == 2:
            if n == 0:
                raise UnsaidError
            require(n >= 3)
            return np.gradient(x.value, 0.5, axis=axis, edge_order=2)
        if "domain" in words and "order" not in words and n and x.data.size:
            waves = 2j * np.pi / 2.0 * np.fft.fftfreq(n, 1 / n)
            if n % 2 == 0:
                waves[n // 2] = 0  # the wave of the Nyquist frequency has no slope at the points
            shape = [n if i == axis % len(x.shape) else 1 for i in range(len(x.shape))]
            y = np.fft.ifft(np.fft.fft(x.value, axis=axis) * waves.reshape(shape), axis=axis)
            return y if np.iscomplexobj(x.value) else y.real
        raise UnsaidError

    return Call((x,), words, want, x.dtype)


def grid_laplacian(s: Source) -> Call:
    x = s.array(*s.shape(0, 3))
    rank = len(x.shape)
    axes = s.pick(None, (s.axis(rank),), (s.axis(rank), s.axis(rank)))
    where = s.pick({"domain": 2.0}, {"spacing": 0.5}, {"spacing": (0.5, 0.25)}, {"domain": 0.0})

    def want() -> Any:
        places = (
            tuple(range(rank))
            if axes is None
            else np.lib.array_utils.normalize_axis_tuple(axes, rank)
        )
        require(where != {"domain": 0.0})
        if where == {"domain": 2.0} and places and x.data.size:
            return laplacian_of(x.value, places, 2.0)
        raise UnsaidError

    return Call((x, axes), where, want, x.dtype)


def grid_vector(name: str) -> Case:
    def case(s: Source) -> Call:
        shape = s.shape(1, 3)
        count = s.off(len(shape), 1, 2, 3)
        parts = [s.array(*s.off(shape, shape[:-1])) for _ in range(count)]
        words: dict[str, Any] = {"axes": s.pick(tuple(range(count)), tuple(range(-count, 0)))}
        words |= s.pick({"spacing": 0.5}, {"domain": 2.0}, {"spacing": (0.5,) * count})

        def want() -> Any:
            require(all(p.shape == shape for p in parts) and count <= len(shape))
            raise UnsaidError

        return Call((parts,), words, want, common(*parts))

    return case


def quotient_or_div(s: Source) -> Call:
    quotient = as_jnp(np.divide, jnp.divide, 2)
    return quotient(s) if s.pick(True, False) else grid_vector("div")(s)


def of_function(name: str) -> Case:
    """A transformation of the function x -> sum(x^3), or of its elements."""

    def case(s: Source) -> Call:
        x, t = (s.array(*s.shape(0, 2)) for _ in range(2))
        t = Operand(t.data, t.layout) if s.rarely() else Operand(np.ones(x.shape, x.dtype))

        def cube(y: Any) -> Any:
            return y * y * y

        def run(x: Any, t: Any) -> Any:
            if name == "autodiff":
                return op.autodiff(lambda y: jnp.sum(cube(jnp.asarray(y))))(x)
            if name == "adjoint":
                return op.adjoint(cube)(x, t)
            return getattr(op, name)(cube, x, t)

        def want() -> Any:
            require(name == "autodiff" or (t.shape == x.shape and t.dtype == x.dtype))
            y, slope = x.value**3, 3 * x.value**2
            if name == "autodiff":
                return y.sum(), slope
            return {
                "jvp": (y, slope * t.value),
                "vjp": slope * t.value,
                "adjoint": slope * t.value,
            }[name]

        return Call((run, x, t), {}, want, x.dtype)

    return case


def coords(s: Source) -> Call:
    x = s.array(*s.shape(0, 3))
    names = s.off(("x", "y", "t"), ("x",), ("x", "y"), ("x", "x"), ())

    def run(x: Any) -> Any:
        return op.coords(x, names=names).array

    def want() -> Any:
        require(x.shape and x.shape[-1] == len(names) == len(set(names)) > 0)
        return x.value

    return Call((run, x), {}, want, x.dtype)


def coordinates(s: Source) -> Call:
    n = s.size()
    x, y = (
        s.array(*s.pick((n,), (n, 1)), plain=True),
        s.array(*s.off((n,), (n + 1,), ()), plain=True),
    )

    def run(x: Any, y: Any) -> Any:
        with op.coordinates(x=x, y=y) as both:
            return both.array

    def want() -> Any:
        require(y.shape == (n,))
        return np.stack([x.value.reshape(n), y.value], -1)

    return Call((run, x, y), {}, want, common(x, y))


# -- random numbers ------------------------------------------------------------------------------


def random(name: str) -> Case:
    def case(s: Source) -> Call:
        shape: Any = s.off(s.shape(), 3, (-1,), (1.5,), "x")
        seed, dtype = s.off(0, 7, None, "x"), s.off("fp32", "bf16", "fp16", "int32", "floaty")
        low = s.off(0.0, -1.0, 1.0)
        args = (shape, low) if name == "normal" else (shape, low, s.off(1.0, 2.0, -1.0))

        def want() -> Any:
            sizes = (shape,) if isinstance(shape, int) else shape
            require(all(isinstance(n, int) and n >= 0 for n in sizes))
            require(isinstance(seed, int) and dtype in ("fp32", "bf16", "fp16"))
            require(name == "normal" or args[-1] > low)
            return Shape(sizes)

        named = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
        return Call(args, {"seed": seed, "dtype": dtype}, want, named.get(dtype))

    return case


def generator(s: Source) -> Call:
    draw = s.pick("uniform", "normal", "bernoulli", "poisson", "lognormal")
    shape, generator = s.shape(0, 2), s.off("philox", "xorwow")
    parameter = s.off(0.5, 0.0, -1.0)

    def run(seed: Any) -> Any:
        return getattr(op.rng(seed=seed, generator=generator), draw)(shape, parameter)

    def want() -> Any:
        require(generator == "philox")
        require(draw not in ("bernoulli", "poisson") or parameter >= 0)
        return Shape(shape)

    dtype = {"bernoulli": "bool", "poisson": "int32"}.get(draw, "float32")
    return Call((run, s.pick(0, 5)), {}, want, dtype)


# -- the table -------------------------------------------------------------------------------------


ENTRIES: dict[str, Entry] = {
    "cholesky": Entry(cholesky, "inexact", slack=4),
    "qr": Entry(decomposed("qr"), "inexact"),
    "svd": Entry(decomposed("svd"), "inexact", slack=4),
    "tri_solve": Entry(tri_solve, "inexact", slack=8),
    "solve": Entry(solve, "inexact", slack=8),
    "fixed_point": Entry(fixed_point, run=call_first, few=True),
    "spmm_coo": Entry(sparse(BCOO), run=call_first),
    "spmm_csr": Entry(sparse(BCSR), run=call_first, says=("spmm_coo",)),
    "spmm": Entry(sparse(None), run=call_first, says=("spmm_coo",)),
    "spmv": Entry(sparse(None, vector=True), run=call_first, says=("spmm_coo",)),
    "sddmm": Entry(sddmm, says=("matmul",)),
    "bsmm": Entry(bsmm, run=call_first),
    **{name: Entry(transform(name), "number", slack=4) for name in ("fft", "ifft", "irfft")},
    "rfft": Entry(transform("rfft"), "number", slack=4),
    "dct": Entry(cosine(scipy.fft.dct), slack=4),
    "idct": Entry(cosine(scipy.fft.idct), slack=4),
    "stft": Entry(stft, slack=2),
    "istft": Entry(istft, "inexact"),
    "wavelet": Entry(wavelet, slack=2),
    "iwavelet": Entry(wavelet_round, run=call_first, says=("wavelet",), slack=4),
    "spectral_conv": Entry(spectral_conv, slack=16),
    "conv_fft": Entry(conv_fft, "inexact", slack=4),
    "spectral_filter": Entry(spectral_filter, "number", slack=4),
    "poisson": Entry(poisson, "inexact"),
    "helmholtz": Entry(helmholtz, "inexact", slack=16),
    "grad": Entry(grid_derivative, "inexact", slack=16),
    "laplacian": Entry(grid_laplacian, "inexact", slack=16),
    "div": Entry(quotient_or_div),
    "curl": Entry(grid_vector("curl")),
    **{
        name: Entry(of_function(name), run=call_first, slack=2)
        for name in ("jvp", "vjp", "adjoint", "autodiff")
    },
    "coords": Entry(coords, run=call_first),
    "coordinates": Entry(coordinates, run=call_first, says=("coords",)),
    "random_uniform": Entry(random("uniform"), says=("uniform",)),
    "random_normal": Entry(random("normal"), says=("normal",)),
    "rng": Entry(generator, run=call_first, few=True),
}
