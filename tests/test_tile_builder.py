"""Kernels written in `tessera.tile`: the same everywhere, under every transformation."""

from functools import partial

import hypothesis
import hypothesis.strategies as st
import jax
import jax.experimental.jet
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tile_kernels import KERNELS, arrays_of, call, kernel_of, registered, shapes_of
from triton_interpreter import Interpreter

import tessera as ts
from tessera import tile
from tessera.core import numerics
from tessera.core.op import registered_ops
from tessera.ir.tile import FUNCTIONS
from tessera.lowering import emit_pallas, emit_stablehlo, emit_triton
from tessera.ops.tile_kernel import TileKernels

pytestmark = pytest.mark.newest

CASES = [(name, shapes) for name in KERNELS for shapes in shapes_of(name)]
NARROW = [
    (name, shapes_of(name)[place]) for name in ("gemm", "softmax", "attention") for place in (1, -1)
]


def parts(x):
    return x if isinstance(x, tuple) else (x,)


def exact(name, args):
    """Returns what the reference gives for operands as they are, in float32."""
    wide = [x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x for x in args]
    return parts(KERNELS[name].reference(*wide))


def assert_close(found, wanted, dtype=jnp.float32):
    rtol, atol = numerics.tolerance(dtype)
    for ours, theirs in zip(parts(found), parts(wanted), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(
            np.asarray(ours, np.float64),
            np.asarray(theirs, np.float64),
            rtol=10 * rtol,
            atol=10 * atol,
        )  # sums of tens of terms


# -- values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shapes"), CASES)
def test_a_kernel_equals_its_reference_on_cpu(name, shapes):
    args = arrays_of(name, shapes, jnp.float32)
    assert_close(jax.jit(partial(call, name))(*args), exact(name, args))


@pytest.mark.parametrize(("name", "shapes"), CASES)
@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_a_kernel_equals_its_reference_in_pallas(name, shapes, target):
    args = arrays_of(name, shapes, jnp.float32)
    kernel = kernel_of(partial(call, name), *args, target=target)
    assert_close(tuple(jax.jit(emit_pallas.emit(kernel))(*args)), exact(name, args))


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_equals_its_reference_in_triton(name, interpreted):
    for shapes in shapes_of(name):
        args = arrays_of(name, shapes, jnp.float32)
        assert_close(tuple(interpreted(partial(call, name), args)), exact(name, args))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "shapes"), NARROW)
def test_narrow_floats_are_close_everywhere(name, shapes, dtype, interpreted):
    args = arrays_of(name, shapes, dtype)
    wanted = exact(name, args)
    assert_close(jax.jit(partial(call, name))(*args), wanted, dtype)
    kernel = kernel_of(partial(call, name), *args, target="cuda")
    assert_close(tuple(jax.jit(emit_stablehlo.emit(kernel))(*args)), wanted, dtype)
    if interpreted is not None:
        assert_close(tuple(interpreted(partial(call, name), args)), wanted, dtype)


@pytest.fixture(scope="module")
def interpreter():
    with Interpreter() as run:
        yield run


@pytest.fixture
def interpreted(request, tmp_path):
    """Returns what runs a kernel in Triton's interpreter; None, or a skip, where Triton is missing."""
    if emit_triton.unavailable() is not None:
        alone = "triton" in request.node.name
        return pytest.skip("Triton is not installed") if alone else None
    run = request.getfixturevalue("interpreter")

    def interpret(f, args):
        source = emit_triton.source(kernel_of(f, *args, target="cuda"))
        path = tmp_path / f"{source.name}.py"
        path.write_text(source.text)
        return run(source, path, *args)

    return interpret


@hypothesis.given(
    sizes=st.tuples(*[st.integers(1, 40)] * 3),
    tile_sizes=st.tuples(*[st.sampled_from([16, 32])] * 3),
    batch=st.lists(st.integers(1, 3), max_size=2),
)
@hypothesis.settings(max_examples=10)
def test_a_product_is_right_at_every_shape_and_tile(sizes, tile_sizes, batch):
    m, k, n = sizes
    f = registered(
        KERNELS["gemm"].program,
        KERNELS["gemm"].reference,
        "*b m k, k n, n -> *b m n",
        tile=tile_sizes,
    )
    args = arrays_of("gemm", ((*batch, m, k), (k, n), (n,)), jnp.float32)
    wanted = exact("gemm", args)
    assert_close(f(*args), wanted)
    kernel = kernel_of(f, *args, target="cuda")
    assert_close(tuple(jax.jit(emit_stablehlo.emit(kernel))(*args)), wanted)


@pytest.mark.parametrize("name", sorted(tile.elementwise.ELEMENTWISE))
def test_an_elementwise_function_is_that_of_jax_numpy(name):
    theirs = {
        "erf": jax.scipy.special.erf, "relu": jax.nn.relu, "rsqrt": jax.lax.rsqrt,
        "sigmoid": jax.nn.sigmoid,
    }.get(name) or getattr(jnp, name)  # fmt: skip
    two = FUNCTIONS[tile.elementwise.SHOWN[name]] == 2
    x = jnp.linspace(0.1, 2.5, 9)
    y = x[::-1] + 1

    def one(x, y, out):
        tile.grid()
        blocks = [tile.load(a) for a in ((x, y) if two else (x,))]
        tile.store(out, getattr(tile, name)(*blocks))

    f = registered(one, lambda x, y: theirs(*((x, y) if two else (x,))), "n, n -> n")
    assert_close(f(x, y), theirs(*((x, y) if two else (x,))))


def test_functions_of_the_dialect_are_all_there():
    spelled = {
        "add",
        "and",
        "div",
        "eq",
        "ge",
        "gt",
        "le",
        "lt",
        "mul",
        "ne",
        "neg",
        "not",
        "or",
        "sub",
    }
    assert {*tile.elementwise.SHOWN.values()} | spelled | {"where"} == {*FUNCTIONS}


# -- transformations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gemm", "softmax", "attention"])
def test_every_derivative_is_that_of_the_reference(name):
    args = arrays_of(name, shapes_of(name)[1], jnp.float32)
    f, g = partial(call, name), KERNELS[name].reference
    tangents = [jnp.cos(x) for x in args]
    assert_close(jax.jvp(f, args, tangents)[1], jax.jvp(g, args, tangents)[1])
    places = tuple(range(len(args)))

    def loss(f):
        return lambda *args: jnp.sum(jnp.sin(f(*args)))

    assert_close(jax.grad(loss(f), places)(*args), jax.grad(loss(g), places)(*args))
    along = [jax.jvp(jax.grad(loss(h)), args, tangents)[1] for h in (f, g)]
    assert_close(*along)


def test_second_derivatives_and_taylor_mode_hold():
    x = jnp.linspace(-1.0, 1.0, 6).reshape(2, 3)
    jet = [
        jax.experimental.jet.jet(f, (x,), ((jnp.ones_like(x), x),))
        for f in (partial(call, "softmax"), jax.nn.softmax)
    ]
    assert_close(jet[0][0], jet[1][0])
    assert_close(tuple(jet[0][1]), tuple(jet[1][1]))
    assert_close(jax.hessian(partial(call, "softmax"))(x), jax.hessian(jax.nn.softmax)(x))


def test_a_mapped_kernel_is_the_kernel_with_a_batch():
    q, k, v = arrays_of("attention", ((2, 3, 33, 16),) * 3, jnp.float32)
    f = partial(call, "attention")
    mapped = jax.vmap(jax.vmap(f, in_axes=1, out_axes=1))
    assert "tile_kernel.case_attention" in str(jax.make_jaxpr(mapped)(q, k, v))
    wanted = KERNELS["attention"].reference(*(x.swapaxes(1, 2) for x in (q, k, v)))
    turned = jax.vmap(jax.vmap(f))(*(x.swapaxes(1, 2) for x in (q, k, v)))
    assert_close(turned, wanted)


def test_the_gradient_of_a_mapped_kernel_compiles():
    a, b, bias = arrays_of("gemm", ((4, 9, 17), (17, 5), (5,)), jnp.float32)

    def loss(f):
        return lambda b: jnp.sum(jax.vmap(f, (0, None, None))(a, b, bias) ** 2)

    found = jax.jit(jax.grad(loss(partial(call, "gemm"))))(b)
    assert_close(found, jax.grad(loss(KERNELS["gemm"].reference))(b))


def test_a_kernel_runs_per_device_in_shard_map():
    (x,) = arrays_of("softmax", ((8, 33),), jnp.float32)
    mesh = jax.make_mesh((4,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    f = jax.shard_map(partial(call, "softmax"), mesh=mesh, in_specs=P("x"), out_specs=P("x"))
    assert_close(jax.jit(f)(x), jax.nn.softmax(x))
    assert "tile_kernel.case_softmax" in jax.jit(f).lower(x).as_text()
    slope = jax.grad(lambda x: jnp.sum(f(x) ** 2))(x)
    assert_close(slope, jax.grad(lambda x: jnp.sum(jax.nn.softmax(x) ** 2))(x))


def test_sharded_operands_give_the_same_values():
    (x,) = arrays_of("softmax", ((8, 16, 33),), jnp.float32)
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    for spec in (P("x"), P(None, "x")):
        split = jax.device_put(x, jax.NamedSharding(mesh, spec))
        assert_close(jax.jit(partial(call, "softmax"))(split), jax.nn.softmax(x))


def test_a_size_known_by_name_is_left_to_the_reference():
    (rows,) = jax.export.symbolic_shape("n")
    kind = jax.ShapeDtypeStruct((rows, 8), jnp.float32)
    program = jax.export.export(jax.jit(partial(call, "softmax")))(kind)
    x = jnp.arange(24.0).reshape(3, 8)
    assert_close(program.call(x), jax.nn.softmax(x))


def test_a_kernel_may_bring_its_backward():
    def twice(x, by, out):
        tile.grid()
        tile.store(out, tile.load(x) * tile.load(by))

    def vjp(arrays, ct):
        return {"x": 10 * ct, "by": jnp.sum(arrays["x"] * ct)}

    f = registered(twice, lambda x, by: x * by, "*b n, () -> *b n", vjp=vjp)
    x = jnp.arange(3.0)
    assert_close(
        jax.grad(lambda x, by: jnp.sum(f(x, by)), (0, 1))(x, 2.0),
        (jnp.full(3, 10.0), 3.0 * jnp.ones(())),
    )
    assert_close(jax.jvp(lambda x: f(x, 2.0), (x,), (x,))[1], 2 * x)


# -- what a program can say ----------------------------------------------------------------------------


def test_a_program_may_have_static_arguments_and_absent_operands():
    def shifted(x, by, out, *, sign=1):
        tile.grid()
        y = tile.load(x)
        tile.store(out, y if by is None else y + sign * tile.load(by))

    def reference(x, by=None, *, sign=1):
        return x if by is None else x + sign * by

    f = registered(shifted, reference, "n, [n] -> n")
    x, by = jnp.arange(4.0), jnp.ones(4)
    assert f(x).tolist() == [0, 1, 2, 3]
    assert f(x, by).tolist() == [1, 2, 3, 4]
    assert jax.jit(partial(f, sign=-1))(x, by).tolist() == [-1, 0, 1, 2]


def test_parameters_of_the_reference_that_have_defaults_stay_its_own():
    f = registered(KERNELS["softmax"].program, jax.nn.softmax, "*b m n -> *b m n", tile=4)
    x = jnp.arange(6.0).reshape(2, 3)
    assert_close(f(x), jax.nn.softmax(x))


def test_ranges_may_reach_beyond_an_array_on_both_sides():
    def neighbours(x, out):
        BM, n = 4, x.shape[0]
        i = tile.grid(tile.cdiv(n, BM))
        left = tile.load(x, cols=tile.range_n(i * BM - 1, BM), fill=-1)
        right = tile.load(x, cols=tile.range_n(i * BM + 1, BM), fill=-1)
        tile.store(out, left * 10 + right, cols=tile.range_n(i * BM, BM))

    def reference(x):
        edge = jnp.full(1, -1, x.dtype)
        wide = jnp.concatenate([edge, x, edge])
        return wide[:-2] * 10 + wide[2:]

    f = registered(neighbours, reference, "n -> n")
    x = jnp.arange(7)
    assert f(x).tolist() == reference(x).tolist()
    for emit in (emit_stablehlo.emit, emit_pallas.emit):
        assert emit(kernel_of(f, x, target="cuda"))(x)[0].tolist() == reference(x).tolist()


def test_a_loaded_index_beyond_the_array_reads_the_nearest_and_writes_nothing():
    def gather(x, which, out):
        i = tile.grid(which.shape[0])
        place = tile.load(which, at=(i,))
        tile.store(out, tile.load(x, at=(place,)) + 1, at=(place,))

    f = registered(gather, lambda x, which: x + 1, "n, m -> n")
    x, which = jnp.arange(4.0), jnp.array([-2, 0, 1, 2, 3, 7], jnp.int32)
    assert f(x, which).tolist() == [1, 2, 3, 4]
    assert jnp.asarray(emit_pallas.emit(kernel_of(f, x, which))(x, which)[0]).tolist() == [
        1,
        2,
        3,
        4,
    ]


def test_whole_numbers_divide_as_in_python():
    def divide(x, out, rest):
        tile.grid()
        block = tile.load(x)
        tile.store(out, block // 3)
        tile.store(rest, block % -3)

    f = registered(divide, lambda x: (x // 3, x % -3), "n -> n, n")
    x = jnp.arange(-7, 8)
    for ours, theirs in zip(f(x), (x // 3, x % -3), strict=True):
        assert ours.tolist() == theirs.tolist()


def test_conditions_and_casts_read_like_numpy():
    def choose(x, out):
        tile.grid()
        y = tile.load(x)
        inside = (y > -1) & ~(y >= 1) | (y == 2)
        tile.store(
            out,
            tile.cast(inside, jnp.int32)
            + tile.where(tile.cast(y, bool), 10, tile.cast(y, jnp.int32)),
        )

    x = jnp.array([-2.0, -0.5, 0.0, 0.5, 1.0, 2.0])

    def reference(x):
        return (((x > -1) & ~(x >= 1)) | (x == 2)).astype(jnp.int32) + jnp.where(x != 0, 10, 0)

    f = registered(choose, reference, "n -> n")
    assert f(x).tolist() == reference(x).tolist()


def test_a_grid_of_one_program_sees_three_axes():
    def turned(x, out):
        tile.grid()
        tile.store(
            out, tile.transpose(tile.load(x, at=(None, None, None)), (2, 0, 1)), at=(None,) * 3
        )

    f = registered(turned, lambda x: x.transpose(2, 0, 1), "a b c -> c a b")
    x = jnp.arange(24.0).reshape(2, 3, 4)
    assert_close(f(x), x.transpose(2, 0, 1))


# -- every construct, everywhere -----------------------------------------------------------------------


def total(x, out):
    """Adds all elements into a number, block by block."""
    tile.grid()

    def step(k, carried):
        acc, steps = carried
        block = tile.load(x, cols=tile.block(k, 4))
        return acc + tile.reduce(block, "sum", 0)[0], steps + 1

    acc, steps = tile.fori_loop(0, tile.cdiv(x.shape[0], 4), step, (0.0, 0))
    tile.store(out, acc * tile.cast(steps, jnp.float32))


def banded(x, out):
    """Adds the blocks of rows before, at and after each block, of those there are."""
    n = x.shape[0]
    i, count = tile.grid(tile.cdiv(n, 4)), tile.cdiv(n, 4)
    begin, end = tile.maximum(i - 1, 0), tile.minimum(i + 2, count)

    def step(k, acc):
        return acc + tile.load(x, rows=tile.block(k, 4))

    width = tile.whole(x.shape[1]).size
    acc = tile.fori_loop(begin, end, step, tile.zeros((4, width)), stages=2)
    tile.store(out, acc, rows=tile.block(i, 4))


def banded_reference(x):
    n, blocks = x.shape[0], -(-x.shape[0] // 4)
    wide = jnp.pad(x, ((4, 4 * blocks - n + 4), (0, 0)))
    return sum(wide[4 * k : 4 * (blocks + k)] for k in range(3))[:n]


def nested(x, out):
    """Adds the number of its row of blocks and of its column to each block, in a loop within a loop."""
    tile.grid()

    def row(i, _):
        def column(j, count):
            at = {"rows": tile.block(i, 2), "cols": tile.range_n(j * 4, 4)}
            tile.store(out, tile.load(x, **at) + tile.cast(count + i, jnp.float32), **at)
            return count + 1

        return tile.fori_loop(0, tile.cdiv(x.shape[1], 4), column, i * 0)

    tile.fori_loop(0, tile.cdiv(x.shape[0], 2), row, 0)


def nested_reference(x):
    rows, columns = (jnp.arange(n) for n in x.shape)
    added = (rows // 2)[:, None] + (columns // 4)[None, :]
    return x + added.astype(x.dtype)


def truths(x, flags, low, out, counts):
    """Booleans and bytes go in and out."""
    rows = tile.block(tile.grid(tile.cdiv(x.shape[0], 4)), 4)
    values, chosen = tile.load(x, cols=rows), tile.load(flags, cols=rows)
    least = tile.load(low)
    tile.store(out, chosen & (values > least), cols=rows)
    tile.store(counts, tile.minimum(values, 200) + 1, cols=rows, mask=values != 7)


def products(x, y, out):
    """Multiplies bytes, summed in 32 bits, the left factor transposed."""
    rows = tile.block(tile.grid(tile.cdiv(x.shape[1], 16)), 16)
    keys = tile.block(0, 32)
    left = tile.load(x, rows=keys, cols=rows).T
    tile.store(out, tile.dot(left, tile.load(y, rows=keys)), rows=rows)


def backwards(x, which, out):
    """Sums from the end, of the slices that a list names, last first."""
    i = tile.grid(which.shape[0])
    place = tile.load(which, at=(which.shape[0] - 1 - i,))
    block = tile.load(x, at=(place, None, None))
    tile.store(out, tile.scan(block, "sum", axis=0, reverse=True), at=(i, None, None))


def shifted(x, which, out):
    """Adds the blocks before and after each, and one a list names, which may all lie outside the array."""
    i = tile.grid(tile.cdiv(x.shape[0], 4))
    before = tile.load(x, cols=tile.block(i - 1, 4), fill=-10)
    after = tile.load(x, cols=tile.block(i + 1, 4), fill=-20)
    named = tile.load(x, cols=tile.block(tile.load(which, at=(i,)), 4), fill=-30)
    tile.store(out, before + after + named, cols=tile.block(i, 4))


def shifted_reference(x, which):
    n = x.shape[0]
    place, block = jnp.arange(n), jnp.arange(n) // 4

    def at(number, fill):
        found = number * 4 + place % 4
        inside = (found >= 0) & (found < n)
        return jnp.where(inside, x[jnp.clip(found, 0, n - 1)], fill)

    return at(block - 1, -10.0) + at(block + 1, -20.0) + at(which[block], -30.0)


def constructs():
    random = np.random.default_rng(3)
    bytes_ = [jnp.asarray(random.integers(-9, 9, n), jnp.int8) for n in ((21, 17), (21, 5))]
    x = jnp.asarray(random.normal(size=(11, 6)), jnp.float32)
    small = jnp.arange(10, dtype=jnp.int32)
    flags = small % 3 != 0
    which = jnp.array([2, 0, 1, 2], jnp.int32)
    cube = jnp.asarray(random.normal(size=(3, 4, 5)), jnp.float32)
    return {
        total: (lambda x: jnp.sum(x) * -(-x.shape[0] // 4), "n -> ()", (x[:, 0],)),
        banded: (banded_reference, "m n -> m n", (x,)),
        nested: (nested_reference, "m n -> m n", (x,)),
        truths: (
            lambda x, flags, low: (flags & (x > low), jnp.where(x == 7, 0, x + 1)),
            "n, n, () -> n, n", (small, flags, jnp.int32(4)),
        ),
        products: (
            lambda x, y: jnp.matmul(x.T, y, preferred_element_type=jnp.int32), "k m, k n -> m n", bytes_
        ),
        shifted: (
            shifted_reference, "n, b -> n", (x[:, 1], jnp.array([3, -1, 2], jnp.int32)),
        ),
        backwards: (
            lambda x, which: jnp.cumsum(x[which[::-1]][:, ::-1], 1)[:, ::-1], "e m n, g -> g m n",
            (cube, which),
        ),
    }  # fmt: skip


CONSTRUCTS = constructs()


@pytest.mark.parametrize("program", CONSTRUCTS, ids=lambda f: f.__name__)
def test_a_construct_means_the_same_everywhere(program, interpreted):
    reference, dims, args = CONSTRUCTS[program]
    f, wanted = registered(program, reference, dims), parts(reference(*args))
    runs = {"jit": jax.jit(f)}
    for target in ("cpu", "cuda"):
        kernel = kernel_of(f, *args, target=target)
        runs |= {
            f"pallas {target}": emit_pallas.emit(kernel),
            f"loops {target}": emit_stablehlo.emit(kernel),
        }
    if interpreted is not None:
        runs["triton"] = lambda *args: interpreted(f, args)
    for run in runs.values():
        found = [np.asarray(x) for x in parts(run(*args))] if run is runs["jit"] else run(*args)
        for ours, theirs in zip(found, wanted, strict=True):
            kept = (
                np.ones(theirs.shape, bool) if program is not truths else np.asarray(args[0]) != 7
            )
            assert_close(np.asarray(ours)[kept], np.asarray(theirs)[kept])


# -- inside the compiler -------------------------------------------------------------------------------


def chain(x, w, bias):
    return jnp.tanh(call("gemm", jnp.sin(x), w, bias)) + 1


def test_a_kernel_is_a_group_of_its_own_in_a_compiled_function():
    args = arrays_of("gemm", ((9, 17), (17, 5), (5,)), jnp.float32)
    fast = ts.compile(chain)
    assert_close(fast(*args), chain(*args))
    schedule = fast.inspect("schedule")
    line = next(x for x in schedule.splitlines() if 'pattern = "tile_kernel.case_gemm"' in x)
    assert 'runs = "tile"' in line
    assert "blocks = array<i64: 32, 16, 16>" in line
    assert "tessera.graph.tile_kernel.case_gemm" in fast.inspect("graph")
    assert "tessera.tile.func @case_gemm_1" in fast.inspect("tile")
    assert "def case_gemm(" in fast.inspect("triton")
    reasons = [group.apart for group in ts.explain(chain)(*args).groups]
    assert "nothing is fused with tile_kernel.case_gemm" in " ".join(reasons)
    assert_close(
        jax.grad(lambda x: jnp.sum(fast(x, *args[1:])))(args[0]),
        jax.grad(lambda x: jnp.sum(chain(x, *args[1:])))(args[0]),
    )


def test_what_a_kernel_reads_may_be_a_number_an_argument_twice_or_made_of_arguments():
    def scaled(x, y, by, out):
        tile.grid()
        tile.store(out, (tile.load(x) + tile.load(y)) * tile.load(by))

    f = registered(scaled, lambda x, y, by: (x + y) * by, "*b n, *b n, () -> *b n")
    table = jnp.arange(3.0)

    def g(x):
        row = jnp.broadcast_to(jnp.sum(x), (3,))
        return f(x, x, 2.0) + f(table, row, 0.5) + f(jnp.exp(x), table, x[0])

    x = jnp.linspace(0.0, 1.0, 3)
    wanted = 4 * x + (table + jnp.sum(x)) * 0.5 + (jnp.exp(x) + table) * x[0]
    assert_close(ts.compile(g)(x), wanted)
    assert ts.inspect(g, "schedule", x).count('runs = "tile"') == 3


def test_a_result_nobody_reads_is_still_written():
    (x,) = arrays_of("running", ((5, 37),), jnp.float32)
    last = ts.compile(lambda x: call("running", x)[1])
    assert_close(last(x), jax.lax.cummax(x, axis=1))


def test_the_text_of_a_kernel_parses_back():
    (x,) = arrays_of("softmax", ((5, 37),), jnp.float32)
    for level in ("graph", "schedule", "tile"):
        text = ts.inspect(partial(call, "softmax"), level, x)
        assert ts.ir.to_text(ts.ir.parse(text)) == text


@pytest.mark.parametrize("name", KERNELS)
def test_machine_code_is_made_without_a_gpu(name):
    if emit_triton.unavailable() is not None:
        pytest.skip("Triton is not installed")
    args = arrays_of(name, shapes_of(name)[1], jnp.float32)
    for level, target in (("ptx", "sm_90"), ("amdgcn", "gfx942")):
        text = ts.inspect(partial(call, name), level, *args, target=target)
        assert f"@case_{name}_0 on {target}: " in text
        assert "0 bytes spilled" in text


def test_kernels_are_no_built_in_ops():
    assert not [o.name for o in registered_ops() if o.name.startswith("tile_kernel")]


def test_a_kernel_is_put_in_the_place_of_another_when_asked():
    def times(by):
        def program(x, out):
            rows = tile.block(tile.grid(tile.cdiv(x.shape[0], 8)), 8)
            tile.store(out, tile.load(x, cols=rows) * by, cols=rows)

        return {"program": program, "reference": lambda x: x * by, "dims": "n -> n"}

    kernels = TileKernels()
    for by in (2.0, 3.0):
        kernels.register("times", **times(by), overwrite=True)
        np.testing.assert_allclose(kernels("times", x=jnp.ones(5)), by)
    with pytest.raises(ts.errors.CompileError, match="overwrite=True"):
        kernels.register("times", **times(4.0))
