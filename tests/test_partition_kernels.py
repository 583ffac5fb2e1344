"""Tile programs under `jit` on several devices: each device runs the program on its part.

Every value is compared with the op's reference on one device. `algorithm="tile"` pins the program on CPU.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding

import tessera as ts
from tessera import op
from tessera.core import numerics
from tessera.core import op as core_op
from tessera.core.dims import parse
from tessera.core.errors import Code, CompileError
from tessera.core.op import Op, registered_op
from tessera.core.partition import layout_of, parse_splits

P = jax.P
WHOLE = P()
MESHES = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}
# The other kind of mesh takes the same way through XLA: it is left to the slow run where cases are many.
KINDS = [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "explicit")) for kind in MESHES]


def array(*shape, seed=0):
    return jnp.asarray(np.random.default_rng([seed, *shape]).normal(size=shape), jnp.float32)


def mesh_of(kind="auto", **axes):
    """Returns a mesh of these axes over the first devices."""
    devices = np.array(jax.devices()[: int(np.prod([*axes.values()]))]).reshape(*axes.values())
    return jax.sharding.Mesh(devices, tuple(axes), axis_types=(MESHES[kind],) * len(axes))


def put(mesh, arrays, specs):
    return [jax.device_put(x, NamedSharding(mesh, s)) for x, s in zip(arrays, specs, strict=True)]


def close(got, want, loose=1.0):
    rtol, atol = numerics.tolerance(jnp.float32)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        # Sums of n terms round in proportion to their largest ones.
        size = max(1.0, float(np.abs(np.asarray(b)).max()))
        np.testing.assert_allclose(a, b, loose * rtol, loose * atol * size)


@pytest.fixture
def planned(monkeypatch):
    """Returns the shapes of the first operand that tile programs were found for, in order."""
    find, shapes = core_op._tile_programs[0], []

    def recorded(primitive, types, params, platform):
        found = find(primitive, types, params, platform)
        if found is not None:
            shapes.append(tuple(types[0].shape))
        return found

    monkeypatch.setattr(core_op, "_tile_programs", [recorded])
    return shapes


def matmul(a, b, c=None, **words):
    words = {"activation": "silu", "accumulate": jnp.dtype("float32"), "out_dtype": None} | words
    return op.matmul.bind(a, b, c, **words)


def softmax(x, **words):
    return op.softmax.bind(x, axis=1, **words)


def attention(q, k, v, mask=None, sinks=None, **words):
    return op.flash_attention.bind(q, k, v, mask, sinks, causal=True, scale=0.25, **words)


def attention_backward(*operands, **words):
    q, k, v, *rest = operands
    backward = registered_op("flash_attention_bwd")
    return backward.bind(q, k, v, None, None, *rest, causal=True, scale=0.25, **words)[:3]


A, B, BIAS = array(256, 96), array(96, 640), array(640)
X, W = array(16, 64, 64), array(64, seed=1)
MEAN, SCALE = 0.1 * array(16, 64, 1), 1.0 + array(16, 64, 1, seed=2) ** 2
Q = array(2, 4, 2, 160, 16)
K, V = array(2, 4, 160, 16, seed=1), array(2, 4, 160, 16, seed=2)
OUT, LSE = op.flash_attention._forward(
    Q, K, V, None, None, causal=True, scale=0.25, window=None, block_q=None, block_k=None
)
ATTENTION_BACKWARD = (Q, K, V, OUT, LSE, array(*OUT.shape, seed=5))
ROWS, BLOCKS, EACH = P("x"), P("x", "y"), P(("x", "y"))


def heads(spec):
    return [spec] * 6


# The op, its operands and how they lie, what of the first one a device has, and what the program loops over.
INDEPENDENT = {
    "matmul by rows": (matmul, (A, B), (ROWS, WHOLE), (128, 96)),
    "matmul by columns": (matmul, (A, B, BIAS), (WHOLE, P(None, "y"), P("y")), (256, 96)),
    "matmul by both": (matmul, (A, B, BIAS), (ROWS, P(None, "y"), P("y")), (128, 96)),
    "matmul by batch": (
        matmul,
        (array(8, 40, 96), array(8, 96, 24)),
        (P("y"), P("y")),
        (2, 40, 96),
    ),
    "softmax by rows": (softmax, (array(16, 40, 64),), (ROWS,), (8, 40, 64)),
    "softmax by what follows": (softmax, (array(16, 40, 64),), (P("x", None, "y"),), (8, 40, 16)),
    "rmsnorm by batch": (op.rmsnorm.bind, (X, W), (ROWS, WHOLE), (8, 64, 64)),
    "rmsnorm by both": (op.rmsnorm.bind, (X, W), (BLOCKS, WHOLE), (8, 16, 64)),
    "layernorm by batch": (op.layernorm.bind, (X, W, W + 1), (EACH, WHOLE, WHOLE), (2, 64, 64)),
    "attention by batch": (attention, (Q, K, V), [ROWS] * 3, (1, 4, 2, 160, 16)),
    "attention by heads": (attention, (Q, K, V), [P(None, "y")] * 3, (2, 1, 2, 160, 16)),
    "attention by both": (attention, (Q, K, V), [BLOCKS] * 3, (1, 1, 2, 160, 16)),
    "attention by query heads": (
        attention,
        (Q, K, V),
        (P(None, None, "x"), WHOLE, WHOLE),
        (2, 4, 1, 160, 16),
    ),
}
BACKWARD = {
    "rmsnorm": (
        registered_op("rmsnorm_bwd").bind,
        (X, W, SCALE, X + 1),
        (BLOCKS, WHOLE, BLOCKS, BLOCKS),
        (8, 16, 64),
    ),
    "layernorm": (
        registered_op("layernorm_bwd").bind,
        (X, W, W, MEAN, SCALE, X + 1),
        (BLOCKS, WHOLE, WHOLE, BLOCKS, BLOCKS, BLOCKS),
        (8, 16, 64),
    ),
    "attention by batch": (attention_backward, ATTENTION_BACKWARD, heads(ROWS), (1, 4, 2, 160, 16)),
    "attention by heads": (
        attention_backward,
        ATTENTION_BACKWARD,
        heads(P(None, "y")),
        (2, 1, 2, 160, 16),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", INDEPENDENT)
def test_each_device_runs_the_program_on_its_part(case, kind, planned):
    f, operands, specs, part = INDEPENDENT[case]
    mesh = mesh_of(kind, x=2, y=4)
    run = jax.jit(partial(f, algorithm="tile"))
    sharded = put(mesh, operands, specs)
    text = run.lower(*sharded).compile().as_text()
    assert planned[-1] == part
    assert "all-gather" not in text
    assert "all-to-all" not in text
    want = f(*operands, algorithm="reference")
    got = run(*sharded)
    close(got, want, 4)
    if kind == "explicit":
        as_typed = jax.jit(partial(f, algorithm="reference"))(*sharded)
        assert jax.typeof(got) == jax.typeof(as_typed)
    with jax.set_mesh(mesh):
        close(jax.jit(lambda *xs: f(*xs, algorithm="tile"))(*sharded), want, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", INDEPENDENT)
def test_gradients_are_those_of_one_device(case, kind):
    f, operands, specs, _ = INDEPENDENT[case]

    def gradient(algorithm):
        def loss(*xs):
            return jnp.sum(jnp.sin(f(*xs, algorithm=algorithm)))

        return jax.grad(loss, tuple(range(len(operands))))

    mesh = mesh_of(kind, x=2, y=4)
    sharded = put(mesh, operands, specs)
    with jax.set_mesh(mesh):
        got = jax.jit(gradient("tile"))(*sharded)
    close(got, gradient("reference")(*operands), 10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", BACKWARD)
def test_backward_programs_run_per_device(case, kind, planned):
    f, operands, specs, part = BACKWARD[case]
    mesh = mesh_of(kind, x=2, y=4)
    sharded = put(mesh, operands, specs)
    run = jax.jit(partial(f, algorithm="tile"))
    text = run.lower(*sharded).compile().as_text()
    assert planned[-1] == part
    assert "all-gather" not in text
    with jax.set_mesh(mesh):
        close(run(*sharded), f(*operands, algorithm="reference"), 10)


def test_key_gradients_of_split_query_heads_are_summed_over_devices(planned):
    mesh = mesh_of(x=2, y=4)
    by_heads = P(None, "y", "x")
    specs = [by_heads, P(None, "y"), P(None, "y"), by_heads, by_heads, by_heads]
    run = jax.jit(partial(attention_backward, algorithm="tile"))
    sharded = put(mesh, ATTENTION_BACKWARD, specs)
    text = run.lower(*sharded).compile().as_text()
    assert planned[-1] == (2, 1, 1, 160, 16)
    assert ("all-gather" in text, "all-reduce" in text) == (False, True)
    close(run(*sharded), attention_backward(*ATTENTION_BACKWARD, algorithm="reference"), 10)


# What is split is contracted, normalised or otherwise needed whole.
DEPENDENT = {
    "matmul, contracted": (matmul, (A, B), (P(None, "x"), P("x"))),
    "softmax, normalised": (softmax, (array(16, 40, 64),), (P(None, "y"),)),
    "rmsnorm, normalised": (op.rmsnorm.bind, (X, W), (P(None, None, "y"), P("y"))),
    "layernorm, normalised": (op.layernorm.bind, (X, W, W), (P("x", None, "y"), P("y"), P("y"))),
    "attention, queries": (attention, (Q, K, V), (P(None, None, None, "x"), WHOLE, WHOLE)),
    "attention, keys": (attention, (Q, K, V), (WHOLE, P(None, None, "y"), P(None, None, "y"))),
}


@pytest.mark.parametrize("case", DEPENDENT)
def test_where_another_dim_is_split_xla_partitions_the_reference(case, planned):
    f, operands, specs = DEPENDENT[case]
    mesh = mesh_of(x=2, y=4)
    sharded = put(mesh, operands, specs)
    run, reference = (jax.jit(partial(f, algorithm=name)) for name in ("tile", "reference"))
    text, other = (g.lower(*sharded).compile().as_text() for g in (run, reference))
    collectives = ("all-gather(", "all-reduce(", "all-to-all(", "collective-permute(", "while(")
    assert {w: text.count(w) for w in collectives} == {w: other.count(w) for w in collectives}
    assert "all-gather" not in text
    assert planned == [operands[0].shape]  # to see that there is a program at all
    close(run(*sharded), f(*operands, algorithm="reference"), 4)


@pytest.mark.parametrize("kind", MESHES)
def test_a_product_of_split_sums_runs_as_partial_products(kind):
    mesh = mesh_of(kind, x=8)
    sharded = put(mesh, (A, B), (P(None, "x"), P("x")))
    if kind == "explicit":  # the type of the result would be ambiguous, as for `jnp.matmul`
        with pytest.raises(Exception, match="ambiguous"):
            jax.jit(partial(matmul, algorithm="tile"))(*sharded)
        return
    run = jax.jit(partial(matmul, algorithm="tile"))
    text = run.lower(*sharded).compile().as_text()
    assert ("all-gather" in text, text.count("all-reduce(")) == (False, 1)
    close(run(*sharded), matmul(A, B, algorithm="reference"), 4)


@pytest.mark.parametrize("kind", MESHES)
def test_the_loop_of_the_program_is_in_the_program_of_a_device(kind):
    mesh = mesh_of(kind, x=2, y=4)
    sharded = put(mesh, (Q, K, V), [BLOCKS] * 3)
    texts = [
        jax.jit(partial(attention, algorithm=name)).lower(*sharded).compile().as_text()
        for name in ("tile", "reference")
    ]
    assert [" while(" in text for text in texts] == [True, False]
    assert " conditional(" not in texts[0]


def test_a_small_operand_split_by_the_axis_of_a_large_one_is_gathered(planned):
    mesh = mesh_of(x=8)
    sharded = put(mesh, (X, W), (P("x"), P("x")))  # the weight kept in parts, as in FSDP
    run = jax.jit(partial(op.rmsnorm.bind, algorithm="tile"))
    text = run.lower(*sharded).compile().as_text()
    assert planned[-1] == (2, 64, 64)
    assert text.count("all-gather(") == 1
    assert "f32[64]" in next(line for line in text.splitlines() if "all-gather(" in line)
    close(run(*sharded), op.rmsnorm.bind(X, W, algorithm="reference"))


def test_a_large_operand_split_along_a_contracted_dim_is_not_gathered(planned):
    mesh = mesh_of(x=8)
    few, large = array(8, 512), array(512, 1024)
    sharded = put(mesh, (few, large), (P("x"), P("x")))
    close(jax.jit(partial(matmul, algorithm="tile"))(*sharded), matmul(few, large), 4)
    assert planned == [few.shape]


def test_a_mask_shared_by_heads_and_sinks(planned):
    mask = jnp.asarray(np.random.default_rng(0).random((2, 1, 1, 160, 160)) > 0.3)
    operands = (Q, K, V, mask, array(4, 2))
    sharded = put(mesh_of(x=2, y=4), operands, (BLOCKS, BLOCKS, BLOCKS, P("x"), P("y")))
    run = jax.jit(partial(attention, algorithm="tile"))
    assert "all-gather" not in run.lower(*sharded).compile().as_text()
    assert planned[-1] == (1, 1, 2, 160, 16)
    close(run(*sharded), attention(*operands, algorithm="reference"), 4)


def test_a_mesh_of_explicit_and_auto_axes(planned):
    devices = np.array(jax.devices()).reshape(2, 4)
    mesh = jax.sharding.Mesh(devices, ("x", "y"), axis_types=(AxisType.Explicit, AxisType.Auto))
    (x,) = put(mesh, (X,), (P("x"),))

    def by_both(x):
        return softmax(jax.lax.with_sharding_constraint(x, P(None, None, "y")), algorithm="tile")

    with jax.set_mesh(mesh):
        got = jax.jit(by_both)(x)
    assert planned[-1] == (8, 64, 16)
    assert jax.typeof(got).sharding.spec == P("x", None, None)
    close(got, softmax(X))


@pytest.mark.parametrize("sizes", [(2, 3), (3, 2), (5,), (6,), (2, 2, 2)], ids=str)
def test_meshes_of_any_shape(sizes, planned):
    names = "xyz"[: len(sizes)]
    mesh = mesh_of(**dict(zip(names, sizes, strict=True)))
    x = array(16, 10, 24) if len(sizes) == 3 else array(30, 10, 24)
    for spec in (P(names[0]), P(tuple(names)), P(tuple(names[::-1])), P(names[-1])):
        (sharded,) = put(mesh, (x,), (spec,))
        close(jax.jit(partial(softmax, algorithm="tile"))(sharded), softmax(x))
        assert planned[-1] == sharded.sharding.shard_shape(x.shape)


def test_the_order_of_the_devices_is_the_users():
    devices = np.array(jax.devices())[[3, 1, 4, 0, 7, 6, 2, 5]].reshape(2, 4)
    mesh = jax.sharding.Mesh(devices, ("x", "y"))
    (x,) = put(mesh, (X,), (P(("y", "x")),))
    close(jax.jit(partial(softmax, algorithm="tile"))(x), softmax(X))


def test_heads_split_finer_than_an_axis_of_the_mesh(planned):
    # Eight query heads on one axis of eight, of two key heads: half of the axis splits each.
    q, k, v = array(1, 8, 160, 16), array(1, 2, 160, 16, seed=1), array(1, 2, 160, 16, seed=2)

    def grouped(q, k, v, algorithm):
        out = attention(q.reshape(1, 2, 4, 160, 16), k, v, algorithm=algorithm)
        return out.reshape(q.shape)

    sharded = put(mesh_of(x=8), (q, k, v), (P(None, "x"), WHOLE, WHOLE))
    run = jax.jit(partial(grouped, algorithm="tile"))
    assert "all-gather" not in run.lower(*sharded).compile().as_text()
    assert planned[-1] == (1, 1, 1, 160, 16)
    close(run(*sharded), grouped(q, k, v, "reference"), 4)


def test_sizes_the_mesh_does_not_divide_are_the_reference(planned):
    mesh = mesh_of(x=8)

    def odd(x):
        return softmax(
            jax.lax.with_sharding_constraint(x, NamedSharding(mesh, P("x"))), algorithm="tile"
        )

    for rows in (13, 3):
        x = array(rows, 24)
        close(jax.jit(odd)(x), softmax(x))
    (sharded,) = put(mesh, (array(16, 24),), (P("x"),))
    close(
        jax.jit(lambda x: softmax(x[:13], algorithm="tile"))(sharded), softmax(array(16, 24)[:13])
    )
    assert planned == [(13, 24), (3, 24), (13, 24)]


def tile_softmax(x):
    return softmax(x, algorithm="tile")


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        lambda f: jax.jit(jax.vmap(f)),
        lambda f: jax.jit(lambda x: jax.lax.scan(lambda c, _: (2 * f(c), None), x, length=3)[0]),
        lambda f: jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(f(x))))),
        lambda f: jax.jit(lambda x: jax.jvp(f, (x,), (x,))),
        lambda f: jax.jit(lambda x: jax.hessian(lambda x: jnp.sum(f(x) ** 3))(x[0, :4, :4])),
        lambda f: ts.compile(lambda x: jnp.tanh(f(2 * x)) + x),
    ],
    ids=["eager", "vmap", "scan", "grad", "jvp", "hessian", "ts.compile"],
)
def test_sharded_operands_go_through_every_transformation(transform):
    x = array(8, 16, 16)
    (sharded,) = put(mesh_of(x=2, y=4), (x,), (BLOCKS,))
    close(transform(tile_softmax)(sharded), transform(softmax)(x), 4)


@pytest.mark.parametrize("axes", [("x",), ("x", "y")], ids=["some axes manual", "all"])
def test_inside_shard_map(axes):
    mesh = mesh_of(x=2, y=4)
    (x,) = put(mesh, (X,), (P(axes),))
    run = jax.shard_map(
        tile_softmax, mesh=mesh, in_specs=P(axes), out_specs=P(axes), axis_names=set(axes)
    )
    close(jax.jit(run)(x), softmax(X))


def test_an_exported_program_for_several_devices_holds_the_reference():
    sharding = NamedSharding(mesh_of(x=8), P("x"))
    struct = jax.ShapeDtypeStruct(X.shape, X.dtype, sharding=sharding)
    exported = jax.export.export(jax.jit(tile_softmax))(struct)
    close(exported.call(jax.device_put(X, sharding)), softmax(X))


@pytest.mark.usefixtures("x64")
def test_in_64_bit_mode():
    x = jnp.asarray(np.asarray(X), "float64")
    (sharded,) = put(mesh_of(x=8), (x,), (P("x"),))
    got = jax.jit(tile_softmax)(sharded)
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, softmax(x), *numerics.tolerance(jnp.float64))


def test_a_part_that_the_rule_of_the_program_refuses_is_the_reference(monkeypatch, planned):
    # Not pinned: chosen by platform and size.
    wide = Op(lambda x: jax.nn.softmax(x, -1), parse("*b n -> *b n"), "float", "partition_wide")
    seen = []

    def when(x):
        seen.append(x.shape)
        return x.shape[0] >= 8

    wide.def_algorithm("split", platforms=("cpu",), when=when, splits="*b")(
        lambda x: jax.nn.softmax(x, -1) + 1.0  # told apart by its value
    )
    mesh = mesh_of(x=8)
    for rows, added in ((64, 1.0), (16, 0.0)):
        x = array(rows, 5)
        (sharded,) = put(mesh, (x,), (P("x"),))
        close(jax.jit(wide.bind)(sharded), jax.nn.softmax(x, -1) + added)
        assert seen[-1] == (rows // 8, 5)


def test_an_algorithm_is_split_along_the_axes_it_names():
    summed = Op(
        lambda x: (2 * x, jnp.sum(x, 0)), parse("m n -> m n, n"), "float", "partition_summed"
    )

    def twice(x):
        return 2 * x + x.shape[0], jnp.sum(x, 0)

    summed.def_algorithm("parts", platforms=("cpu",), splits="m n", sums=True)(twice)
    x = array(16, 8)
    (sharded,) = put(mesh_of(x=2, y=4), (x,), (BLOCKS,))
    first, second = jax.jit(summed.bind)(sharded)
    close((first, second), (2 * x + 8, jnp.sum(x, 0)))


def test_an_axis_that_a_result_lacks_stays_whole_unless_it_is_summed():
    types = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((4, 3, 5), (5,))]
    signature = parse("*b n -> *b n, n")
    for sums, independent in ((False, set()), (True, {"db_0", "db_1"})):
        splits = parse_splits("*b", sums=sums)
        layout = layout_of(signature, splits, types[:1], types, {})
        assert layout.independent == independent
    assert layout.operands == (("db_0", "db_1", "dn_0"),)


def test_an_axis_that_the_op_lacks_cannot_be_split():
    lone = Op(lambda x: x, parse("*b n -> *b n"), "float", "partition_lone")
    with pytest.raises(CompileError, match="cannot split 'm', an axis it lacks") as caught:
        lone.def_tile(platforms=("cpu",), splits="*b m")
    assert caught.value.code is Code.E_GRAPH_INVALID
