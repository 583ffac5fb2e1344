"""Fourier layers, however they are written, become one node; what only resembles one stays."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_text import assert_golden
from jax import lax
from raising import CPU, names, raised, raised_with_records, run

import tessera as ts
from tessera.core.numerics import tolerance
from tessera.lowering.idioms.fft_conv import FFT_CONV, FILTER, SHARDED

CONV = "tessera.graph.spectral_conv"
N, M, B, C, D = 24, 4, 3, 5, 6  # points, modes, batch, channels in and out
ROWS, COLUMNS = 16, 20

Array = jax.Array
Function = Callable[..., Any]

einsum = jnp.einsum
rfft, irfft = jnp.fft.rfft, jnp.fft.irfft
rfft2, irfft2 = jnp.fft.rfft2, jnp.fft.irfft2


def _normal(seed: int, *shape: int) -> Array:
    return jax.random.normal(jax.random.key(seed), shape)


def _line(points: int = N) -> Array:
    return _normal(0, 16 * B, C, points)


def _plane() -> Array:
    return _normal(0, B, C, ROWS, COLUMNS)


def _weights(*shape: int, seed: int = 1) -> Array:
    return lax.complex(_normal(seed, *shape), _normal(seed + 10, *shape)) / C


def _zeros(*shape: int) -> Array:
    return jnp.zeros(shape, jnp.complex64)


# -- spellings on a line -------------------------------------------------------------------------------


def _set_at(x: Array, w: Array) -> Array:
    full = rfft(x)
    mixed = einsum("bik,iok->bok", full[:, :, :M], w)
    return irfft(_zeros(len(x), D, N // 2 + 1).at[:, :, :M].set(mixed), n=N)


def _padded(x: Array, w: Array) -> Array:
    mixed = einsum("iok,bik->bok", w, rfft(x, axis=-1)[..., :M])
    return irfft(jnp.pad(mixed, ((0, 0), (0, 0), (0, N // 2 + 1 - M))), n=N)


def _padded_by_irfft(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,iok->bok", rfft(x)[..., :M], w), n=N)


def _concatenated(x: Array, w: Array) -> Array:
    mixed = einsum("bik,iok->bok", rfft(x)[..., :M], w)
    rest = _zeros(len(x), D, N // 2 + 1 - M)
    return irfft(jnp.concatenate([mixed, rest], axis=-1), n=N)


def _updated(x: Array, w: Array) -> Array:
    mixed = einsum("bik,iok->bok", rfft(x)[..., :M], w)
    return irfft(lax.dynamic_update_slice(_zeros(len(x), D, N // 2 + 1), mixed, (0, 0, 0)), n=N)


def _rfftn(x: Array, w: Array) -> Array:
    mixed = einsum("bik,iok->bok", jnp.fft.rfftn(x, axes=(2,))[..., :M], w)
    return jnp.fft.irfftn(mixed, s=(N,), axes=(2,))


def _by_vmap(x: Array, w: Array) -> Array:
    def one(x: Array) -> Array:
        mixed = einsum("ik,iok->ok", rfft(x)[:, :M], w)
        return irfft(_zeros(D, N // 2 + 1).at[:, :M].set(mixed), n=N)

    return jax.vmap(one)(x)


def _batched_product(x: Array, w: Array) -> Array:
    modes = jnp.transpose(rfft(x)[..., :M], (2, 0, 1))
    mixed = jnp.matmul(modes, jnp.transpose(w, (2, 0, 1)))
    return irfft(jnp.transpose(mixed, (1, 2, 0)), n=N)


def _channels_last(x: Array, w: Array) -> Array:
    x = jnp.moveaxis(x, 1, -1)
    full = rfft(x, axis=1)
    mixed = einsum("bki,iok->bko", full[:, :M], w)
    out = _zeros(len(x), N // 2 + 1, D).at[:, :M].set(mixed)
    return jnp.moveaxis(irfft(out, n=N, axis=1), -1, 1)


def _every_mode(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,iok->bok", rfft(x), w), n=x.shape[-1])


def _in_jit_and_checkpoint(x: Array, w: Array) -> Array:
    return jax.checkpoint(jax.jit(_set_at))(x, w)


LINES = (
    _set_at,
    _padded,
    _padded_by_irfft,
    _concatenated,
    _updated,
    _rfftn,
    _by_vmap,
    _batched_product,
    _channels_last,
    _in_jit_and_checkpoint,
)


# -- spellings on a plane ------------------------------------------------------------------------------


def _two_corners(x: Array, w: Array, v: Array) -> Array:
    full = rfft2(x)
    out = _zeros(B, D, ROWS, COLUMNS // 2 + 1)
    low = einsum("bixy,ioxy->boxy", full[:, :, :M, :M], w)
    high = einsum("bixy,ioxy->boxy", full[:, :, -M:, :M], v)
    return irfft2(out.at[:, :, :M, :M].set(low).at[:, :, -M:, :M].set(high), s=x.shape[2:])


def _corners_joined(x: Array, w: Array, v: Array) -> Array:
    full = rfft2(x)
    low = einsum("bixy,ioxy->boxy", full[:, :, :M, :M], w)
    high = einsum("bixy,ioxy->boxy", full[:, :, ROWS - M :, :M], v)
    gap = _zeros(B, D, ROWS - 2 * M, M)
    joined = jnp.concatenate([low, gap, high], axis=2)
    return irfft2(jnp.pad(joined, ((0, 0),) * 3 + ((0, 2),)), s=(ROWS, COLUMNS))


def _corners_added(x: Array, w: Array, v: Array) -> Array:
    full = rfft2(x)
    low = einsum("bixy,ioxy->boxy", full[:, :, :M, :M], w)
    high = einsum("bixy,ioxy->boxy", full[:, :, -M:, :M], v)
    none, rest = (0, 0), COLUMNS // 2 + 1 - M
    low = jnp.pad(low, (none, none, (0, ROWS - M), (0, rest)))
    high = jnp.pad(high, (none, none, (ROWS - M, 0), (0, rest)))
    return irfft2(low + high, s=x.shape[2:])


def _channels_last_2d(x: Array, w: Array, v: Array) -> Array:
    x = jnp.moveaxis(x, 1, -1)
    full = rfft2(x, axes=(1, 2))
    out = _zeros(B, ROWS, COLUMNS // 2 + 1, D)
    low = einsum("bxyi,ioxy->bxyo", full[:, :M, :M], w)
    high = einsum("bxyi,ioxy->bxyo", full[:, -M:, :M], v)
    out = out.at[:, :M, :M].set(low).at[:, -M:, :M].set(high)
    return jnp.moveaxis(irfft2(out, s=x.shape[1:3], axes=(1, 2)), -1, 1)


def _low_corner(x: Array, w: Array, v: Array) -> Array:
    del v
    mixed = einsum("bixy,ioxy->boxy", rfft2(x)[:, :, :M, :M], w)
    out = _zeros(B, D, ROWS, COLUMNS // 2 + 1).at[:, :, :M, :M].set(mixed)
    return irfft2(out, s=x.shape[2:])


def _one_weight_for_both(x: Array, w: Array, v: Array) -> Array:
    return _two_corners(x, w, w) + jnp.real(v[0, 0, 0, 0])


PLANES = (
    _two_corners,
    _corners_joined,
    _corners_added,
    _channels_last_2d,
    _low_corner,
    _one_weight_for_both,
)


def _as_complex(function: Function) -> Function:
    """The layer as a function of real and imaginary parts made complex, as `lax.complex` does."""

    def apply(x: Array, *parts: Array) -> Array:
        pairs = zip(parts[::2], parts[1::2], strict=True)
        return function(x, *(lax.complex(real, imag) for real, imag in pairs))

    return apply


def _as_sum(function: Function) -> Function:
    """The layer as a function of real and imaginary parts made complex, as `a + 1j * b`."""

    def apply(x: Array, *parts: Array) -> Array:
        with jax.numpy_dtype_promotion("standard"):
            pairs = [a + 1j * b for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return function(x, *pairs)

    return apply


def _arguments(function: Function, parts: bool = False) -> tuple[Array, ...]:
    if function in LINES:
        x, weights = _line(), [_weights(C, D, M)]
    else:
        x, weights = _plane(), [_weights(C, D, M, M), _weights(C, D, M, M, seed=2)]
    if parts:
        weights = [part for w in weights for part in (jnp.real(w), jnp.imag(w))]
    return (x, *weights)


every_spelling = pytest.mark.parametrize("function", [*LINES, *PLANES], ids=lambda f: f.__name__)


def _close(found: Any, expected: Any) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        # Sums of some hundred terms of both signs: rounding is that of the largest.
        np.testing.assert_allclose(a, b, 1e-4, 4e-6 * float(jnp.max(jnp.abs(b))))


def _loss(function: Function) -> Function:
    return lambda *args: jnp.sum(jnp.sin(function(*args)))


@every_spelling
def test_a_layer_becomes_one_node_with_its_value(function: Function) -> None:
    args = _arguments(function)
    module = raised(function, *args, rules=[FFT_CONV])
    assert names(module).count(CONV) == 1
    assert "jax.fft" not in names(module)
    _close(run(module, *args), function(*args))


@every_spelling
def test_its_gradients_are_those_of_the_original(function: Function) -> None:
    args = _arguments(function)
    module = raised(function, *args, rules=[FFT_CONV])
    every = range(len(args))
    ours = jax.grad(_loss(lambda *args: run(module, *args)), every)(*args)
    _close(ours, jax.grad(_loss(function), every)(*args))


@every_spelling
def test_a_layer_and_its_backward_are_raised_together(function: Function) -> None:
    args = _arguments(function)
    every = tuple(range(len(args)))
    gradient = jax.grad(_loss(function), every)
    compiled = ts.compile(gradient)
    found = [r for r in compiled.plan(*args).records if r.name == FFT_CONV.name]
    assert [r.applied for r in found] == [True]
    _close(compiled(*args), gradient(*args))


@pytest.mark.parametrize("spelling", [_as_complex, _as_sum], ids=lambda f: f.__name__)
@pytest.mark.parametrize("function", [_set_at, _two_corners], ids=lambda f: f.__name__)
def test_weights_made_of_two_real_arrays_are_taken_as_those(
    function: Function, spelling: Function
) -> None:
    args, layer = _arguments(function, parts=True), spelling(function)
    module = raised(layer, *args, rules=[FFT_CONV])
    assert names(module).count(CONV) == 1
    assert "jax.real" not in names(module)
    _close(run(module, *args), layer(*args))
    every = range(len(args))
    gradient = jax.grad(_loss(layer), every)
    _close(jax.grad(_loss(lambda *args: run(module, *args)), every)(*args), gradient(*args))
    compiled = ts.compile(gradient)
    assert all(r.applied for r in compiled.plan(*args).records if r.name == FFT_CONV.name)
    _close(compiled(*args), gradient(*args))


def test_four_corners_of_a_cube_are_one_layer() -> None:
    x, m = _normal(0, 2, 3, 8, 10, 12), 3
    w = [_weights(3, 4, m, m, m, seed=s) for s in range(4)]
    low, high = slice(0, m), slice(-m, None)

    def layer(x: Array, *w: Array) -> Array:
        full = jnp.fft.rfftn(x, axes=(2, 3, 4))
        out = _zeros(2, 4, 8, 10, 7)
        places = ((low, low), (high, low), (low, high), (high, high))
        for (a, b), v in zip(places, w, strict=True):
            mixed = einsum("bixyz,ioxyz->boxyz", full[:, :, a, b, low], v)
            out = out.at[:, :, a, b, low].set(mixed)
        return jnp.fft.irfftn(out, s=x.shape[2:], axes=(2, 3, 4))

    module = raised(layer, x, *w, rules=[FFT_CONV])
    assert names(module).count(CONV) == 1
    _close(run(module, x, *w), layer(x, *w))


def test_layers_in_a_row_and_in_a_scan_are_raised() -> None:
    x, w = _line(), _weights(C, C, M)

    def layer(x: Array, w: Array) -> Array:
        return irfft(einsum("bik,iok->bok", rfft(x)[..., :M], w), n=N)

    def twice(x: Array, w: Array) -> Array:
        return layer(jnp.tanh(layer(x, w)), w)

    def scanned(x: Array, w: Array) -> Array:
        return lax.scan(lambda x, _: (layer(x, w), None), x, None, length=3)[0]

    for function, count in ((twice, 2), (scanned, 1)):
        module = raised(function, x, w, rules=[FFT_CONV])
        assert names(module).count(CONV) == count
        _close(run(module, x, w), function(x, w))


def test_doubles_are_raised_too(x64: None) -> None:
    x, w = _line().astype(jnp.float64), _weights(C, D, M).astype(jnp.complex128)
    module = raised(_padded_by_irfft, x, w, rules=[FFT_CONV])
    assert names(module).count(CONV) == 1
    expected = _padded_by_irfft(x, w)
    np.testing.assert_allclose(run(module, x, w), expected, *tolerance(jnp.float64))


# -- what stays ----------------------------------------------------------------------------------------


def _another_norm(x: Array, w: Array) -> Array:
    mixed = einsum("bik,iok->bok", rfft(x, norm="ortho")[..., :M], w)
    return irfft(mixed, n=N)


def _another_length(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,iok->bok", rfft(x)[..., :M], w), n=2 * N)


def _padded_input(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,iok->bok", rfft(x, n=2 * N)[..., :M], w), n=N)


def _another_axis(x: Array, w: Array) -> Array:
    x = x[:N]
    full = rfft(x, axis=0)[:M]
    return irfft(einsum("kin,iok->nok", full, w), n=N)


def _not_from_the_start(x: Array, w: Array) -> Array:
    mixed = einsum("bik,iok->bok", rfft(x)[..., 1 : M + 1], w)
    return irfft(_zeros(len(x), D, N // 2 + 1).at[..., 1 : M + 1].set(mixed), n=N)


def _written_elsewhere(x: Array, w: Array) -> Array:
    mixed = einsum("bik,iok->bok", rfft(x)[..., :M], w)
    return irfft(_zeros(len(x), D, N // 2 + 1).at[..., 1 : M + 1].set(mixed), n=N)


def _every_other_mode(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,iok->bok", rfft(x)[..., : 2 * M : 2], w), n=N)


def _reversed(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,iok->bok", rfft(x)[..., :M][..., ::-1], w), n=N)


def _real_parts(x: Array, w: Array) -> Array:
    modes = jnp.real(rfft(x)[..., :M]).astype(jnp.complex64)
    return irfft(einsum("bik,iok->bok", modes, w), n=N)


def _conjugated(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,iok->bok", jnp.conj(rfft(x)[..., :M]), w), n=N)


def _ones_elsewhere(x: Array, w: Array) -> Array:
    mixed = einsum("bik,iok->bok", rfft(x)[..., :M], w)
    out = jnp.ones((len(x), D, N // 2 + 1), jnp.complex64).at[..., :M].set(mixed)
    return irfft(out, n=N)


def _weights_of_no_mode(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,io->bok", rfft(x)[..., :M], w[..., 0]), n=N)


def _modes_mixed(x: Array, w: Array) -> Array:
    return irfft(einsum("bik,ikl->bil", rfft(x)[..., :M], w[:, :M]), n=N)


def _channels_not_mixed(x: Array, w: Array) -> Array:
    return irfft(rfft(x)[..., :M] * w[None, :, 0], n=N)


def _some_channels(x: Array, w: Array) -> Array:
    full = rfft(x)
    mixed = einsum("bik,iok->bok", full[:, : C - 1, :M], w[: C - 1])
    return irfft(mixed, n=N)


def _overwritten(x: Array, w: Array) -> Array:
    mixed = einsum("bik,iok->bok", rfft(x)[..., :M], w)
    return irfft(_zeros(len(x), D, N // 2 + 1).at[..., :M].set(mixed).at[..., :1].set(2.0), n=N)


NEAR_MISSES = (
    _another_norm,
    _another_length,
    _padded_input,
    _another_axis,
    _not_from_the_start,
    _written_elsewhere,
    _every_other_mode,
    _reversed,
    _real_parts,
    _conjugated,
    _ones_elsewhere,
    _weights_of_no_mode,
    _modes_mixed,
    _channels_not_mixed,
    _some_channels,
    _overwritten,
)


@pytest.mark.parametrize("function", NEAR_MISSES, ids=lambda f: f.__name__)
def test_what_only_resembles_a_layer_stays(function: Function) -> None:
    args = _line(), _weights(C, D, M)
    module = raised(function, *args, rules=[FFT_CONV])
    assert CONV not in names(module)
    assert "jax.fft" in names(module)
    _close(run(module, *args), function(*args))


def test_corners_of_unequal_size_stay() -> None:
    def function(x: Array, w: Array, v: Array) -> Array:
        full = rfft2(x)
        low = einsum("bixy,ioxy->boxy", full[:, :, :M, :M], w)
        high = einsum("bixy,ioxy->boxy", full[:, :, 1 - M :, :M], v[:, :, 1:])
        out = _zeros(B, D, ROWS, COLUMNS // 2 + 1).at[:, :, :M, :M].set(low)
        return irfft2(out.at[:, :, 1 - M :, :M].set(high), s=x.shape[2:])

    module = raised(function, *_arguments(_two_corners), rules=[FFT_CONV])
    assert CONV not in names(module)


def test_corners_of_two_fields_stay() -> None:
    def function(x: Array, w: Array, v: Array) -> Array:
        low = einsum("bixy,ioxy->boxy", rfft2(x)[:, :, :M, :M], w)
        high = einsum("bixy,ioxy->boxy", rfft2(x + 1)[:, :, -M:, :M], v)
        out = _zeros(B, D, ROWS, COLUMNS // 2 + 1).at[:, :, :M, :M].set(low)
        return irfft2(out.at[:, :, -M:, :M].set(high), s=x.shape[2:])

    module = raised(function, *_arguments(_two_corners), rules=[FFT_CONV])
    assert CONV not in names(module)


# -- what is found and kept ----------------------------------------------------------------------------


def _declined(function: Function, *args: Any, device: Any = CPU) -> str:
    module, records = raised_with_records(function, *args, rules=[FFT_CONV], device=device)
    assert CONV not in names(module)
    (record,) = records
    assert not record.applied
    return record.reason


def test_a_filter_of_the_whole_spectrum_is_kept() -> None:
    def filtered(x: Array, w: Array) -> Array:
        return irfft(rfft(x) * w, n=x.shape[-1])

    assert _declined(filtered, _line(), _weights(1, 1, N // 2 + 1)) == FILTER


def test_a_spectrum_read_elsewhere_too_is_kept() -> None:
    def function(x: Array, w: Array) -> tuple[Array, Array]:
        full = rfft(x)
        return irfft(einsum("bik,iok->bok", full[..., :M], w), n=N), jnp.abs(full)

    assert "read elsewhere" in _declined(function, _line(), _weights(C, D, M))


def test_many_modes_are_kept() -> None:
    args = _line(1024), _weights(C, D, 513)
    assert "FFTs of the whole grid are faster" in _declined(_every_mode, *args)


def test_a_small_field_is_kept() -> None:
    args = _line()[:1], _weights(C, D, M)
    assert "are few" in _declined(_padded_by_irfft, *args)


def test_on_a_platform_where_the_op_has_nothing_faster_it_is_kept() -> None:
    args = _arguments(_set_at)
    cuda = replace(CPU, platform="cuda")
    assert "nothing faster" in _declined(_set_at, *args, device=cuda)


def test_operands_sharded_over_explicit_axes_are_kept() -> None:
    mesh = jax.make_mesh((4,), ("dp",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        x = jax.device_put(_line(), jax.P("dp"))
        w = _weights(C, D, M)

        def function(x: Array, w: Array) -> Array:
            return irfft(einsum("bik,iok->bok", rfft(x)[..., :M], w), n=N)

        assert _declined(function, x, w) == SHARDED


# -- text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "file"),
    [(_set_at, "one_dimension"), (_channels_last_2d, "channels_last"), (_corners_joined, "joined")],
    ids=["one_dimension", "channels_last", "joined"],
)
def test_the_raised_text(function: Function, file: str) -> None:
    layer = _as_complex(function)
    text = str(raised(layer, *_arguments(function, parts=True), rules=[FFT_CONV]))
    assert_golden(text, f"idioms/fft_conv.{file}.mlir")
