"""The Fourier layer: its modes and corners, layouts, gradients in JAX's convention, and what it refuses."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import op
from tessera.core.errors import Code, CompileError
from tessera.core.numerics import tolerance
from tessera.core.op import registered_op

ALGORITHMS = ("reference", "dft")
# Sizes of the grid and modes kept: odd and even, up to the Nyquist mode, and every row of the first axis.
GRIDS = (
    ((9,), (3,)),
    ((9,), (5,)),
    ((8,), (5,)),
    ((1,), (1,)),
    ((8, 6), (2, 3)),
    ((8, 6), (4, 4)),
    ((7, 9), (3, 5)),
    ((6, 5, 8), (3, 2, 5)),
)
every_grid = pytest.mark.parametrize(
    "grid", GRIDS, ids=lambda p: "x".join(map(str, p[0])) + "-" + "x".join(map(str, p[1]))
)


def _corners(modes: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Where the kept modes stand along the axes of a spectrum, which is also where weights are for them."""
    found: list[tuple[slice, ...]] = [(slice(0, modes[-1]),)]
    for m in reversed(modes[:-1]):
        found = [(rows, *rest) for rows in (slice(0, m), slice(-m, None)) for rest in found]
    return found


def _plain(x: jax.Array, w: jax.Array, modes: tuple[int, ...]) -> jax.Array:
    """The layer as it is usually written: channels first, weights (in, out, K1, ..., Kd)."""
    sizes, axes = x.shape[2:], tuple(range(2, x.ndim))
    full = jnp.fft.rfftn(x, axes=axes)
    out = jnp.zeros((x.shape[0], w.shape[1], *full.shape[2:]), full.dtype)
    for corner in _corners(modes):
        mixed = jnp.einsum("bi...,io...->bo...", full[:, :, *corner], w[:, :, *corner])
        out = out.at[:, :, *corner].set(mixed)
    return jnp.fft.irfftn(out, s=sizes, axes=axes)


def _draw(
    sizes: tuple[int, ...], modes: tuple[int, ...], dtype: Any = jnp.float32
) -> tuple[jax.Array, jax.Array]:
    keys = jax.random.split(jax.random.key(3), 3)
    kept = (*(2 * m for m in modes[:-1]), modes[-1])
    x = jax.random.normal(keys[0], (2, 3, *sizes), dtype)
    real, imag = (jax.random.normal(key, (3, 4, *kept), dtype) for key in keys[1:])
    return x, jax.lax.complex(real, imag)


def _pinned(x: jax.Array, w: jax.Array, algorithm: str) -> jax.Array:
    order = (*range(2, w.ndim), 0, 1)
    parts = (jnp.transpose(part, order) for part in (jnp.real(w), jnp.imag(w)))
    return registered_op("spectral_conv").bind(x, *parts, axis=1, algorithm=algorithm)


@every_grid
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_is_the_transform_truncated_mixed_and_transformed_back(
    grid: Any, algorithm: str, x64: None
) -> None:
    sizes, modes = grid
    x, w = _draw(sizes, modes, jnp.float64)
    found = _pinned(x, w, algorithm)
    np.testing.assert_allclose(found, _plain(x, w, modes), *tolerance(jnp.float64))


@every_grid
def test_its_gradients_are_those_jax_gives_the_plain_layer(grid: Any, x64: None) -> None:
    sizes, modes = grid
    x, w = _draw(sizes, modes, jnp.float64)

    def loss(layer: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        return lambda x, w: jnp.sum(jnp.sin(layer(x, w)))

    # Complex weights too: JAX's convention is the conjugate of that of the textbooks.
    ours = jax.grad(loss(partial(op.spectral_conv, modes=modes)), (0, 1))(x, w)
    theirs = jax.grad(loss(partial(_plain, modes=modes)), (0, 1))(x, w)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, *tolerance(jnp.float64))


def test_layouts_are_transposes_of_each_other() -> None:
    x, w = _draw((8, 6), (2, 3))
    y = op.spectral_conv(x, w, modes=(2, 3))
    last = op.spectral_conv(jnp.moveaxis(x, 1, -1), w, modes=(2, 3), channels="last")
    modes_first = jnp.transpose(w, (2, 3, 0, 1))
    first = op.spectral_conv(x, modes_first, modes=(2, 3), weights="modes_first")
    rtol, atol = tolerance(jnp.float32)
    np.testing.assert_allclose(jnp.moveaxis(last, -1, 1), y, rtol, 10 * atol)
    np.testing.assert_allclose(first, y, rtol, 10 * atol)


def test_a_finer_grid_has_the_same_result_at_the_points_of_a_coarser_one() -> None:
    def wave(n: int) -> jax.Array:
        at = jnp.arange(n, dtype=jnp.float32) * (2 * jnp.pi / n)
        return (jnp.sin(at) + jnp.cos(2 * at))[None, None]

    _, w = _draw((8,), (3,))
    coarse, fine = (op.spectral_conv(wave(n), w[:1], modes=3) for n in (8, 32))
    np.testing.assert_allclose(fine[..., ::4], coarse, *tolerance(jnp.float32))


def test_imaginary_parts_of_the_zero_and_nyquist_modes_have_no_effect_and_no_gradient() -> None:
    x, w = _draw((8,), (5,))
    ends = w.at[..., 0].add(3j).at[..., 4].add(-2j)
    layer = partial(op.spectral_conv, modes=5)
    np.testing.assert_allclose(layer(x, ends), layer(x, w), *tolerance(jnp.float32))
    gradient = jax.grad(lambda w: jnp.sum(jnp.sin(layer(x, w))))(w)
    np.testing.assert_allclose(
        jnp.imag(gradient)[..., jnp.array([0, 4])], 0.0, atol=10 * tolerance(jnp.float32)[1]
    )


def test_a_batch_may_be_absent_of_several_axes_or_mapped() -> None:
    x, w = _draw((8, 6), (2, 3))
    layer = partial(op.spectral_conv, w=w, modes=(2, 3))
    y, close = layer(x), partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    close(layer(x[0]), y[0])
    close(layer(x[None])[0], y)
    close(jax.vmap(layer)(x), y)
    close(jax.vmap(layer, in_axes=3, out_axes=3)(jnp.moveaxis(x, 0, 3)), jnp.moveaxis(y, 0, 3))


def test_batching_keeps_one_op() -> None:
    x, w = _draw((8,), (3,))
    text = str(jax.make_jaxpr(jax.vmap(partial(op.spectral_conv, w=w, modes=3)))(x))
    assert text.count("tessera.spectral_conv") == 1


def test_the_result_has_the_dtype_of_x() -> None:
    x, w = _draw((8,), (3,))
    y = op.spectral_conv(x.astype(jnp.bfloat16), w, modes=3)
    assert y.dtype == jnp.bfloat16
    rtol, atol = tolerance(jnp.bfloat16)
    np.testing.assert_allclose(y.astype(jnp.float32), _plain(x, w, (3,)), rtol, 4 * atol)


@pytest.mark.parametrize(
    ("sizes", "chosen"), [((128, 128), "dft"), ((4096,), "reference")], ids=["few", "many"]
)
def test_tables_are_used_for_few_modes_and_ffts_for_many(
    sizes: tuple[int, ...], chosen: str
) -> None:
    modes = (16,) * len(sizes) if chosen == "dft" else (512,)
    _, w = _draw((1,) * len(sizes), modes)
    layer = jax.jit(partial(op.spectral_conv, modes=modes))
    text = layer.lower(jax.ShapeDtypeStruct((2, 3, *sizes), jnp.float32), w).as_text()
    assert ("stablehlo.fft" in text) is (chosen == "reference")


# -- what is refused -----------------------------------------------------------------------------------


def _refused(code: Code, match: str, x: Any, w: Any, **statics: Any) -> None:
    with pytest.raises(CompileError, match=match) as caught:
        op.spectral_conv(x, w, **statics)
    assert caught.value.code is code
    assert "spectral_conv" in str(caught.value)


def test_more_modes_than_the_grid_has_are_refused() -> None:
    for sizes, modes in (((8,), (6,)), ((9,), (6,)), ((7, 8), (4, 3))):
        _, w = _draw(sizes, modes)
        x = jnp.zeros((2, 3, *sizes))
        _refused(Code.E_SHAPE_MISMATCH, "which has", x, w, modes=modes)


def test_weights_of_another_shape_are_refused() -> None:
    x, w = _draw((8, 6), (2, 3))
    _refused(Code.E_SHAPE_MISMATCH, "in out 4 2", x, w, modes=(2, 2))
    _refused(Code.E_SHAPE_MISMATCH, "4 3 in out", x, w, modes=(2, 3), weights="modes_first")
    _refused(Code.E_SHAPE_MISMATCH, "axis 'i'", x[:, :2], w, modes=(2, 3))
    _refused(Code.E_SHAPE_MISMATCH, "too few axes", x[0, 0], w, modes=(2, 3))


def test_real_weights_and_complex_operands_are_refused() -> None:
    x, w = _draw((8,), (3,))
    _refused(Code.E_TARGET_CODEGEN, "not complex", x, jnp.real(w), modes=3)
    _refused(Code.E_TARGET_CODEGEN, "'x'", jax.lax.complex(x, x), w, modes=3)


def test_unknown_words_and_numbers_of_modes_are_refused() -> None:
    x, w = _draw((8,), (3,))
    _refused(Code.E_GRAPH_INVALID, "channels='middle'", x, w, modes=3, channels="middle")
    _refused(Code.E_GRAPH_INVALID, "weights='last'", x, w, modes=3, weights="last")
    _refused(Code.E_GRAPH_INVALID, "positive", x, w, modes=0)
    _refused(Code.E_GRAPH_INVALID, "positive", x, w, modes=())
    _refused(Code.E_GRAPH_INVALID, "positive", x, w, modes=(1, 1, 1, 1))
    _refused(Code.E_GRAPH_INVALID, "integer", x, w, modes=2.5)
