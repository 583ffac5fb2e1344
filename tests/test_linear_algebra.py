"""`op.gemm`, `op.einsum`, `op.factorized_matmul`, decompositions and `op.norm`, against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.test_util import check_grads

from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError

RANDOM = np.random.default_rng(0)
A = jnp.asarray(RANDOM.normal(size=(4, 3)), jnp.float32)
B = jnp.asarray(RANDOM.normal(size=(3, 5)), jnp.float32)
C = jnp.asarray(RANDOM.normal(size=(4, 5)), jnp.float32)
STACK = jnp.asarray(RANDOM.normal(size=(2, 4, 3)), jnp.float32)
LOW = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])


def wide(x):
    return np.asarray(x).astype(np.complex128 if jnp.iscomplexobj(x) else np.float64)


def close(found, expected, dtype=jnp.float32, factor=1.0):
    rtol, atol = numerics.tolerance(dtype)
    np.testing.assert_allclose(wide(found), expected, rtol * factor, atol * factor)


def refused(code, text, function, *args, **keywords):
    with pytest.raises(CompileError, match=text) as caught:
        function(*args, **keywords)
    assert caught.value.code is code
    return str(caught.value)


def gradients(function, *operands):
    """Forward and reverse mode against finite differences, in float64."""
    with jax.enable_x64(True):
        exact = [jnp.asarray(wide(x)) for x in operands]
        check_grads(function, exact, order=1, modes=("fwd", "rev"), rtol=1e-5, atol=1e-5)


# -- gemm ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_gemm_is_the_blas_product(transposed):
    a, b = (x.T if t else x for x, t in zip((A, B), transposed, strict=True))
    found = op.gemm(a, b, C, alpha=2, beta=-0.5, transA=transposed[0], transB=transposed[1])
    expected = scipy.linalg.blas.dgemm(2.0, wide(A), wide(B), -0.5, wide(C))
    close(found, expected, factor=10)


def test_gemm_defaults_to_the_product():
    close(op.gemm(A, B), wide(A) @ wide(B))


def test_beta_zero_does_not_read_c():
    assert jnp.all(jnp.isfinite(op.gemm(A, B, jnp.full((4, 5), jnp.nan))))
    assert jnp.all(jnp.isfinite(op.gemm(A, B, jnp.full((4, 5), jnp.nan), beta=0.0)))


def test_alpha_and_beta_may_be_traced_and_have_gradients():
    def loss(alpha, beta):
        return jnp.sum(op.gemm(A, B, C, alpha=alpha, beta=beta))

    found = jax.jit(jax.grad(loss, (0, 1)))(2.0, 3.0)
    close(jnp.stack(found), [np.sum(wide(A) @ wide(B)), np.sum(wide(C))], factor=10)
    gradients(lambda a, b, c: op.gemm(a, b, c, alpha=2, beta=3, transB=True), A, B.T, C)


@LOW
def test_gemm_rounds_once(dtype):
    a, b, c = (x.astype(dtype) for x in (A, B, C))
    found = op.gemm(a, b, c, alpha=3, beta=1)
    assert found.dtype == dtype
    close(found, 3 * wide(a) @ wide(b) + wide(c), dtype)
    assert op.gemm(a, b, out_dtype="fp32").dtype == jnp.float32


def test_batches_of_gemm():
    found = op.gemm(STACK, B, C[:1], beta=1, batch=2)
    close(found, wide(STACK) @ wide(B) + wide(C[:1]), factor=10)
    close(op.batched_gemm(STACK, jnp.stack([B, 2 * B])), wide(STACK) @ np.stack([B, 2 * B]))
    assert op.batched_gemm(jnp.ones((0, 2, 3)), jnp.ones((0, 3, 1))).shape == (0, 2, 1)
    assert not op.gemm(jnp.ones((2, 0)), jnp.ones((0, 3))).any()
    close(jax.vmap(op.gemm, (0, None))(STACK, B), wide(STACK) @ wide(B))


def test_complex_gemm():
    a = jax.lax.complex(A, A[::-1])
    close(op.gemm(a, B.astype(jnp.complex64), alpha=1j), 1j * wide(a) @ wide(B), factor=10)


def test_gemm_refuses():
    refused(Code.E_GRAPH_INVALID, "gemm: beta is 2 but C is missing", op.gemm, A, B, beta=2)
    refused(Code.E_SHAPE_MISMATCH, r"k is 3 in op\(A\) \(4, 3\) but 4 in op\(B\)", op.gemm, A, C)
    refused(Code.E_SHAPE_MISMATCH, "C has shape", op.gemm, A, B, A, beta=1)
    refused(Code.E_SHAPE_MISMATCH, "batch is 3 but", op.gemm, STACK, B, batch=3)
    refused(Code.E_SHAPE_MISMATCH, "batch is 1 but", op.gemm, A, B, batch=1)
    refused(Code.E_SHAPE_MISMATCH, "not that of a matrix", op.gemm, A[0], B)
    refused(Code.E_SHAPE_MISMATCH, "alpha has shape", op.gemm, A, B, alpha=jnp.ones(2))
    refused(Code.E_GRAPH_INVALID, "alpha is complex", op.gemm, A, B, alpha=1j)
    refused(Code.E_SHAPE_MISMATCH, "same leading axes", op.batched_gemm, STACK, B)
    refused(Code.E_SHAPE_MISMATCH, "same leading axes", op.batched_gemm, STACK, jnp.ones((3, 3, 1)))
    refused(Code.E_SHAPE_MISMATCH, "k is 3", op.batched_gemm, STACK, STACK)


def test_a_list_of_matrices_is_refused_with_the_array_form():
    for call in (op.batched_gemm, op.gemm):
        text = refused(Code.E_GRAPH_INVALID, "A is a list of arrays", call, [A, A], [B, B])
        assert "jnp.stack" in text


# -- einsum -------------------------------------------------------------------------------------------------

SPECS = {
    "ij,jk->ik": (A, B),
    "ij,jk": (A, B),
    "ij->ji": (A,),
    "ij->": (A,),
    "i,i->": (A[0], A[1]),
    "ii->i": (B[:, :3],),
    "bij,jk->bik": (STACK, B),
    "...ij,jk->...ik": (STACK, B),
    "i...,i...->...": (A, A),
    "ij,jk,ik->": (A, B, C),
    "ij , jk -> k i": (A, B),
}


@pytest.mark.parametrize("spec", SPECS)
def test_einsum_equals_numpy(spec):
    arrays = SPECS[spec]
    close(
        jax.jit(op.einsum, static_argnums=0)(spec, *arrays),
        np.einsum(spec, *map(wide, arrays)),
        factor=10,
    )
    gradients(lambda *xs: op.einsum(spec, *xs), *arrays)


@LOW
@pytest.mark.parametrize("spec", ["ij->i", "ij,k->ik", "ij,ij->i"])
def test_einsum_accumulates_in_float32(spec, dtype):
    ones = jnp.ones((2, 3000), dtype)  # a sum of ones in bf16 stops at 256, in f16 at 2048
    arrays = {"ij->i": (ones,), "ij,k->ik": (ones, ones[0, :1]), "ij,ij->i": (ones, ones)}[spec]
    found = op.einsum(spec, *arrays)
    assert found.dtype == dtype
    close(found, np.einsum(spec, *map(wide, arrays)), dtype)
    assert op.einsum(spec, *arrays, out_dtype="fp32").dtype == jnp.float32


def test_einsum_of_integers_mixed_dtypes_and_nothing():
    assert op.einsum("i,i->", jnp.arange(4), jnp.arange(4)) == 14
    assert op.einsum("i,i->", jnp.ones(2), jnp.ones(2, jnp.bfloat16)).dtype == jnp.float32
    assert op.einsum("ij,jk->ik", jnp.ones((2, 0)), jnp.ones((0, 3))).tolist() == [[0.0] * 3] * 2
    close(jax.vmap(lambda a: op.einsum("ij,jk->ik", a, B))(STACK), wide(STACK) @ wide(B))


def test_einsum_refuses():
    refused(
        Code.E_SHAPE_MISMATCH,
        "'j' in 'ij,jk->ik' is 3 in operand 0 but 4 in operand 1",
        op.einsum,
        "ij,jk->ik",
        A,
        C,
    )
    refused(Code.E_SHAPE_MISMATCH, "of rank 2, but 'ijk'", op.einsum, "ijk->", A)
    refused(Code.E_SHAPE_MISMATCH, "needs at least rank 3", op.einsum, "ijk...->", A)
    refused(Code.E_SHAPE_MISMATCH, "is 3 in operand 0 but 1", op.einsum, "ij,jk->ik", A, B[:1])
    refused(Code.E_GRAPH_INVALID, "has 2 operands, but 1 are given", op.einsum, "ij,jk->ik", A)
    refused(Code.E_GRAPH_INVALID, "is no contraction", op.einsum, "ij->z", A)
    refused(Code.E_GRAPH_INVALID, "not letters", op.einsum, "i1->i", A)
    refused(Code.E_GRAPH_INVALID, "the spec is a", op.einsum, A, "ij")


# -- factorized_matmul --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_factorized_matmul_is_the_best_approximation_and_the_bound_holds(rank):
    found, bound = op.factorized_matmul(A, B, rank=rank, return_bound=True)
    u, s, vh = np.linalg.svd(wide(B), full_matrices=False)
    close(found, wide(A) @ (u[:, :rank] * s[:rank]) @ vh[:rank], factor=10)
    error = np.linalg.norm(wide(A) @ wide(B) - wide(found), 2)
    expected = (s[rank] if rank < 3 else 0.0) * np.linalg.norm(wide(A), 2)
    close(bound, expected, factor=10)
    assert error <= expected + 1e-5  # rounding of the product


def test_a_pair_of_factors_is_multiplied_exactly():
    pair = (B[:, :2], C[:2])
    found, bound = op.factorized_matmul(STACK, pair, return_bound=True)
    close(found, wide(STACK) @ wide(pair[0]) @ wide(pair[1]), factor=10)
    assert bound.tolist() == [0.0, 0.0]
    assert "svd" not in str(jax.make_jaxpr(lambda a: op.factorized_matmul(a, pair, 2))(A))
    gradients(lambda a, u, v: op.factorized_matmul(a, (u, v)), A, *pair)


def test_the_gradient_of_an_approximation():
    def product(a, b):
        return op.factorized_matmul(a, b, 2)

    with jax.enable_x64(True):
        check_grads(
            product, (jnp.asarray(wide(A)), jnp.asarray(wide(B))), order=1, rtol=1e-5, atol=1e-5
        )


@LOW
def test_factorized_matmul_of_low_precision(dtype):
    a, b = A.astype(dtype), B.astype(dtype)
    found = op.factorized_matmul(a, b, 3)
    assert found.dtype == dtype
    close(found, wide(a) @ wide(b), dtype, factor=4)  # two factors and a result, each rounded


def test_factorized_matmul_refuses():
    call = op.factorized_matmul
    refused(Code.E_GRAPH_INVALID, "rank is missing", call, A, B)
    refused(Code.E_SHAPE_MISMATCH, r"rank 4 of B, a matrix of shape \(3, 5\)", call, A, B, 4)
    refused(Code.E_SHAPE_MISMATCH, "rank 0 of B", call, A, B, 0)
    refused(Code.E_SHAPE_MISMATCH, "A has shape", call, C, B, 2)
    refused(Code.E_SHAPE_MISMATCH, "B has shape", call, A, STACK, 2)
    refused(Code.E_SHAPE_MISMATCH, "rank is 1 but the factors", call, A, (B[:, :2], C[:2]), 1)
    refused(Code.E_SHAPE_MISMATCH, "factors of B have shapes", call, A, (B, B))
    refused(Code.E_GRAPH_INVALID, "nor a pair", call, A, (B, B, B))
    refused(Code.E_GRAPH_INVALID, "rank is 1.5", call, A, B, 1.5)


# -- decompositions -----------------------------------------------------------------------------------------

SQUARE = jnp.asarray(RANDOM.normal(size=(2, 4, 4)) + 3 * np.eye(4), jnp.float32)
DEFINITE = SQUARE @ jnp.swapaxes(SQUARE, -1, -2)
SHAPES = [(4, 4), (5, 3), (3, 5), (1, 1), (2, 4, 3), (2, 3, 4), (0, 3), (3, 0)]


def drawn(shape):
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("matrix", [True, False])
def test_tri_solve_equals_scipy_and_reads_one_triangle(lower, matrix):
    b = drawn((2, 4, 3) if matrix else (2, 4))
    found = jax.jit(op.tri_solve, static_argnums=2)(SQUARE, b, lower)
    expected = [
        scipy.linalg.solve_triangular(a, x, lower=lower)
        for a, x in zip(wide(SQUARE), wide(b), strict=True)
    ]
    close(found, np.stack(expected), factor=10)
    other = jnp.triu(jnp.full((4, 4), jnp.nan), 1)
    hidden = SQUARE + (other if lower else other.T)[None]
    assert jnp.array_equal(op.tri_solve(hidden, b, lower), found)
    gradients(lambda a, x: op.tri_solve(a, x, lower), SQUARE[0], b[0])


def test_cholesky_equals_numpy():
    close(op.cholesky(DEFINITE), np.linalg.cholesky(wide(DEFINITE)), factor=10)
    close(jax.vmap(op.cholesky)(DEFINITE), np.linalg.cholesky(wide(DEFINITE)), factor=10)
    gradients(lambda s: op.cholesky(s @ s.T), SQUARE[0])
    slope = jax.grad(lambda a: jnp.sum(op.cholesky(a)))(DEFINITE[0])
    close(slope, wide(slope).T)
    assert jnp.isnan(op.cholesky(-jnp.eye(2))).any()
    hermitian = jnp.array([[2.0, 1j], [-1j, 2.0]])
    close(op.cholesky(hermitian), np.linalg.cholesky(wide(hermitian)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_qr_has_orthonormal_columns_and_gives_the_matrix_back(shape):
    a = drawn(shape)
    q, r = jax.jit(op.qr)(a)
    small = min(shape[-2:])
    assert q.shape == (*shape[:-1], small)
    assert r.shape == (*shape[:-2], small, shape[-1])
    close(q @ r, wide(a), factor=10)
    close(
        jnp.swapaxes(q, -1, -2) @ q,
        np.broadcast_to(np.eye(small), (*shape[:-2], small, small)),
        factor=10,
    )
    close(r, np.triu(wide(r)))


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)], ids=str)
def test_qr_of_any_shape_has_derivatives(shape):
    gradients(op.qr, drawn(shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_svd_is_thin_and_gives_the_matrix_back(shape):
    a = drawn(shape)
    u, s, vh = jax.jit(op.svd)(a)
    small = min(shape[-2:])
    assert (u.shape[-1], s.shape[-1], vh.shape[-2]) == (small,) * 3
    close((u * s[..., None, :]) @ vh, wide(a), factor=10)
    close(s, np.linalg.svd(wide(a), compute_uv=False), factor=10)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)], ids=str)
def test_what_an_svd_determines_has_derivatives(shape):
    def without_signs(a):
        u, s, vh = op.svd(a)
        return s, u * vh[:, :1].T, (u * jnp.sqrt(s)[None]) @ vh

    with jax.enable_x64(True):
        check_grads(
            without_signs, (jnp.asarray(wide(drawn(shape))),), order=1, rtol=1e-5, atol=1e-5
        )


def test_complex_decompositions():
    a = jax.lax.complex(drawn((4, 3)), drawn((4, 3))[::-1])
    u, s, vh = op.svd(a)
    assert s.dtype == jnp.float32
    close((u * s[None].astype(jnp.complex64)) @ vh, wide(a), factor=10)  # the third is V^H
    q, r = op.qr(a.T)
    close(q @ r, wide(a).T, factor=10)


@LOW
def test_decompositions_of_low_precision_are_computed_in_float32(dtype):
    a = DEFINITE[0].astype(dtype)
    found = [op.cholesky(a), op.tri_solve(a, a[0]), *op.qr(a), *op.svd(a)]
    assert all(x.dtype == dtype for x in found)
    close(found[0], np.linalg.cholesky(wide(a)), dtype)
    close(found[1], scipy.linalg.solve_triangular(wide(a), wide(a)[0], lower=True), dtype)
    close(found[5], np.linalg.svd(wide(a), compute_uv=False), dtype)


def test_decompositions_refuse():
    refused(
        Code.E_SHAPE_MISMATCH,
        r"cholesky: A has shape \(4, 3\), which is not square",
        op.cholesky,
        A,
    )
    refused(Code.E_SHAPE_MISMATCH, "qr: A has shape", op.qr, A[0])
    refused(Code.E_SHAPE_MISMATCH, "svd: A has shape", op.svd, A[0])
    refused(Code.E_SHAPE_MISMATCH, "tri_solve: A has shape .* but b", op.tri_solve, DEFINITE, A)
    refused(Code.E_SHAPE_MISMATCH, "not square", op.tri_solve, A, A[:, 0])
    refused(Code.E_TARGET_CODEGEN, "'A' is int32", op.svd, jnp.ones((2, 2), jnp.int32))
    refused(Code.E_TARGET_CODEGEN, "'b' is int32", op.tri_solve, jnp.eye(2), jnp.ones(2, jnp.int32))
    refused(Code.E_GRAPH_INVALID, "not an array", op.qr, [[1.0]])


# -- norm ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [2, 1, 3, 0, 0.5, -1, np.inf, -np.inf])
@pytest.mark.parametrize("axis", [None, 0, -1, (1,)])
def test_vector_norms_equal_numpy(p, axis):
    expected = (
        np.linalg.norm(wide(C).ravel(), p) if axis is None else np.linalg.norm(wide(C), p, axis)
    )
    close(op.norm(C, p, axis), expected, factor=10)


@pytest.mark.parametrize("p", [2, -2, 1, -1, np.inf, -np.inf, "fro", "nuc"])
@pytest.mark.parametrize("axis", [(0, 1), (2, 1), (-1, 0)])
def test_matrix_norms_equal_numpy(p, axis):
    close(
        jax.jit(lambda x: op.norm(x, p, axis))(STACK),
        np.linalg.norm(wide(STACK), p, axis),
        factor=10,
    )


@pytest.mark.parametrize("p", [2, 1, 3, 1.5, 0.5, 0, np.inf, "fro", "nuc"])
def test_the_gradient_at_zero_is_zero(p):
    axis = (0, 1) if isinstance(p, str) else None
    for transform in (jax.grad, jax.jacfwd):
        assert not transform(lambda x: op.norm(x, p, axis))(jnp.zeros((2, 3))).any()
    rows = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    if not isinstance(p, str):
        slope = jax.grad(lambda x: jnp.sum(op.norm(x, p, 1)))(rows)
        assert jnp.all(jnp.isfinite(slope))
        assert not slope[0].any()


@pytest.mark.parametrize(
    ("p", "axis"), [(2, None), (3, 0), (2, (0, 1)), ("fro", (0, 1)), ("nuc", (0, 1))]
)
def test_norms_have_derivatives(p, axis):
    with jax.enable_x64(True):
        check_grads(
            lambda x: op.norm(x, p, axis), (jnp.asarray(wide(A)),), order=1, rtol=1e-5, atol=1e-5
        )


@LOW
def test_norms_accumulate_in_float32(dtype):
    found = op.norm(jnp.full(3000, 4.0, dtype))  # the squares alone would overflow or stall
    assert found.dtype == dtype
    close(found, 4 * np.sqrt(3000), dtype)


def test_norms_of_nothing_integers_and_complex():
    assert op.norm(jnp.zeros(0)).item() == 0.0
    assert op.norm(jnp.zeros((2, 0)), np.inf, 1).tolist() == [0.0, 0.0]
    assert op.norm(jnp.zeros((0, 3, 2)), 2, (1, 2)).shape == (0,)
    assert op.norm(jnp.array([3, 4])).item() == 5.0
    found = op.norm(jnp.array([3.0 + 4.0j, 0.0]))
    assert (found.dtype, found.item()) == (jnp.float32, 5.0)
    assert op.norm(jnp.array(-2.0)).item() == 2.0
    assert jnp.isnan(op.norm(jnp.array([jnp.nan, 0.0])))
    close(jax.vmap(op.norm)(STACK), np.linalg.norm(wide(STACK).reshape(2, -1), axis=1))


def test_norm_refuses():
    refused(Code.E_GRAPH_INVALID, "p='fro' is no norm of vectors", op.norm, C, "fro")
    refused(Code.E_GRAPH_INVALID, "p=3 is no norm of matrices", op.norm, C, 3, (0, 1))
    refused(Code.E_GRAPH_INVALID, "neither one axis nor two", op.norm, STACK, 2, (0, 1, 2))
    refused(Code.E_GRAPH_INVALID, "neither one axis nor two", op.norm, C, 2, (0, 0))
    refused(Code.E_SHAPE_MISMATCH, "axis 2 of an array of rank 2", op.norm, C, 2, 2)
    refused(Code.E_TARGET_CODEGEN, "x is bool", op.norm, C > 0)
