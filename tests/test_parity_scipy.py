"""Ops beside SciPy in float64: transforms, windows, matrices, sparse and iterative solvers, draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.integrate
import scipy.linalg
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.sparse
import scipy.sparse.linalg
import scipy.special
import scipy.stats
from jax.experimental.sparse import BCOO, BCSR

from tessera import op
from tessera.core import numerics

# Sums are in another order, and a transform of length n rounds log n times.
RTOL, ATOL = (10 * bound for bound in numerics.tolerance(jnp.float64))
P_MIN = 1e-6  # a right draw is below this once in a million seeds, and the seed is fixed

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.newest]


def drawn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def complex_drawn(*shape):
    return drawn(*shape) + 1j * drawn(*shape, seed=1)


def close(found, expected, factor=1.0):
    """Compares with errors relative to the largest value, as those of sums are."""
    assert found.dtype == expected.dtype
    size = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    np.testing.assert_allclose(found, expected, RTOL * factor, ATOL * factor * size)


# -- transforms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft"])
def test_fourier_transforms_of_even_and_odd_prime_and_composite_lengths(name, norm):
    theirs = getattr(scipy.fft, name)
    for length, n in ((2, None), (7, 7), (12, None), (12, 9), (12, 17), (31, 31)):
        x = drawn(2, length) if name == "rfft" else complex_drawn(2, length)
        close(getattr(op, name)(x, n=n, normalize=norm), theirs(x, n=n, norm=norm), factor=10)


@pytest.mark.parametrize("name", ["fft", "rfft", "irfft"])
def test_fourier_transforms_of_several_axes(name):
    theirs = getattr(scipy.fft, f"{name}n")
    x = drawn(4, 5, 6) if name == "rfft" else complex_drawn(4, 5, 6)
    for axes, n in (((0, 2), None), ((2, 1, 0), None), ((1, 2), (7, 5))):
        found = getattr(op, name)(x, axes=axes, n=n, normalize="ortho")
        close(found, theirs(x, s=n, axes=axes, norm="ortho"), factor=10)


@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_cosine_transforms_of_any_length(n):
    x = drawn(3, n)
    close(op.dct(x), scipy.fft.dct(x, norm="ortho"), factor=10)
    close(op.idct(x), scipy.fft.idct(x, norm="ortho"), factor=10)
    close(op.dct(op.dct(x), axis=0), scipy.fft.dctn(x, norm="ortho"), factor=10)


# -- windows and convolutions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "win", "hop"),
    [
        ("hann", 16, 4),
        ("hamming", 10, 5),
        ("blackman", 12, 3),
        ("boxcar", 5, 5),
        ("bartlett", 8, 4),
    ],
)
def test_spectra_of_any_window_and_back(window, win, hop):
    x = drawn(2, 12 * hop + 2)
    taps = scipy.signal.get_window(window, win)
    words = {"window": taps, "nperseg": win, "noverlap": win - hop}
    X = scipy.signal.stft(x, **words)[2]
    close(op.stft(x, taps, hop), X, factor=10)
    close(op.istft(X, taps, hop), scipy.signal.istft(X, **words)[1], factor=10)


def test_a_circular_convolution_is_a_circulant_matrix_and_with_room_a_linear_convolution():
    x, kernel = drawn(9), drawn(4)
    whole = np.pad(kernel, (0, 5))
    close(op.conv_fft(x, kernel), scipy.linalg.circulant(whole) @ x, factor=10)
    expected = scipy.signal.fftconvolve(x, kernel)
    close(op.conv_fft(np.pad(x, (0, 3)), kernel), expected, factor=10)
    image, small = drawn(5, 6), drawn(3, 3)
    wrapped = scipy.ndimage.convolve(image, small, mode="wrap", origin=(-1, -1))
    close(op.conv_fft(image, small, axes=(0, 1)), wrapped, factor=10)


@pytest.mark.parametrize("mode", ["valid", "same"])
def test_convolution_layers_are_correlations(mode):
    x, kernel = drawn(7, 6), drawn(3, 3)
    found = op.conv2d(x[None, None], kernel[None, None], padding=mode, layout="nchw")[0, 0]
    close(found, scipy.signal.correlate2d(x, kernel, mode=mode))
    taps = drawn(4)
    found = op.conv1d(x[:, 0][None, None], taps[None, None], 2, 3, layout="nchw")[0, 0]
    close(found, scipy.signal.upfirdn(taps[::-1], x[:, 0], down=2))


def test_a_running_sum_is_the_integral_of_a_function_in_steps():
    x = drawn(3, 8)
    middle = (x[:, 1:] + x[:, :-1]) / 2
    expected = scipy.integrate.cumulative_trapezoid(x, dx=0.25, axis=1)
    close(0.25 * op.scan(middle, axis=1), expected)


# -- wavelets -----------------------------------------------------------------------------------------------

MOMENTS = {"haar": 1, "db2": 2, "db3": 3}


def low_and_high(name, n=16):
    """Returns the filters of an inverse transform: what one coefficient alone is the transform of."""
    one, none = np.eye(n // 2)[0], np.zeros(n // 2)
    return np.asarray(op.iwavelet(one, [none], name)), np.asarray(op.iwavelet(none, [one], name))


@pytest.mark.parametrize("name", MOMENTS)
def test_filters_are_orthogonal_to_each_other_and_to_their_even_shifts(name):
    low, high = low_and_high(name)
    for shift in range(0, 16, 2):
        own = float(shift == 0)
        for a, b, expected in ((low, low, own), (high, high, own), (low, high, 0.0)):
            np.testing.assert_allclose(a @ np.roll(b, shift), expected, atol=1e-14)
    np.testing.assert_allclose(low.sum(), np.sqrt(2))


@pytest.mark.parametrize(("name", "moments"), MOMENTS.items())
def test_the_high_pass_filter_has_its_vanishing_moments_and_no_more(name, moments):
    high = low_and_high(name)[1]
    assert np.all(high[2 * moments :] == 0)
    sums = [high @ np.arange(16.0) ** m for m in range(moments + 1)]
    np.testing.assert_allclose(sums[:moments], 0, atol=1e-12)
    assert abs(sums[moments]) > 0.1


def test_haar_coefficients_are_those_of_sums_and_differences_by_hand():
    approx, details = op.wavelet(np.array([4.0, 2.0, 8.0, 6.0, 1.0, 1.0, 0.0, 4.0]), "haar", 3)
    root = np.sqrt(2.0)
    np.testing.assert_allclose(details[0], [2 / root, 2 / root, 0.0, -4 / root])
    np.testing.assert_allclose(details[1], [(6 - 14) / 2, (2 - 4) / 2])
    np.testing.assert_allclose(details[2], [(20 - 6) / (2 * root)])
    np.testing.assert_allclose(approx, [26 / (2 * root)])


@pytest.mark.parametrize("name", MOMENTS)
def test_a_constant_is_all_approximation_and_everything_comes_back(name):
    approx, details = op.wavelet(np.full(16, 3.0), name, 3)
    np.testing.assert_allclose(approx, 3.0 * 2**1.5)
    for part in details:
        np.testing.assert_allclose(part, 0, atol=1e-13)
    x = drawn(3, 24)
    parts = op.wavelet(x, name, 3)
    np.testing.assert_allclose(op.iwavelet(*parts, name), x, rtol=1e-12, atol=1e-12)
    energy = sum(np.sum(np.square(part)) for part in (parts[0], *parts[1]))
    np.testing.assert_allclose(energy, np.sum(x**2), rtol=1e-12)


# -- matrices -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
def test_decompositions_are_those_of_scipy_up_to_sign(shape):
    a = drawn(*shape)
    q, r = scipy.linalg.qr(a, mode="economic")
    own_q, own_r = map(np.asarray, op.qr(a))
    sign = np.sign(np.diagonal(r) * np.diagonal(own_r))
    close(own_q * sign, q, factor=10)
    close(sign[:, None] * own_r, r, factor=10)
    u, s, vh = scipy.linalg.svd(a, full_matrices=False)
    own_u, own_s, own_vh = map(np.asarray, op.svd(a))
    sign = np.sign(np.sum(u * own_u, axis=0))
    close(own_s, s, factor=10)
    close(own_u * sign, u, factor=100)
    close(sign[:, None] * own_vh, vh, factor=100)


def test_factors_and_solutions_of_a_definite_matrix():
    a = scipy.linalg.hilbert(4) + np.eye(4)
    b = drawn(4, 2)
    factor = scipy.linalg.cholesky(a, lower=True)
    close(op.cholesky(a), factor)
    close(op.tri_solve(factor, b), scipy.linalg.solve_triangular(factor, b, lower=True))
    close(op.tri_solve(factor.T, b, lower=False), scipy.linalg.solve_triangular(factor.T, b))
    expected = scipy.linalg.solve(a, b, assume_a="pos")
    for method in ("lu", "cholesky"):
        close(op.solve(a, b, method=method), expected, factor=10)


@pytest.mark.parametrize(
    ("p", "axis"),
    [(1, 1), (2, 1), (3, 1), (np.inf, 1), (-np.inf, 1), (1, (0, 1)), (np.inf, (1, 0)), (2, (0, 1))],
)
def test_norms_are_even_so_that_their_derivatives_are_odd(p, axis):
    x = np.array([[1.0, 0.0, -2.0], [0.0, 0.5, 3.0]])  # odd in an element that is 0: no slope
    close(op.norm(x, p, axis), np.linalg.norm(x, p, axis))
    slope = jax.jit(jax.grad(lambda x: jnp.sum(op.norm(x, p, axis))))
    close(slope(-x), -slope(x))


def test_the_error_of_a_product_of_low_rank_is_a_singular_value():
    a, b = drawn(5, 6), drawn(6, 4)
    found, bound = op.factorized_matmul(a, b, 2, return_bound=True)
    expected = scipy.linalg.svdvals(b)[2] * scipy.linalg.norm(a, 2)
    np.testing.assert_allclose(bound, expected, rtol=1e-12)
    assert scipy.linalg.norm(a @ b - found, 2) <= expected


# -- sparse matrices ----------------------------------------------------------------------------------------


def sparse_pair(m, n, density, form):
    """Returns one random matrix in SciPy and in JAX."""
    theirs = scipy.sparse.random_array(
        (m, n), density=density, format="coo", rng=np.random.default_rng(m)
    )
    places = np.stack(theirs.coords, 1)
    ours = BCOO((jnp.asarray(theirs.data), jnp.asarray(places)), shape=(m, n)).sort_indices()
    return theirs.tocsr(), ours if form is BCOO else BCSR.from_bcoo(ours)


@pytest.mark.parametrize("form", [BCOO, BCSR], ids=["coo", "csr"])
@pytest.mark.parametrize("density", [0.02, 0.3])
def test_products_with_sparse_matrices(form, density):
    theirs, ours = sparse_pair(40, 30, density, form)
    b = drawn(30, 4)
    close(op.spmm(ours, b), theirs @ b)
    close(op.spmv(ours, b[:, 0]), theirs @ b[:, 0])
    (slope,) = jax.vjp(lambda b: op.spmm(ours, b), jnp.asarray(b))[1](jnp.asarray(drawn(40, 4)))
    close(slope, theirs.T @ drawn(40, 4))


def test_entries_given_twice_are_added_as_in_coordinate_format():
    values, rows, columns = drawn(6), np.array([2, 0, 2, 2, 1, 0]), np.array([1, 3, 1, 0, 2, 3])
    theirs = scipy.sparse.coo_array((values, (rows, columns)), shape=(3, 4))
    ours = BCOO((jnp.asarray(values), jnp.asarray(np.stack([rows, columns], 1))), shape=(3, 4))
    close(op.spmm(ours, drawn(4, 2)), theirs @ drawn(4, 2))


def test_a_product_at_the_places_of_a_sparse_matrix():
    mask, _ = sparse_pair(8, 9, 0.3, BCOO)
    a, b = drawn(8, 5), drawn(5, 9)
    pattern = mask.tocoo()
    sampled = scipy.sparse.coo_array((a @ b) * (mask.toarray() != 0)).toarray()
    close(op.sddmm(a, b, mask.toarray() != 0), sampled)
    places = np.stack(pattern.coords, 1)
    close(op.sddmm(a, b, places), sampled[pattern.coords])


def laplacian(n):
    """Returns the five-point matrix of -Δ on a square grid."""
    line = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    eye = scipy.sparse.eye_array(n)
    return (scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)).tocsr()


def product_with(matrix):
    ours = BCSR.from_bcoo(BCOO.fromdense(jnp.asarray(matrix.toarray())))
    return lambda x: op.spmv(ours, x)


def test_conjugate_gradients_on_a_sparse_matrix():
    matrix, b = laplacian(7), drawn(49)
    direct = scipy.sparse.linalg.spsolve(matrix.tocsc(), b)
    theirs, failed = scipy.sparse.linalg.cg(matrix, b, rtol=1e-12)
    found = op.solve(product_with(matrix), b, method="cg", tol=1e-12)
    assert failed == 0
    # The condition number, about 30, multiplies the residual.
    np.testing.assert_allclose(found, direct, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-9)


def test_gmres_on_an_unsymmetric_sparse_matrix():
    drift = scipy.sparse.diags_array([-0.4, 0.4], offsets=[-1, 1], shape=(25, 25))
    matrix, b = (laplacian(5) + drift).tocsr(), drawn(25)
    theirs, failed = scipy.sparse.linalg.gmres(matrix, b, rtol=1e-12)
    found = op.solve(product_with(matrix), b, method="gmres", tol=1e-12)
    assert failed == 0
    np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        found, scipy.sparse.linalg.spsolve(matrix.tocsc(), b), rtol=1e-9, atol=1e-9
    )


def test_fixed_points_are_roots():
    def settled(a):
        return op.fixed_point(lambda x: jnp.exp(-a * x), jnp.ones(()), tol=1e-14, max_iter=500)

    for a in (0.3, 0.9):
        root = scipy.optimize.brentq(lambda x, a=a: x - np.exp(-a * x), 0.0, 1.0, xtol=1e-15)
        np.testing.assert_allclose(settled(a), root, rtol=1e-12)
        np.testing.assert_allclose(root, scipy.special.lambertw(a).real / a, rtol=1e-12)
        # The derivative of W is W / (a (1 + W)).
        w = scipy.special.lambertw(a).real
        slope = w / (a**2 * (1 + w)) - w / a**2
        np.testing.assert_allclose(jax.grad(settled)(a), slope, rtol=1e-9)


# -- special functions --------------------------------------------------------------------------------------

WIDE = np.concatenate([np.linspace(-38, 38, 77), [-1e-300, 0.0, 1e-8, 700.0, -700.0]])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (op.gelu, lambda x: x * scipy.special.ndtr(x)),
        (op.gelu, lambda x: 0.5 * x * scipy.special.erfc(-x / np.sqrt(2))),
        (op.sigmoid, scipy.special.expit),
        (op.silu, lambda x: x * scipy.special.expit(x)),
    ],
    ids=["gelu by the distribution", "gelu by erf", "sigmoid", "silu"],
)
def test_activations_keep_their_digits_in_the_tails(ours, theirs):
    # At -38 an error of one rounding in x is one of 38^2 roundings in exp(-x^2 / 2).
    np.testing.assert_allclose(ours(WIDE), theirs(WIDE), rtol=1e-12, atol=0)


def test_the_derivative_of_gelu_has_the_density():
    slope = jax.vmap(jax.grad(op.gelu))(jnp.asarray(WIDE))
    expected = scipy.special.ndtr(WIDE) + WIDE * scipy.stats.norm.pdf(WIDE)
    np.testing.assert_allclose(slope, expected, rtol=1e-11, atol=1e-300)


def test_entropies_are_those_of_scipy():
    logits = 5 * drawn(4, 6)
    p, log_p = scipy.special.softmax(logits, -1), scipy.special.log_softmax(logits, -1)
    q = scipy.special.softmax(drawn(4, 6, seed=1), -1)
    labels = np.array([0, 5, 2, 2])
    rows = np.arange(4)
    total = scipy.special.logsumexp(logits, axis=-1)
    close(op.softmax(logits), p)
    close(op.cross_entropy(logits, labels, reduction="none"), total - logits[rows, labels])
    close(op.cross_entropy(logits, labels, reduction="none"), -log_p[rows, labels])
    own = scipy.stats.entropy(p, axis=-1)
    close(op.cross_entropy(logits, p, reduction="none"), own)
    close(op.kl_divergence(p, q, reduction="none"), scipy.stats.entropy(p, q, axis=-1))
    close(
        op.kl_divergence(q, log_p, log_q=True, reduction="none"),
        scipy.special.rel_entr(q, p).sum(-1),
    )
    # Cross-entropy is entropy and divergence.
    crossed = scipy.stats.entropy(q, axis=-1) + scipy.stats.entropy(q, p, axis=-1)
    close(op.cross_entropy(logits, q, reduction="none"), crossed)


def test_probabilities_at_zero_have_the_limits_of_rel_entr():
    p = np.array([[0.0, 1.0], [0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])
    q = np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    expected = scipy.special.rel_entr(p, q).sum(-1)
    np.testing.assert_array_equal(op.kl_divergence(p, q, reduction="none"), expected)


def test_the_derivative_of_log_sum_exp_in_the_loss_is_softmax():
    logits = 30 * drawn(3, 5)
    labels = np.array([1, 0, 4])
    slope = jax.grad(lambda x: op.cross_entropy(x, labels, reduction="sum"))(jnp.asarray(logits))
    close(slope, scipy.special.softmax(logits, -1) - np.eye(5)[labels])


@pytest.mark.parametrize(
    ("word", "theirs"),
    [
        ("sum", scipy.ndimage.sum_labels),
        ("mean", scipy.ndimage.mean),
        ("max", scipy.ndimage.maximum),
    ],
)
def test_segments_are_labelled_regions(word, theirs):
    x, ids = drawn(20), np.random.default_rng(0).permutation(np.arange(20) % 6)
    found = op.segment_reduce(x[:, None], ids, word, num_segments=6)[:, 0]
    close(found, np.asarray(theirs(x, ids, np.arange(6))))


# -- draws --------------------------------------------------------------------------------------------------


def test_seeds_are_independent_of_each_other():
    """Under independence p-values of tests, one for each pair of seeds, are uniform."""
    draws = [np.asarray(op.random_normal((500,), seed=seed)) for seed in range(40)]
    pairs = zip(draws[::2], draws[1::2], strict=True)
    found = [scipy.stats.pearsonr(a, b).pvalue for a, b in pairs]
    assert scipy.stats.kstest(found, "uniform").pvalue > P_MIN


def test_pairs_of_neighbours_fill_the_square_evenly():
    x = np.asarray(op.random_uniform((20_000, 2), seed=5))
    counts = np.histogram2d(x[:, 0], x[:, 1], bins=8, range=[[0, 1], [0, 1]])[0]
    assert scipy.stats.chisquare(counts.ravel()).pvalue > P_MIN


def test_normal_vectors_have_the_lengths_and_tails_of_the_law():
    x = np.asarray(op.random_normal((4000, 5), seed=6), np.float64)
    assert scipy.stats.kstest(np.sum(x**2, 1), scipy.stats.chi2(5).cdf).pvalue > P_MIN
    far = int(np.sum(np.abs(x) > 2.5))
    assert scipy.stats.binomtest(far, x.size, 2 * scipy.stats.norm.sf(2.5)).pvalue > P_MIN


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_drops_a_binomial_number_in_every_part(p):
    kept = np.asarray(op.dropout(np.ones((50, 200)), p, key=1)) != 0
    dropped = 200 - kept.sum(1)
    assert scipy.stats.binomtest(int(dropped.sum()), kept.size, p).pvalue > P_MIN
    # The variance of the rows' counts is that of a binomial law, not of one shared by rows.
    spread = np.sum((dropped - 200 * p) ** 2) / (200 * p * (1 - p))
    assert P_MIN < scipy.stats.chi2(50).sf(spread) < 1 - P_MIN
