"""Fourier, cosine and wavelet transforms, filters and thresholds, against NumPy, SciPy and exact laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.signal
from jax.test_util import check_grads

from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(3, 6, 5)).astype(np.float32)
COMPLEX = (REAL + 1j * RNG.normal(size=REAL.shape)).astype(np.complex64)
NORMS = ("backward", "ortho", "forward")
NUMPY = {"fft": np.fft.fftn, "ifft": np.fft.ifftn, "rfft": np.fft.rfftn, "irfft": np.fft.irfftn}


def close(actual, expected, dtype=jnp.float32, *, factor=1.0):
    rtol, atol = numerics.tolerance(dtype)
    # Errors of a transform are relative to its largest value, not to each.
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    actual = np.asarray(actual)
    wide = np.complex128 if np.iscomplexobj(actual) else np.float64
    np.testing.assert_allclose(
        actual.astype(wide), expected, rtol * factor, atol * factor * 10 * scale
    )


def refused(call, code, says):
    with pytest.raises(CompileError) as caught:
        call()
    assert caught.value.code is code
    assert says in str(caught.value)


# -- fft ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("axes", [(-1,), (2, 0)])
@pytest.mark.parametrize("name", NUMPY)
def test_transforms_equal_numpy_in_every_norm(name, axes, norm):
    x = REAL if name == "rfft" else COMPLEX
    expected = NUMPY[name](x.astype(np.complex128 if name != "rfft" else float), None, axes, norm)
    found = getattr(op, name)(x, axes=axes, normalize=norm)
    assert found.dtype == (jnp.float32 if name == "irfft" else jnp.complex64)
    close(found, expected)
    close(jax.jit(lambda v: getattr(op, name)(v, axes=axes, normalize=norm))(x), expected)


@pytest.mark.parametrize("n", [3, 5, 9])
@pytest.mark.parametrize("name", NUMPY)
def test_a_length_crops_or_pads(name, n):
    x = REAL if name == "rfft" else COMPLEX
    close(getattr(op, name)(x, axes=1, n=n), NUMPY[name](x, (n,), (1,)))


def test_each_axis_may_have_a_length_of_its_own():
    close(op.fft(COMPLEX, axes=(0, 1), n=(4, 3)), np.fft.fftn(COMPLEX, (4, 3), (0, 1)))


def test_more_than_three_axes_are_transformed():
    x = RNG.normal(size=(2, 3, 2, 4)).astype(np.float32)
    close(op.fft(x, axes=(0, 1, 2, 3)), np.fft.fftn(x))


def test_narrow_floats_and_integers_are_widened():
    for dtype in (jnp.bfloat16, jnp.float16, jnp.int8):
        x = jnp.arange(6).astype(dtype)
        close(op.fft(x), np.fft.fft(np.arange(6.0)))


def test_double_precision_is_kept(x64):
    x = RNG.normal(size=8)
    close(op.fft(x), np.fft.fft(x), jnp.float64)
    assert op.rfft(x).dtype == jnp.complex128


def test_energy_is_kept_under_ortho_and_no_other():
    energy = np.sum(np.abs(COMPLEX) ** 2)
    for norm, factor in (("ortho", 1.0), ("backward", 5.0), ("forward", 0.2)):
        found = jnp.sum(jnp.abs(op.fft(COMPLEX, normalize=norm)) ** 2)
        np.testing.assert_allclose(found, factor * energy, rtol=1e-5)


def adjoint_of_fft(y, norm):
    x = jnp.zeros(y.shape, y.dtype)
    (found,) = jax.linear_transpose(lambda v: op.fft(v, normalize=norm), x)(jnp.conj(y))
    return jnp.conj(found)


@pytest.mark.parametrize("norm", NORMS)
def test_ifft_is_the_adjoint_of_fft_only_under_ortho(norm):
    y = COMPLEX[0, 0]
    adjoint = adjoint_of_fft(jnp.asarray(y), norm)
    # <fft x, y> = <x, adjoint y>, the definition.
    x = COMPLEX[1, 1]
    np.testing.assert_allclose(
        np.vdot(op.fft(x, normalize=norm), y), np.vdot(x, adjoint), rtol=1e-5
    )
    same = np.allclose(adjoint, op.ifft(y, normalize=norm), atol=1e-5)
    assert same == (norm == "ortho")
    close(adjoint, {"backward": 5, "ortho": 1, "forward": 0.2}[norm] * np.fft.ifft(y, norm=norm))


@pytest.mark.parametrize("norm", NORMS)
def test_a_product_of_spectra_is_a_circular_convolution_only_under_backward(norm):
    a, b = COMPLEX[0, 0], COMPLEX[1, 1]
    exact = [sum(a[j] * b[(i - j) % 5] for j in range(5)) for i in range(5)]
    product = op.fft(a, normalize=norm) * op.fft(b, normalize=norm)
    scale = {"backward": 1.0, "ortho": 1 / np.sqrt(5), "forward": 0.2}[norm]
    close(op.ifft(product, normalize=norm), scale * np.array(exact))


def test_an_odd_length_needs_to_be_said():
    x = REAL[0]
    close(op.irfft(op.rfft(x), n=5), x)
    assert op.irfft(op.rfft(x)).shape == (6, 4)


def test_ifft_of_a_real_signal_is_complex():
    found = op.ifft(op.fft(REAL))
    assert found.dtype == jnp.complex64
    close(found, REAL.astype(complex))


@pytest.mark.parametrize("name", NUMPY)
def test_derivatives_of_transforms_equal_finite_differences(name, x64):
    x = RNG.normal(size=(2, 5))

    @jax.jit
    def loss(v):
        z = v if name in ("rfft", "fft") else jax.lax.complex(v, jnp.cos(v))
        return jnp.sum(jnp.abs(getattr(op, name)(z, axes=(0, 1), normalize="forward")) ** 2)

    check_grads(loss, (x,), order=2, rtol=1e-5, atol=1e-5)


def test_vmap_equals_a_loop():
    close(jax.vmap(op.fft)(COMPLEX), np.fft.fft(COMPLEX))
    close(jax.vmap(op.rfft, 2)(REAL), np.moveaxis(np.fft.rfft(REAL, axis=1), 2, 0))


def test_an_axis_of_one_point_is_itself():
    close(op.fft(np.ones((3, 1), np.float32)), np.ones((3, 1)))
    assert op.fft(np.ones((0, 4), np.float32)).shape == (0, 4)


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: op.fft(REAL, normalize="unitary"), Code.E_GRAPH_INVALID, "'unitary'; one of back"),
        (lambda: op.fft(REAL, axes=(1, -2)), Code.E_GRAPH_INVALID, "each once"),
        (lambda: op.fft(REAL, axes=()), Code.E_GRAPH_INVALID, "each once"),
        (lambda: op.ifft(REAL, axes=3), Code.E_SHAPE_MISMATCH, "axis 3 of an array of rank 3"),
        (lambda: op.fft(REAL, n=(2, 3)), Code.E_GRAPH_INVALID, "2 lengths for 1 axes"),
        (lambda: op.fft(REAL, n=0), Code.E_SHAPE_MISMATCH, "no points"),
        (lambda: op.fft(REAL, n=2.0), Code.E_GRAPH_INVALID, "n is 2.0, not an integer"),
        (lambda: op.fft(np.ones((2, 0), np.float32)), Code.E_SHAPE_MISMATCH, "no points"),
        (lambda: op.irfft(COMPLEX[..., :1]), Code.E_SHAPE_MISMATCH, "needs n="),
        (lambda: op.rfft(COMPLEX), Code.E_TARGET_CODEGEN, "must be real"),
        (lambda: op.fft(jnp.ones(3, bool)), Code.E_TARGET_CODEGEN, "kind 'number'"),
        (lambda: op.fft([1.0, 2.0]), Code.E_GRAPH_INVALID, "not an array"),
        (lambda: op.fft(REAL, layout=("dp",)), Code.E_GRAPH_INVALID, "no mesh"),
    ],
)
def test_transforms_that_cannot_be_are_refused(call, code, says):
    refused(call, code, says)


# -- stft ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("win", "hop"), [(8, 2), (9, 3), (8, 8)])
def test_spectra_of_windows_equal_scipy(win, hop):
    x = RNG.normal(size=(2, 50)).astype(np.float32)
    window = scipy.signal.get_window("hann", win)
    expected = scipy.signal.stft(x.astype(float), 1.0, window, win, win - hop)[2]
    close(op.stft(x, win, hop), expected)
    close(op.stft(x, jnp.asarray(window, jnp.float32), hop), expected)


@pytest.mark.parametrize(("win", "hop"), [(8, 2), (9, 3), (np.ones(4), 4), (np.ones(5), 5)])
def test_a_window_that_meets_cola_reconstructs_exactly(win, hop):
    x = RNG.normal(size=(2, 51)).astype(np.float32)
    size = len(np.asarray(win)) if np.ndim(win) else win
    window = np.asarray(win, float) if np.ndim(win) else scipy.signal.get_window("hann", win)
    assert scipy.signal.check_COLA(window, size, size - hop)
    found = op.istft(op.stft(x, win, hop), win, hop, length=51)
    close(found, x)
    assert op.istft(op.stft(x, win, hop), win, hop).shape[-1] >= 51


@pytest.mark.parametrize(("win", "hop"), [(8, 3), (8, 5), (8, 8), (np.array([1.0, 2.0, 1.0]), 1)])
def test_only_a_window_that_meets_cola_is_inverted(win, hop):
    size = len(np.asarray(win)) if np.ndim(win) else win
    window = np.asarray(win, float) if np.ndim(win) else scipy.signal.get_window("hann", win)
    X = op.stft(np.ones(40, np.float32), win, hop)
    if scipy.signal.check_COLA(window, size, size - hop):
        op.istft(X, win, hop)
    else:
        refused(lambda: op.istft(X, win, hop), Code.E_GRAPH_INVALID, "COLA")


def test_stft_and_its_inverse_differentiate_and_batch(x64):
    x = RNG.normal(size=(2, 24))
    power = jax.jit(lambda v: jnp.abs(op.stft(v, 8, 4)) ** 2)
    check_grads(power, (x,), order=1, rtol=1e-5, atol=1e-5)
    # The round trip is the identity, and so is its derivative.
    derivative = jax.jit(jax.jacobian(lambda v: op.istft(op.stft(v, 8, 4), 8, 4)))(x[0])
    np.testing.assert_allclose(derivative, np.eye(24), atol=1e-12)
    close(jax.vmap(lambda v: op.stft(v, 8, 4))(x), op.stft(x, 8, 4), jnp.float64)


def test_no_signals_have_no_spectra():
    X = op.stft(np.ones((0, 16), np.float32), 8, 4)
    assert X.shape == (0, 5, 5)
    assert op.istft(X, 8, 4).shape == (0, 16)


def test_a_half_precision_signal_is_widened():
    assert op.stft(jnp.ones(16, jnp.bfloat16), 8, 4).dtype == jnp.complex64


SPECTRA = op.stft(np.ones(16, np.float32), 8, 4)


@pytest.mark.parametrize(
    ("call", "code", "says"),
    [
        (lambda: op.stft(np.ones(7, np.float32), 8, 4), Code.E_SHAPE_MISMATCH, "has 8 samples"),
        (lambda: op.stft(np.float32(1), 8, 4), Code.E_SHAPE_MISMATCH, "()"),
        (lambda: op.stft(COMPLEX, 4, 2), Code.E_TARGET_CODEGEN, "kind 'float'"),
        (lambda: op.stft(REAL, 1, 1), Code.E_GRAPH_INVALID, "win=1"),
        (lambda: op.stft(REAL, 4.0, 1), Code.E_GRAPH_INVALID, "not an integer"),
        (lambda: op.stft(REAL, np.ones((2, 2)), 1), Code.E_GRAPH_INVALID, "(2, 2)"),
        (lambda: op.stft(REAL, 4, 0), Code.E_GRAPH_INVALID, "hop=0"),
        (lambda: op.stft(REAL, 4, 5), Code.E_GRAPH_INVALID, "hop=5"),
        (lambda: jax.jit(lambda w: op.stft(REAL, w, 2))(jnp.ones(4)), Code.E_GRAPH_INVALID, "trac"),
        (lambda: op.istft(jnp.real(SPECTRA), 8, 4), Code.E_TARGET_CODEGEN, "must be complex"),
        (lambda: op.istft(SPECTRA, 6, 3), Code.E_SHAPE_MISMATCH, "(..., 4, frames)"),
        (lambda: op.istft(SPECTRA, 8, 4, length=17), Code.E_SHAPE_MISMATCH, "length=17"),
        (lambda: op.istft(SPECTRA, np.zeros(8), 4), Code.E_GRAPH_INVALID, "COLA"),
    ],
)
def test_windows_and_spectra_that_cannot_be_are_refused(call, code, says):
    refused(call, code, says)


# -- dct ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_cosine_transforms_equal_scipy(axis, dtype):
    x = jnp.asarray(REAL).astype(dtype)
    wide = np.asarray(x).astype(np.float64)
    for ours, theirs in ((op.dct, scipy.fft.dct), (op.idct, scipy.fft.idct)):
        found = ours(x, axis=axis)
        assert found.dtype == dtype
        close(found, theirs(wide, axis=axis, norm="ortho"), dtype)


@pytest.mark.parametrize("n", [1, 6])
def test_the_cosine_transform_is_orthogonal_and_its_inverse_is_its_adjoint(n, x64):
    matrix = jax.jit(jax.jacfwd(op.dct))(jnp.ones(n))
    inverse = jax.jit(jax.jacrev(op.idct))(jnp.ones(n))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(n), atol=1e-12)
    np.testing.assert_allclose(inverse, matrix.T, atol=1e-12)


def test_cosine_transforms_that_cannot_be_are_refused():
    refused(lambda: op.dct(REAL, axis=3), Code.E_SHAPE_MISMATCH, "dct: axis 3")
    refused(lambda: op.idct(COMPLEX), Code.E_TARGET_CODEGEN, "idct: argument 'x' is complex64")
    refused(lambda: op.dct(np.ones((2, 0), np.float32)), Code.E_SHAPE_MISMATCH, "no points")


# -- wavelets -----------------------------------------------------------------------------------------------

# Rows of the one-level periodic transform, approximation then details.
SECOND = (np.array([1, 3, 3, 1]) + np.array([1, 1, -1, -1]) * np.sqrt(3)) / (4 * np.sqrt(2))
LOW = {"haar": np.ones(2) / np.sqrt(2), "db2": SECOND}


def one_level(name, n):
    low = LOW[name]
    high = np.array([(-1) ** k * low[len(low) - 1 - k] for k in range(len(low))])
    rows = np.zeros((n, n))
    for taps, first in ((low, 0), (high, n // 2)):
        for i in range(n // 2):
            for k, tap in enumerate(taps):
                rows[first + i, (2 * i + k) % n] += tap
    return rows


@pytest.mark.parametrize("n", [2, 4, 10])
@pytest.mark.parametrize("name", LOW)
def test_one_level_equals_its_matrix(name, n, x64):
    def flat(x):
        approx, details = op.wavelet(x, name)
        return jnp.concatenate([approx, *details])

    matrix = jax.jit(jax.jacfwd(flat))(jnp.ones(n))
    np.testing.assert_allclose(matrix, one_level(name, n), atol=1e-12)


@pytest.mark.parametrize("name", ["haar", "db2", "db3"])
@pytest.mark.parametrize("levels", [0, 1, 3])
@pytest.mark.parametrize("axis", [0, -1])
def test_wavelets_keep_energy_and_come_back(name, levels, axis):
    x = RNG.normal(size=(8, 3, 16)).astype(np.float32)
    approx, details = op.wavelet(x, name, levels, axis=axis)
    n = x.shape[axis]
    assert approx.shape[axis] == n // 2**levels
    assert [d.shape[axis] for d in details] == [n // 2 ** (i + 1) for i in range(levels)]
    energy = sum(float(jnp.sum(part**2)) for part in (approx, *details))
    np.testing.assert_allclose(energy, np.sum(x**2), rtol=1e-5)
    close(op.iwavelet(approx, details, name, axis=axis), x)


@pytest.mark.parametrize(("name", "moments"), [("haar", 1), ("db2", 2), ("db3", 3)])
def test_details_of_a_polynomial_vanish_away_from_the_ends(name, moments, x64):
    # The wrap-around of the filter, of 2 moments taps, touches the last moments - 1 details.
    x = np.linspace(-1.0, 1.0, 32) ** (moments - 1)
    _, (detail,) = op.wavelet(x, name)
    np.testing.assert_allclose(detail[: 16 - moments + 1], 0.0, atol=1e-12)


def test_the_inverse_wavelet_transform_is_the_adjoint(x64):
    def apart(x):
        return op.wavelet(x, "db2", 2)

    x = RNG.normal(size=12)
    parts = jax.tree.map(jnp.cos, apart(x))
    (adjoint,) = jax.jit(lambda ct: jax.vjp(apart, x)[1](ct))(parts)
    np.testing.assert_allclose(adjoint, op.iwavelet(*parts, "db2"), atol=1e-12)


def test_wavelets_keep_half_precision_and_batch():
    x = jnp.asarray(RNG.normal(size=(3, 8)), jnp.bfloat16)
    approx, (detail,) = op.wavelet(x, "db2")
    assert approx.dtype == detail.dtype == jnp.bfloat16
    expected = one_level("db2", 8) @ np.asarray(x).astype(float).T
    close(jnp.concatenate([approx, detail], axis=1), expected.T, jnp.bfloat16)
    batched = jax.vmap(lambda row: op.wavelet(row, "db2")[0])(x)
    assert jnp.array_equal(batched, approx)


def test_wavelets_that_cannot_be_are_refused():
    x = np.ones((2, 12), np.float32)
    refused(lambda: op.wavelet(x, "db9"), Code.E_GRAPH_INVALID, "'db9'; one of haar, db2")
    refused(lambda: op.wavelet(x, levels=3), Code.E_SHAPE_MISMATCH, "2^3 does not divide")
    refused(lambda: op.wavelet(x, levels=3), Code.E_SHAPE_MISMATCH, "pad it to 16")
    refused(lambda: op.wavelet(x, levels=-1), Code.E_GRAPH_INVALID, "negative")
    refused(lambda: op.wavelet(x, levels=1.5), Code.E_GRAPH_INVALID, "not an integer")
    refused(lambda: op.wavelet(x, axis=2), Code.E_SHAPE_MISMATCH, "axis 2")
    refused(lambda: op.wavelet(COMPLEX), Code.E_TARGET_CODEGEN, "kind 'float'")
    approx, details = op.wavelet(x, levels=2)
    refused(lambda: op.iwavelet(approx, details[:1]), Code.E_SHAPE_MISMATCH, "details[0] is (2, 6)")
    refused(lambda: op.iwavelet(approx, details, "x"), Code.E_GRAPH_INVALID, "iwavelet: unknown")


# -- convolution --------------------------------------------------------------------------------------------


def circular(x, kernel, n):
    kernel = np.concatenate([kernel, np.zeros(n - len(kernel))])
    return np.array([sum(kernel[j] * x[(i - j) % n] for j in range(n)) for i in range(n)])


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 5), (8, 3), (9, 1)])
def test_circular_convolution_equals_its_definition(n, k):
    x, kernel = RNG.normal(size=n), RNG.normal(size=k)
    close(op.conv_fft(np.float32(x), np.float32(kernel)), circular(x, kernel, n))
    found = op.conv_fft(np.complex64(1j * x), np.float32(kernel))
    assert found.dtype == jnp.complex64
    close(found, 1j * circular(x, kernel, n))


def test_convolution_over_two_axes_broadcasts_and_keeps_its_dtype():
    x, kernel = RNG.normal(size=(2, 4, 6)), RNG.normal(size=(3, 2))
    padded = np.zeros((4, 6))
    padded[:3, :2] = kernel
    expected = np.fft.ifft2(np.fft.fft2(x) * np.fft.fft2(padded)).real
    for axes in ((1, 2), (-2, -1)):
        close(op.conv_fft(np.float32(x), np.float32(kernel), axes=axes), expected)
    half = op.conv_fft(jnp.asarray(x, jnp.bfloat16), jnp.asarray(kernel, jnp.bfloat16), axes=(1, 2))
    assert half.dtype == jnp.bfloat16
    assert op.conv_fft(jnp.arange(4), jnp.arange(2)).dtype == jnp.float32


def test_derivatives_of_a_convolution_equal_finite_differences(x64):
    x, kernel = RNG.normal(size=(2, 5)), RNG.normal(size=(3,))
    square = jax.jit(lambda a, b: op.conv_fft(a, b) ** 2)
    check_grads(square, (x, kernel), order=2, rtol=1e-5, atol=1e-5)


def test_convolutions_that_cannot_be_are_refused():
    x = np.ones((2, 4), np.float32)
    refused(lambda: op.conv_fft(x, np.ones(5, np.float32)), Code.E_SHAPE_MISMATCH, "5 entries")
    refused(lambda: op.conv_fft(x, np.ones((3, 2), np.float32)), Code.E_SHAPE_MISMATCH, "broadcast")
    refused(lambda: op.conv_fft(x, x[0], axes=(0,)), Code.E_SHAPE_MISMATCH, "lacks axis -2")
    refused(lambda: op.conv_fft(x, x, axes=(2,)), Code.E_SHAPE_MISMATCH, "axis 2")
    refused(lambda: op.conv_fft(x, x, axes=(1, -1)), Code.E_GRAPH_INVALID, "each once")
    refused(lambda: op.conv_fft(x, x[:, :0]), Code.E_SHAPE_MISMATCH, "no points")
    refused(lambda: op.conv_fft(jnp.ones(3, bool), x), Code.E_TARGET_CODEGEN, "'X' is bool")


# -- filters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cutoff", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 5, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_low_pass_filter_drops_the_modes_above_its_cutoff(cutoff, n, axis):
    x = RNG.normal(size=(n, 3) if axis == 0 else (3, n))
    kept = np.abs(np.fft.fftfreq(n)) <= 0.5 * cutoff
    kept = kept[:, None] if axis == 0 else kept
    for value in (x, x + 1j * np.cos(x)):
        expected = np.fft.ifft(np.where(kept, np.fft.fft(value, axis=axis), 0), axis=axis)
        complex_in = np.iscomplexobj(value)
        narrow = value.astype(np.complex64 if complex_in else np.float32)
        found = op.spectral_filter(narrow, cutoff, axis=axis)
        assert found.dtype == narrow.dtype
        close(found, expected if complex_in else expected.real)


def test_the_filter_is_a_projection_and_linear(x64):
    x = RNG.normal(size=9)
    matrix = jax.jacobian(lambda v: op.spectral_filter(v, 0.5))(x)
    np.testing.assert_allclose(matrix @ matrix, matrix, atol=1e-12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(jax.jit(op.spectral_filter)(x, 0.5), matrix @ x, atol=1e-12)


def test_an_array_multiplies_a_spectrum():
    spectrum = np.fft.fft(REAL)
    found = op.spectral_filter(np.complex64(spectrum), REAL[0, 0])
    close(found, spectrum * REAL[0, 0].astype(float))


def test_filters_that_cannot_be_are_refused():
    refused(lambda: op.spectral_filter(REAL, 1.5), Code.E_GRAPH_INVALID, "cutoff 1.5")
    compiled = jax.jit(lambda x: op.spectral_filter(x, 1.5))
    refused(lambda: compiled(REAL), Code.E_GRAPH_INVALID, "cutoff 1.5")
    refused(lambda: op.spectral_filter(REAL, -0.1), Code.E_GRAPH_INVALID, "cutoff -0.1")
    refused(lambda: op.spectral_filter(REAL, 1j), Code.E_TARGET_CODEGEN, "complex")
    refused(lambda: op.spectral_filter(REAL, REAL[:2]), Code.E_SHAPE_MISMATCH, "broadcast")
    refused(lambda: op.spectral_filter(REAL, 0.5, axis=3), Code.E_SHAPE_MISMATCH, "axis 3")
    empty = np.ones((2, 0), np.float32)
    refused(lambda: op.spectral_filter(empty, 0.5), Code.E_SHAPE_MISMATCH, "no points")


# -- threshold ----------------------------------------------------------------------------------------------


def test_thresholds_of_complex_values_keep_the_phase():
    size, phase = np.abs(COMPLEX), np.angle(COMPLEX)
    hard, soft = (op.threshold(COMPLEX, 1.0, mode=mode) for mode in ("hard", "soft"))
    close(hard, np.where(size >= 1, COMPLEX, 0))
    close(soft, np.maximum(size - 1, 0) * np.exp(1j * phase.astype(float)))


def test_a_value_at_the_threshold_stays_only_when_hard():
    x = jnp.array([-1.0, 1.0, 0.5])
    assert op.threshold(x, 1.0).tolist() == [-1.0, 1.0, 0.0]
    assert op.threshold(x, 1.0, mode="soft").tolist() == [0.0, 0.0, 0.0]
    assert jax.grad(lambda v: op.threshold(v, 1.0).sum())(x).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_the_gradient_at_a_complex_zero_is_zero(mode):
    z = jnp.zeros(3, jnp.complex64)
    gradient = jax.grad(lambda v: jnp.sum(jnp.abs(op.threshold(v, 0.5, mode=mode)) ** 2))(z)
    assert not np.any(gradient)


def test_a_soft_complex_threshold_differentiates(x64):
    @jax.jit
    def loss(re, im, t):
        return jnp.sum(jnp.abs(op.threshold(jax.lax.complex(re, im), t, mode="soft")) ** 2)

    parts = (np.array([2.0, 0.1]), np.array([1.0, 0.2]), np.array(0.7))
    check_grads(loss, parts, order=2, rtol=1e-5, atol=1e-5)


def test_nan_stays_and_integers_count_as_floats():
    assert np.isnan(op.threshold(jnp.array([jnp.nan]), 1.0)[0])
    assert np.isnan(op.threshold(jnp.array([jnp.nan]), 1.0, mode="soft")[0])
    assert op.threshold(jnp.array([-3, 1]), 2).tolist() == [-3.0, 0.0]


def test_thresholds_that_cannot_be_are_refused():
    refused(lambda: op.threshold(REAL, 1.0, mode="firm"), Code.E_GRAPH_INVALID, "one of hard, soft")
    refused(lambda: op.threshold(REAL, np.ones(5, np.float32)), Code.E_SHAPE_MISMATCH, "'t'")
    refused(lambda: op.threshold(REAL, 1j), Code.E_TARGET_CODEGEN, "'t'")


# -- recipes ------------------------------------------------------------------------------------------------


def test_denoising_by_fft_threshold_and_ifft_brings_a_sine_back():
    n = 256
    clean = np.sin(2 * np.pi * 5 * np.arange(n) / n)
    noisy = np.float32(clean + 0.3 * RNG.normal(size=n))
    # The two modes of the sine have n/2 each; noise of variance s^2 has s sqrt(n) in every mode.
    denoise = op.pipeline([op.fft, lambda z: op.threshold(z, n / 4), op.ifft, jnp.real])
    found = denoise(noisy)
    assert found.dtype == jnp.float32
    before, after = (np.sqrt(np.mean((y - clean) ** 2)) for y in (noisy, found))
    # What is left is the noise in two of n modes: 0.3 sqrt(2 / n) = 0.027, here at most three times that.
    assert after < 0.08 < before
    close(jax.jit(denoise)(noisy), np.asarray(found), factor=10)
