"""`op.moe` over a mesh: experts on `ep`, rows exchanged, and everything as on one device."""

import re
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from tessera import dist, op
from tessera.core import precision
from tessera.core.errors import Code, CompileError, TesseraError, TesseraWarning

pytestmark = pytest.mark.newest

TOKENS, WIDTH, HIDDEN, EXPERTS = 13, 6, 8, 8
# The products of experts are in fp8 too: under a scale for each row, which no mesh changes.
BY_ROW = op.numeric("fp8_e4m3", scale="per_channel")
PACKED = {"type": "auto", "pack_dtype": "fp8_e4m3"}
RNG = np.random.default_rng(3)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


def integers(*shape):
    """Draws numbers of which fp32 holds every sum of products: only the gates round."""
    return jnp.asarray(RNG.integers(-4, 5, shape), jnp.float32)


X, SCORES = integers(TOKENS, WIDTH), normal(TOKENS, EXPERTS)
PARAMS = {
    "up": integers(EXPERTS, WIDTH, HIDDEN),
    "bias": integers(EXPERTS, HIDDEN),
    "down": integers(EXPERTS, HIDDEN, WIDTH),
}


def line(count):
    return dist.Mesh(axes=["ep"], devices=range(count))


GRID = dist.Mesh(axes=["dp", "ep"], devices=range(8), shape=(2, 4))
MESHES = [line(1), line(2), line(4), line(8), GRID]


def mlp(p, rows):
    bias = jnp.broadcast_to(p["bias"], (rows.shape[0], HIDDEN))
    return jax.nn.relu(rows @ p["up"] + bias) @ p["down"]


def smooth(p, rows):
    return jnp.sin(rows @ p["up"] / 9) @ p["down"]


def one_of(e):
    return jax.tree.map(lambda a: a[e], PARAMS)


def mixed(x, params, scores, mesh=None, **words):
    return op.moe(x, (mlp, params), scores=scores, mesh=mesh, return_aux=True, **words)


compiled = jax.jit(mixed, static_argnames=("mesh", "capacity"))


@cache
def on_one_device(capacity):
    return compiled(X, PARAMS, SCORES, capacity=capacity)


def same(found, expected):
    """Compares bits: products of these numbers are exact, and the sum over choices has one order."""
    (y, aux), (exact, plain) = found, expected
    np.testing.assert_array_equal(y, exact)
    assert int(aux.dropped) == int(plain.dropped)
    np.testing.assert_array_equal(aux.load, plain.load)
    np.testing.assert_array_equal(aux.route.index, plain.route.index)


def close(found, expected, tolerance=1e-5):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def gathers(text):
    """Returns how many values each all-gather of a compiled text makes."""
    shapes = re.findall(r"= \(?\w+\[([\d,]*)\]\S* all-gather", text)
    return [int(np.prod([int(n) for n in shape.split(",") if n])) for shape in shapes]


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_values_and_what_is_dropped_are_those_of_one_device(mesh):
    # 13 tokens on 8 devices: some devices have tokens that were filled in.
    expected = on_one_device(3)
    assert int(expected[1].dropped) > 0
    same(compiled(X, PARAMS, SCORES, mesh, capacity=3), expected)


def test_without_a_capacity_no_token_is_dropped_where_all_go_to_one_device():
    scores = SCORES.at[:, 4:6].add(100.0)
    found = compiled(X, PARAMS, scores, line(4), capacity=None)
    same(found, compiled(X, PARAMS, scores, capacity=None))
    assert found[1].load[4:6].tolist() == [TOKENS, TOKENS]
    assert int(found[1].dropped) == 0


def test_gradients_equal_those_of_one_device(x64):
    args = jax.tree.map(lambda a: a.astype(jnp.float64), (X, PARAMS, SCORES))

    def loss(x, params, scores, mesh=None):
        y = op.moe(x, (smooth, params), scores=scores, mesh=mesh, capacity=3)
        return jnp.sum(jnp.sin(y))

    def slopes(mesh):
        return jax.jit(jax.grad(partial(loss, mesh=mesh), (0, 1, 2)))(*args)

    close(slopes(GRID), slopes(None), 1e-12)


def test_only_counts_are_gathered_and_rows_exchanged():
    args = (X[:8], PARAMS, SCORES[:8])
    specs = (P("ep"), P("ep"), P("ep"))
    mesh = line(8)
    placed = [
        jax.device_put(a, NamedSharding(mesh.jax, s)) for a, s in zip(args, specs, strict=True)
    ]

    def loss(x, params, scores, capacity):
        y, aux = mixed(x, params, scores, mesh, capacity=capacity)
        return jnp.sum(y**2), (y, aux)

    for capacity, wanted in ((None, []), (2, [8 * EXPERTS])):
        slopes = jax.grad(partial(loss, capacity=capacity), (0, 1, 2), has_aux=True)
        program = jax.jit(slopes).lower(*placed).compile()
        text = program.as_text()
        assert gathers(text) == wanted
        assert text.count(" all-to-all(") >= 5  # rows and back, forward and backward, and counts
        (dx, dp, _), (y, aux) = program(*placed)
        assert {y.sharding.spec, dx.sharding.spec, dp["up"].sharding.spec} == {P("ep")}
        same((y, aux), compiled(*args, capacity=capacity))


@pytest.mark.slow
def test_a_list_of_experts_and_vmap_over_batches():
    modules = [partial(smooth, one_of(e)) for e in range(EXPERTS)]
    x, scores = X[:12].reshape(2, 6, -1), SCORES[:12].reshape(2, 6, -1)
    run = lambda x, s, mesh=None: op.moe(x, modules, scores=s, mesh=mesh)  # noqa: E731
    flat = run(x, scores)  # tokens may have several axes
    mapped = jax.jit(jax.vmap(partial(run, mesh=line(2))))(x, scores)
    close(mapped, flat)
    close(run(x, scores, line(2)), flat)


@pytest.mark.parametrize("tokens", [0, 1])
def test_no_token_and_one_token(tokens):
    y, aux = mixed(X[:tokens], PARAMS, SCORES[:tokens], line(2))
    close(y, on_one_device(None)[0][:tokens])
    assert int(aux.dropped) == 0


def test_an_index_of_no_expert_contributes_nothing_and_counts_as_dropped():
    route = op.Route(jnp.full((TOKENS, 1), -1).at[0, 0].set(5), jnp.ones((TOKENS, 1)))
    run = lambda mesh: op.moe(X, (mlp, PARAMS), router=route, mesh=mesh, return_aux=True)  # noqa: E731
    found = run(line(2))
    same(found, run(None))
    assert int(found[1].dropped) == TOKENS - 1


# -- fp8 on the wire -------------------------------------------------------------------------------------


def packed_by_numpy(x):
    """Rounds to e4m3 after scaling each row to its largest value, from the definition of the format."""
    x = np.asarray(x, np.float64)
    most = np.abs(x).max(-1, keepdims=True)
    scale = np.where(most == 0, 1, most / 448)
    v = x / scale
    # 3 bits of mantissa down to 2^-6, the smallest normal number; below, the spacing stays.
    exponent = np.floor(np.log2(np.maximum(np.abs(v), 2.0**-6)))
    spacing = 2.0 ** (exponent - 3)
    return np.round(v / spacing) * spacing * scale


@pytest.mark.slow
def test_packed_rows_are_rounded_alike_on_one_device_and_on_several():
    x = X.at[2].set(0.0).at[3].mul(1e4)
    with precision.policy(BY_ROW):
        run = partial(mixed, transport=PACKED, deterministic=True)
        one = jax.jit(run)(x, PARAMS, SCORES)
        many = jax.jit(partial(run, mesh=GRID))(x, PARAMS, SCORES)
        packed = jnp.asarray(packed_by_numpy(x), jnp.float32)
        exact = compiled(packed, PARAMS, SCORES, capacity=None)
    close(one, exact, 1e-4)
    close(many, exact, 1e-4)


def test_a_bare_word_with_a_packed_transport_runs_as_written():
    x, experts = X, [partial(mlp, one_of(e)) for e in range(4)]
    rule, packed = op.router(4, k=2), jnp.asarray(packed_by_numpy(x), jnp.float32)
    with precision.policy(BY_ROW):
        expected = op.moe(packed, experts, router=rule.apply(rule.init(0, WIDTH), x))
    with precision.policy(BY_ROW), pytest.warns(TesseraWarning, match="fixed random weights"):
        y = op.moe(
            x,
            experts,
            k=2,
            transport={"type": "auto", "pack_dtype": "fp8_e4m3"},
            deterministic=True,
        )
    close(y, expected, 1e-4)


def test_packed_rows_travel_as_8_bit_floats_one_way():
    with precision.policy("fp8"):
        run = partial(mixed, mesh=line(2), transport=PACKED)
        text = jax.jit(run).lower(X, PARAMS, SCORES).as_text()
    sent = re.findall(r"all_to_all.*-> tensor<[\dx]*x(\w+)>", text)
    # Values, their scales, numbers of rows, and results.
    assert sorted(sent) == ["f32", "f32", "f8E4M3FN", "i32"]


def test_rounding_on_the_wire_is_the_identity_in_derivatives():
    rows = normal(4, WIDTH)
    route = op.Route(jnp.arange(4)[:, None], jnp.ones((4, 1)), experts=4)
    ct = normal(4, WIDTH)

    def brought(x, mesh):
        identity = (lambda p, r: r, jnp.zeros((4, 1)))
        return op.moe(x, identity, router=route, mesh=mesh, transport=PACKED)

    with precision.policy("fp8"):
        for mesh in (None, line(2)):
            y, pull = jax.vjp(partial(brought, mesh=mesh), rows)
            close(y, packed_by_numpy(rows))
            np.testing.assert_array_equal(y, brought(rows, None))
            np.testing.assert_array_equal(pull(ct)[0], ct)
        there, back = op.moe_dispatch(rows, route, transport=PACKED)
    close(op.moe_combine(there, back), packed_by_numpy(rows))


@pytest.mark.slow
def test_experts_of_different_kinds_get_packed_rows_too():
    route = op.Route(jnp.arange(2)[:, None], jnp.ones((2, 1)))
    with precision.policy("fp8"):
        y = op.moe(X[:2], [lambda r: r, lambda r: -r], router=route, transport=PACKED)
    close(y, packed_by_numpy(X[:2]) * np.array([[1], [-1]]))


@pytest.mark.parametrize("word", ["fp32", "mixed", "tf32"])
def test_packing_needs_the_fp8_policy_also_where_a_program_is_kept(word):
    route = op.Route(jnp.zeros((TOKENS, 1), jnp.int32), jnp.ones((TOKENS, 1)), experts=1)
    run = jax.jit(lambda x: op.moe_dispatch(x, route, transport=PACKED)[0])
    with precision.policy("fp8"):
        run(X)
    with (
        precision.policy(word),
        pytest.raises(CompileError, match=f"the policy is '{word}'") as found,
    ):
        run(X)
    assert found.value.code is Code.E_GRAPH_INVALID
    assert 'numerics.policy("fp8")' in str(found.value)


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mesh", "experts", "code", "text"),
    [
        (
            line(8),
            6,
            Code.E_SHAPE_MISMATCH,
            "6 experts cannot be split over 8 devices of axis 'ep'",
        ),
        (
            dist.Mesh(axes=["dp", "tp"], devices=range(8), shape=(2, 4)),
            8,
            Code.E_COMM_INIT,
            "the dp × tp mesh, 2 × 4 has no axis 'ep'",
        ),
        ("ep", 8, Code.E_GRAPH_INVALID, "mesh is 'ep', not a dist.Mesh"),
    ],
)
def test_meshes_that_do_not_fit_are_refused(mesh, experts, code, text):
    params = jax.tree.map(lambda a: a[:experts], PARAMS)
    with pytest.raises(TesseraError, match=text) as caught:
        mixed(X, params, SCORES[:, :experts], mesh)
    assert caught.value.code is code


def test_the_hint_of_experts_that_do_not_divide_names_a_number_that_does():
    params = jax.tree.map(lambda a: a[:6], PARAMS)
    with pytest.raises(CompileError, match="8 experts can"):
        mixed(X, params, SCORES[:, :6], line(8))


def test_experts_of_different_kinds_are_not_split():
    with pytest.raises(CompileError, match="experts of different kinds") as caught:
        op.moe(X, [jnp.sin, jnp.cos], scores=SCORES[:, :2], mesh=line(2))
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_inside_shard_map_each_device_runs_a_mixture_of_its_own():
    mesh = line(2)

    def per_device(x, scores, inner=None):
        return op.moe(x, (mlp, PARAMS), scores=scores, mesh=inner)

    spmd = partial(jax.shard_map, mesh=mesh.jax, in_specs=(P("ep"), P("ep")), out_specs=P("ep"))
    x, scores = X[:12], SCORES[:12]
    close(jax.jit(spmd(per_device))(x, scores), on_one_device(None)[0][:12])
    with pytest.raises(CompileError, match="mesh= inside shard_map") as caught:
        spmd(partial(per_device, inner=mesh))(x, scores)
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_a_mesh_of_jax_and_one_of_another_axis_name_are_taken():
    mesh = jax.make_mesh((2,), ("experts",))
    same(mixed(X, PARAMS, SCORES, mesh), on_one_device(None))
