"""`op.spmm`, `op.spmv`, `op.sddmm` and `op.bsmm` beyond the contract test, against dense NumPy products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO, BCSR
from jax.test_util import check_grads

from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError

RANDOM = np.random.default_rng(0)
DENSE = np.where(RANDOM.random((5, 4)) < 0.5, RANDOM.normal(size=(5, 4)), 0.0).astype(np.float32)
B = jnp.asarray(RANDOM.normal(size=(4, 3)), jnp.float32)
LOW = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
FORMATS = pytest.mark.parametrize("form", [BCOO, BCSR], ids=["coo", "csr"])


def wide(x):
    return np.asarray(x).astype(np.float64)


def close(found, expected, dtype=jnp.float32, factor=1.0):
    rtol, atol = numerics.tolerance(dtype)
    np.testing.assert_allclose(wide(found), expected, rtol * factor, atol * factor)


def refused(code, text, function, *args, **keywords):
    with pytest.raises(CompileError, match=text) as caught:
        function(*args, **keywords)
    assert caught.value.code is code
    return str(caught.value)


# -- sparse times dense -------------------------------------------------------------------------------------


@FORMATS
def test_spmm_equals_the_dense_product(form):
    a = form.fromdense(jnp.asarray(DENSE))
    own = op.spmm_coo if form is BCOO else op.spmm_csr
    for multiply in (op.spmm, own, jax.jit(op.spmm), jax.jit(own)):
        close(multiply(a, B), wide(DENSE) @ wide(B))
    close(op.spmv(a, B[:, 0]), wide(DENSE) @ wide(B[:, 0]))


@FORMATS
def test_spmm_differentiates_values_and_dense(form):
    pattern = form.fromdense(jnp.asarray(DENSE))
    places = (pattern.indices,) if form is BCOO else (pattern.indices, pattern.indptr)

    def product(data, b):
        return op.spmm(form((data, *places), shape=pattern.shape), b)

    with jax.enable_x64(True):
        data = form.fromdense(jnp.asarray(wide(DENSE))).data
        check_grads(jax.jit(product), (data, jnp.asarray(wide(B))), order=1, rtol=1e-6, atol=1e-6)


@FORMATS
def test_the_gradient_of_a_sparse_matrix_is_sparse(form):
    a = form.fromdense(jnp.asarray(DENSE))
    slope = jax.grad(lambda a: jnp.sum(op.spmm(a, B)), allow_int=True)(a)
    rows, columns = np.nonzero(DENSE)
    assert slope.data.shape == a.data.shape
    close(slope.data, (np.ones((5, 3)) @ wide(B).T)[rows, columns])


def test_entries_at_one_place_add_up_and_those_outside_are_left_out():
    values = jnp.array([1.0, 2.0, 4.0, 8.0, 16.0])
    places = jnp.array([[1, 0], [1, 0], [2, 0], [0, 2], [-1, 0]])
    a = BCOO((values, places), shape=(2, 2))
    assert op.spmm(a, jnp.eye(2)).tolist() == [[0.0, 0.0], [3.0, 0.0]]
    slope = jax.grad(lambda v: jnp.sum(op.spmm(BCOO((v, places), shape=(2, 2)), jnp.eye(2))))(
        values
    )
    assert slope.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_padded_csr():
    a = BCSR.fromdense(jnp.asarray(DENSE), nse=17)
    close(op.spmm(a, B), wide(DENSE) @ wide(B))
    close(op.spmv(a, B[:, 1]), wide(DENSE) @ wide(B[:, 1]))


@FORMATS
def test_batches_and_vmap(form):
    stack = np.stack([DENSE, DENSE[::-1]])
    a = form.fromdense(jnp.asarray(stack), n_batch=1)
    both = jnp.stack([B, 2 * B])
    close(op.spmm(a, both), wide(stack) @ wide(both))
    close(op.spmm(a, B), wide(stack) @ wide(B))
    close(jax.vmap(op.spmm)(a, both), wide(stack) @ wide(both))
    close(op.spmv(a, both[..., 0]), np.einsum("bij,bj->bi", wide(stack), wide(both[..., 0])))
    one = form.fromdense(jnp.asarray(DENSE))
    close(jax.vmap(op.spmm, (None, 0))(one, both), wide(DENSE) @ wide(both))


@LOW
@FORMATS
def test_spmm_accumulates_in_float32(form, dtype):
    a = form.fromdense(
        jnp.ones((1, 3000), dtype)
    )  # a sum of ones in bf16 stops at 256, in f16 at 2048
    found = op.spmm(a, jnp.ones((3000, 2), dtype))
    assert found.dtype == dtype
    close(found, np.full((1, 2), 3000.0), dtype)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (3, 1)], ids=str)
@FORMATS
def test_small_and_empty_matrices(form, shape):
    dense = np.ones(shape, np.float32)
    b = jnp.ones((shape[1], 2))
    close(op.spmm(form.fromdense(jnp.asarray(dense)), b), dense @ wide(b))
    close(op.spmm(form.fromdense(jnp.zeros(shape), nse=0), b), np.zeros((shape[0], 2)))
    slope = jax.grad(lambda b: jnp.sum(op.spmm(form.fromdense(jnp.asarray(dense)), b)))(b)
    close(slope, np.full(b.shape, float(shape[0])))


def test_the_same_bits_come_whatever_else_is_in_the_program():
    a = BCOO.fromdense(jnp.asarray(RANDOM.normal(size=(9, 200)), jnp.float32))
    b = jnp.asarray(RANDOM.normal(size=(200, 2)), jnp.float32)
    first = np.asarray(op.spmm(a, b))
    assert first.tobytes() == np.asarray(jax.jit(op.spmm)(a, b)).tobytes()
    assert first.tobytes() == np.asarray(op.spmm(BCSR.from_bcoo(a), b)).tobytes()


def test_a_sharded_batch_gathers_nothing():
    mesh = jax.make_mesh((2,), ("dp",))
    stack = np.stack([DENSE, DENSE[::-1]])
    a = BCOO.fromdense(jnp.asarray(stack), n_batch=1)
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("dp"))
    placed = jax.device_put(a, rows)
    compiled = jax.jit(op.spmm).lower(placed, B).compile()
    assert "all-gather" not in compiled.as_text()
    close(compiled(placed, B), wide(stack) @ wide(B))


def test_spmm_refuses():
    coo, csr = (form.fromdense(jnp.asarray(DENSE)) for form in (BCOO, BCSR))
    text = refused(
        Code.E_GRAPH_INVALID, "spmm: A is a dense array, not BCOO or BCSR", op.spmm, DENSE, B
    )
    assert "BCOO.fromdense" in text
    assert "op.spmm_csr" in refused(
        Code.E_GRAPH_INVALID, "A is BCSR, not BCOO", op.spmm_coo, csr, B
    )
    assert "op.spmm_coo" in refused(
        Code.E_GRAPH_INVALID, "A is BCOO, not BCSR", op.spmm_csr, coo, B
    )
    refused(Code.E_GRAPH_INVALID, "spmv: A is str", op.spmv, "A", B[:, 0])
    refused(
        Code.E_SHAPE_MISMATCH,
        r"A has shape \(5, 4\), which does not multiply \(3, 4\)",
        op.spmm,
        coo,
        B.T,
    )
    refused(Code.E_SHAPE_MISMATCH, r"does not multiply \(3,\)", op.spmv, csr, B[0])
    refused(Code.E_SHAPE_MISMATCH, r"does not multiply \(\)", op.spmv, csr, 1.0)
    assert "op.spmv" in refused(
        Code.E_SHAPE_MISMATCH, "not that of a matrix", op.spmm, coo, B[:, 0]
    )
    refused(Code.E_SHAPE_MISMATCH, "does not multiply", op.spmm, coo, jnp.stack([B, B]))
    hybrid = BCOO.fromdense(jnp.ones((2, 2, 2)), n_dense=1)
    refused(Code.E_GRAPH_INVALID, "2 sparse and 1 dense axes", op.spmm, hybrid, B)
    vector = BCOO.fromdense(jnp.ones(2))
    refused(Code.E_GRAPH_INVALID, "1 sparse and 0 dense axes", op.spmm, vector, B)
    whole = BCOO.fromdense(jnp.ones((2, 2), jnp.int32))
    refused(Code.E_TARGET_CODEGEN, "'values' is int32", op.spmm, whole, jnp.ones((2, 2)))


# -- sampled dense times dense ------------------------------------------------------------------------------

LEFT = jnp.asarray(RANDOM.normal(size=(5, 3)), jnp.float32)
RIGHT = jnp.asarray(RANDOM.normal(size=(3, 4)), jnp.float32)
MASK = jnp.asarray(DENSE != 0)
PLACES = jnp.argwhere(MASK)[::-1]


def test_a_dense_mask_keeps_the_product_where_it_is_true():
    expected = np.where(MASK, wide(LEFT) @ wide(RIGHT), 0.0)
    close(jax.jit(op.sddmm)(LEFT, RIGHT, MASK), expected)
    both = jnp.stack([LEFT, 2 * LEFT])
    close(op.sddmm(both, RIGHT, MASK), np.where(MASK, wide(both) @ wide(RIGHT), 0.0))


def test_a_list_of_places_gives_values_in_its_order():
    expected = (wide(LEFT) @ wide(RIGHT))[tuple(np.asarray(PLACES).T)]
    close(jax.jit(op.sddmm)(LEFT, RIGHT, PLACES), expected)
    close(op.sddmm(LEFT, RIGHT, (PLACES[:, 0], PLACES[:, 1])), expected)
    close(op.sddmm(LEFT, RIGHT, np.asarray(PLACES)), expected)
    assert op.sddmm(LEFT, RIGHT, jnp.zeros((0, 2), jnp.int32)).shape == (0,)
    assert op.sddmm(LEFT, RIGHT, jnp.array([[5, 0], [0, -1]])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("mask", [MASK, PLACES], ids=["dense", "places"])
def test_sddmm_has_derivatives(mask):
    with jax.enable_x64(True):
        operands = jnp.asarray(wide(LEFT)), jnp.asarray(wide(RIGHT))
        check_grads(lambda a, b: op.sddmm(a, b, mask), operands, order=2, rtol=1e-6, atol=1e-6)


def test_scores_of_many_heads_at_one_list_of_places():
    q = jnp.asarray(RANDOM.normal(size=(2, 3, 5, 4)), jnp.float32)
    scores = op.sddmm(q, jnp.swapaxes(q, -1, -2), PLACES)
    whole = wide(q) @ np.swapaxes(wide(q), -1, -2)
    close(scores, whole[..., np.asarray(PLACES)[:, 0], np.asarray(PLACES)[:, 1]], factor=10)
    close(jax.vmap(op.sddmm, (0, 0, None))(q, jnp.swapaxes(q, -1, -2), PLACES), wide(scores))


def test_sddmm_and_spmm_are_each_other_s_derivative():
    rows, columns = np.nonzero(DENSE)
    a = BCOO.fromdense(jnp.asarray(DENSE))
    _, pullback = jax.vjp(lambda v: op.spmm(BCOO((v, a.indices), shape=a.shape), B), a.data)
    ct = LEFT
    places = jnp.stack([jnp.asarray(rows), jnp.asarray(columns)], -1)
    close(pullback(ct)[0], wide(op.sddmm(ct, B.T, places)))


@LOW
def test_sddmm_of_low_precision(dtype):
    a, b = LEFT.astype(dtype), RIGHT.astype(dtype)
    found = op.sddmm(a, b, PLACES)
    assert found.dtype == dtype
    close(found, (wide(a) @ wide(b))[tuple(np.asarray(PLACES).T)], dtype)


def test_sddmm_refuses():
    refused(Code.E_GRAPH_INVALID, "neither bool nor a list of places", op.sddmm, LEFT, RIGHT, LEFT)
    refused(Code.E_GRAPH_INVALID, "neither bool nor", op.sddmm, LEFT, RIGHT, jnp.array([1, 2, 3]))
    refused(Code.E_SHAPE_MISMATCH, "the mask has shape", op.sddmm, LEFT, RIGHT, MASK.T)
    refused(Code.E_SHAPE_MISMATCH, "axis 'k' is 3", op.sddmm, LEFT, RIGHT.T, PLACES)
    refused(Code.E_SHAPE_MISMATCH, "axis 'k' is 3", op.sddmm, LEFT, RIGHT.T, MASK)
    refused(Code.E_SHAPE_MISMATCH, "A has shape", op.sddmm, LEFT[0], RIGHT, MASK)
    refused(Code.E_GRAPH_INVALID, "'mask' is a str", op.sddmm, LEFT, RIGHT, "causal")


# -- block-sparse -------------------------------------------------------------------------------------------

BLOCKS = np.array([[True, False, True], [False, False, True]])
VALUES = jnp.asarray(RANDOM.normal(size=(3, 2, 4)), jnp.float32)
X = jnp.asarray(RANDOM.normal(size=(2, 5, 4)), jnp.float32)


def as_dense(w):
    mask = np.asarray(w.mask, bool)
    dense = np.zeros((*mask.shape, w.block_m, w.block_n))
    dense[mask] = wide(w.values)
    return dense.swapaxes(1, 2).reshape(w.shape)


@pytest.mark.parametrize(
    "x", [X, X[0], X[0, 0], X[:, :0]], ids=["batch", "matrix", "vector", "empty"]
)
def test_bsmm_equals_the_dense_product(x):
    w = op.BSR(2, 4, BLOCKS, VALUES)
    assert w.shape == (4, 12)
    for multiply in (op.bsmm, jax.jit(op.bsmm)):
        close(multiply(x, w), wide(x) @ as_dense(w))
    assert not op.bsmm(x, w)[..., 4:8].any()  # a column of blocks that are all absent


def test_bsmm_has_derivatives():
    def product(x, values):
        return op.bsmm(x, op.BSR(2, 4, BLOCKS, values))

    with jax.enable_x64(True):
        operands = jnp.asarray(wide(X)), jnp.asarray(wide(VALUES))
        check_grads(jax.jit(product), operands, order=1, rtol=1e-6, atol=1e-6)


def test_a_bsr_is_a_pytree_with_a_static_mask():
    w = op.BSR(2, 4, BLOCKS, VALUES)
    assert [leaf.shape for leaf in jax.tree.leaves(w)] == [(3, 2, 4)]
    assert jax.tree.structure(w) == jax.tree.structure(op.BSR(2, 4, BLOCKS.tolist(), VALUES))
    assert jax.tree.structure(w) != jax.tree.structure(op.BSR(2, 4, ~BLOCKS, VALUES))
    slope = jax.grad(lambda w: jnp.sum(op.bsmm(X, w)))(w)
    ones = np.einsum("bmk,bmn->kn", wide(X), np.ones((2, 5, 12)))
    close(as_dense(slope), np.where(as_dense(w) != 0, ones, 0.0), factor=10)
    doubled = jax.vmap(lambda v: op.bsmm(X, op.BSR(2, 4, BLOCKS, v)))(
        jnp.stack([VALUES, 2 * VALUES])
    )
    close(doubled[1], 2 * wide(op.bsmm(X, w)))


def test_absent_blocks_are_not_computed():
    mask = np.eye(16, dtype=bool)
    w = op.BSR(8, 8, mask, jnp.ones((16, 8, 8)))
    cost = jax.jit(op.bsmm).lower(jnp.ones((32, 128)), w).compile().cost_analysis()
    assert cost["flops"] < 2 * 32 * 128 * 128 / 4


@pytest.mark.parametrize(
    "mask", [np.zeros((2, 3), bool), np.zeros((2, 0), bool), np.ones((1, 1), bool)]
)
def test_patterns_without_blocks_or_with_one(mask):
    w = op.BSR(2, 4, mask, jnp.ones((mask.sum(), 2, 4)))
    x = jnp.ones((3, w.shape[0]))
    close(op.bsmm(x, w), np.ones((3, w.shape[0])) @ as_dense(w))
    assert jax.grad(lambda x: jnp.sum(op.bsmm(x, w)))(x).shape == x.shape


@LOW
def test_bsmm_accumulates_in_float32(dtype):
    w = op.BSR(500, 1, np.ones((6, 1), bool), jnp.ones((6, 500, 1), dtype))
    found = op.bsmm(jnp.ones((1, 3000), dtype), w)
    assert found.dtype == dtype
    close(found, np.full((1, 1), 3000.0), dtype)


def test_bsmm_refuses():
    w = op.BSR(2, 4, BLOCKS, VALUES)
    refused(Code.E_GRAPH_INVALID, "W is a ndarray, not a BSR", op.bsmm, X, np.ones((4, 4)))
    refused(
        Code.E_SHAPE_MISMATCH,
        r"X has shape \(2, 5, 3\), which does not multiply",
        op.bsmm,
        X[..., :3],
        w,
    )
    few = op.BSR(2, 4, BLOCKS, VALUES[:2])
    refused(Code.E_SHAPE_MISMATCH, r"3 present blocks need \(3, 2, 4\)", op.bsmm, X, few)
    refused(
        Code.E_GRAPH_INVALID,
        "the mask is float64 of rank 2, not a bool",
        op.BSR,
        2,
        4,
        BLOCKS * 1.0,
        VALUES,
    )
    refused(Code.E_GRAPH_INVALID, "of rank 1", op.BSR, 2, 4, BLOCKS[0], VALUES)
    refused(Code.E_GRAPH_INVALID, "block_m is 2.5", op.bsmm, X, op.BSR(2.5, 4, BLOCKS, VALUES))
