"""Mistakes in kernels written in `tessera.tile`: each says what, where and what to do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tile_kernels
from tile_kernels import arrays_of, call, registered

import tessera as ts
from tessera import op, tile
from tessera.core.errors import Code
from tessera.ops.tile_kernel import TileKernels

pytestmark = pytest.mark.newest


def refusal(call):
    with pytest.raises(ts.errors.CompileError) as caught:
        call()
    return caught.value


def recorded(program, *shapes, out=(8, 8), dtype=jnp.float32, reads=1, **settings):
    """Returns the error of a program of one matrix or more, at its first call."""
    arrays = [jnp.ones(shape, dtype) for shape in (shapes or ((8, 8),) * reads)]
    letters = iter("abcdefghij")
    dims = ", ".join(" ".join(next(letters) for _ in x.shape) for x in arrays)
    result = " ".join(map(str, out))

    def one(x):
        return jnp.zeros(out, dtype)

    def two(x, y):
        return jnp.zeros(out, dtype)

    f = registered(program, (one, two)[len(arrays) - 1], f"{dims} -> {result}", **settings)
    return refusal(lambda: f(*arrays))


def copy_with(change):
    def program(x, out):
        tile.grid()
        tile.store(out, change(tile.load(x)))

    return program


def no_grid(x, out):
    tile.store(out, tile.load(x))


def grid_twice(x, out):
    tile.grid()
    tile.grid()


def grid_unknown(x, out):
    tile.grid(0)


def no_store(x, out):
    tile.grid()
    tile.load(x)


def stores_twice(x, out):
    tile.grid()
    tile.store(out, tile.load(x))
    tile.store(out, tile.load(x))


def stores_input(x, out):
    tile.grid()
    tile.store(x, tile.load(x))


def stores_wide(x, out):
    tile.grid()
    tile.store(out, tile.load(x), rows=tile.block(0, 4))


def stores_other_dtype(x, out):
    tile.grid()
    tile.store(out, tile.cast(tile.load(x), jnp.bfloat16))


def too_few_axes(x, out):
    tile.grid()
    tile.load(x, at=(0,))


def beyond(x, out):
    tile.grid()
    tile.load(x, at=(9, None))


def escapes(x, out):
    tile.grid()
    kept = []

    def step(k, acc):
        kept.append(acc + 1)
        return kept[0]

    tile.fori_loop(0, 3, step, tile.load(x))
    tile.store(out, kept[0])


def changes_dtype(x, out):
    tile.grid()
    start = {"acc": tile.load(x)}
    tile.fori_loop(0, 3, lambda k, s: {"acc": tile.cast(s["acc"], jnp.bfloat16)}, start)


def changes_structure(x, out):
    tile.grid()
    tile.fori_loop(0, 3, lambda k, s: (s, s), tile.load(x))


def branches(x, out):
    tile.grid()
    if tile.load(x)[0:1] > 0:
        tile.store(out, 0)


def branches_on_condition(x, out):
    tile.grid()
    if tile.load(x) > 0:
        tile.store(out, 0)


def returns(x, out):
    tile.grid()
    return tile.load(x)


def forgets_the_load(x, out):
    tile.grid()
    tile.store(out, tile.exp(x))


def adds_an_operand(x, out):
    tile.grid()
    tile.store(out, 1 + tile.load(x) + x)


def turns_an_operand(x, out):
    tile.grid()
    tile.store(out, tile.transpose(x))


def odd_block(x, out):
    rows = tile.block(tile.grid(3), 3)
    tile.store(out, tile.load(x, rows=rows), rows=rows)


def short_inner(x, out):
    tile.grid()
    left = tile.load(x, cols=tile.block(0, 8))
    tile.store(out, tile.dot(left, tile.load(x)))


def unequal_inner(x, out):
    tile.grid()
    tile.store(out, tile.dot(tile.load(x, cols=tile.block(0, 4)), tile.load(x)))


def narrow_sum(x, out):
    tile.grid()
    half = tile.cast(tile.load(x), jnp.bfloat16)
    tile.store(out, tile.dot(half, half, half))


def whole_number_steps(x, out):
    i = tile.grid(4)
    tile.load(x, at=((i - 2) // 2, None))


ERRORS = {
    no_grid: (Code.E_GRAPH_INVALID, "own: tile.grid is not declared yet"),
    grid_twice: (Code.E_GRAPH_INVALID, "own: tile.grid is declared twice"),
    grid_unknown: (
        Code.E_SHAPE_MISMATCH,
        "tile.grid has known sizes of at least 1, but axis 0 is 0",
    ),
    no_store: (Code.E_GRAPH_INVALID, "tile.store is missing for the output 'out'"),
    stores_twice: (Code.E_GRAPH_INVALID, "tile.store writes 'out' a second time"),
    stores_input: (Code.E_GRAPH_INVALID, "tile.store writes outputs, and 'x' is an input"),
    stores_wide: (
        Code.E_SHAPE_MISMATCH,
        "covers a block [4, 8] of the array, but the value is [8, 8]",
    ),
    stores_other_dtype: (Code.E_TILE_LOWERING, "puts a block of bfloat16 into 'out', of float32"),
    too_few_axes: (Code.E_SHAPE_MISMATCH, "one entry per axis: 2 for x [8, 8], got 1"),
    beyond: (Code.E_SHAPE_MISMATCH, "tile.load takes element 9 of axis 0 of x, which has 8"),
    escapes: (Code.E_GRAPH_INVALID, "tile.store got a value of a loop's body, outside of the loop"),
    changes_dtype: (
        Code.E_SHAPE_MISMATCH,
        "carries float32[8, 8] at ['acc'], but its body returned bfloat16[8, 8]",
    ),
    changes_structure: (Code.E_SHAPE_MISMATCH, "tile.fori_loop carries PyTreeDef(*), but its body"),
    branches: (Code.E_SHAPE_MISMATCH, "a block [8, 8] has no part slice(0, 1, None)"),
    branches_on_condition: (
        Code.E_GRAPH_INVALID,
        "a condition is not known while the program is written",
    ),
    returns: (Code.E_GRAPH_INVALID, "but the program returned Block"),
    forgets_the_load: (Code.E_TILE_LOWERING, "hint: tile.load makes one of an operand"),
    adds_an_operand: (Code.E_TILE_LOWERING, "tile.+ takes blocks and numbers, not Array"),
    turns_an_operand: (Code.E_TILE_LOWERING, "tile.transpose takes a block, not Array"),
    odd_block: (
        Code.E_TILE_LOWERING,
        "a power of two elements in Triton, but axis 0 of the block of x [3, 8] has 3",
    ),
    short_inner: (
        Code.E_TILE_LOWERING,
        "that a dot sums over has at least 16 elements in Triton, but axis 1",
    ),
    unequal_inner: (
        Code.E_SHAPE_MISMATCH,
        "axis 1 of the left factor [8, 4] is 4 and axis 0 of the right factor [8, 8] is 8",
    ),
    narrow_sum: (
        Code.E_TILE_LOWERING,
        "tile.dot of bfloat16 accumulates in float32, not in bfloat16",
    ),
    whole_number_steps: (Code.E_TILE_LOWERING, "an index that is not known to be at least 0"),
}


@pytest.mark.parametrize("program", ERRORS, ids=lambda f: f.__name__)
def test_a_program_that_cannot_be_says_why(program):
    code, says = ERRORS[program]
    error = recorded(program)
    assert says in str(error)
    assert error.code is code
    assert "own" in error.message


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (
            lambda x: tile.where(x > 0, x, tile.zeros((4, 8))),
            Code.E_SHAPE_MISMATCH,
            "do not spread over each other",
        ),
        (
            lambda x: x + tile.zeros((8, 4)),
            Code.E_SHAPE_MISMATCH,
            "tile.+ got blocks of shapes [8, 8] and [8, 4]",
        ),
        (lambda x: x + tile.cast(x, jnp.int32), Code.E_TILE_LOWERING, "mixes float32 and int32"),
        (
            lambda x: tile.where(x, x, 0),
            Code.E_TILE_LOWERING,
            "takes truth values, not float32[8, 8]",
        ),
        (
            lambda x: tile.exp(tile.cast(x, jnp.int32)),
            Code.E_TILE_LOWERING,
            "tile.exp is not for blocks of int32",
        ),
        (
            lambda x: tile.cast(x, jnp.int32) + 0.5,
            Code.E_TILE_LOWERING,
            "mixes the number 0.5 with a block of int32",
        ),
        (lambda x: x & 1, Code.E_TILE_LOWERING, "tile.& is not for blocks of float32"),
        (lambda x: tile.reduce(x, "mean", 1), Code.E_TILE_LOWERING, "has no kind 'mean'"),
        (lambda x: tile.reduce(x, "sum", 2), Code.E_SHAPE_MISMATCH, "got axis 2 of a block [8, 8]"),
        (lambda x: tile.dot(x, x[0]), Code.E_SHAPE_MISMATCH, "has no part 0"),
        (lambda x: tile.transpose(x, (0, 0)), Code.E_SHAPE_MISMATCH, "no permutation"),
        (
            lambda x: x + jnp.ones((8, 8)),
            Code.E_TILE_LOWERING,
            "takes blocks and numbers, not a JAX array float32[8, 8]",
        ),
        (lambda x: tile.load(x), Code.E_GRAPH_INVALID, "takes an operand or output of the kernel"),
        (lambda x: tile.zeros((8, 0)), Code.E_SHAPE_MISMATCH, "axis 1 is 0"),
        (
            lambda x: tile.cast(x, jnp.complex64),
            Code.E_TILE_LOWERING,
            "makes no blocks of complex64",
        ),
    ],
)
def test_values_that_do_not_go_together_are_named(change, code, says):
    error = recorded(copy_with(change))
    assert says in str(error)
    assert error.code is code


def test_a_program_error_is_an_error_of_the_compiled_function_too():
    f = registered(stores_twice, lambda x: x, "m n -> m n")
    assert "second time" in str(refusal(lambda: ts.compile(lambda x: f(x) + 1)(jnp.ones((8, 8)))))
    assert "second time" in str(refusal(lambda: ts.inspect(f, "tile", jnp.ones((8, 8)))))


def test_a_value_of_another_program_is_refused():
    kept = []

    def first(x, out):
        tile.grid()
        kept.append(tile.load(x))
        tile.store(out, kept[-1])

    def second(x, out):
        tile.grid()
        tile.store(out, kept[-1])

    registered(first, lambda x: x, "n -> n")(jnp.ones(4))
    f = registered(second, lambda x: x, "n -> n")
    assert "a value of another program" in refusal(lambda: f(jnp.ones(4))).message


def test_tile_functions_have_a_program_around_them():
    error = refusal(lambda: tile.zeros((8, 8)))
    assert error.message == "tile.full was called outside a program."
    assert error.code is Code.E_GRAPH_INVALID
    assert tile.cdiv(100, 64) == 2


def test_a_cpu_takes_blocks_of_any_size():
    f = registered(odd_block, lambda x: x, "m n -> m n", platforms=("cpu",))
    x = jnp.arange(64.0).reshape(8, 8)
    np.testing.assert_array_equal(f(x), x)


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({}, Code.E_GRAPH_INVALID, "'bad' has a program but no dims"),
        ({"dims": "n"}, Code.E_GRAPH_INVALID, "one '->' must separate"),
        ({"dims": "n -> n", "tile": 48}, Code.E_TILE_LOWERING, "The nearest legal tile is (64,)"),
        ({"dims": "n -> n", "tile": (64, 0)}, Code.E_GRAPH_INVALID, "entry 1 is 0"),
        ({"dims": "n -> n, n"}, Code.E_GRAPH_INVALID, "come to 3 parameters"),
        (
            {"dims": "n -> n", "impl": lambda x: x},
            Code.E_GRAPH_INVALID,
            "both a program and an impl",
        ),
        ({"dims": "n -> n", "program": 3}, Code.E_GRAPH_INVALID, "program of 'bad' is a int"),
    ],
)
def test_a_kernel_that_cannot_be_registered_says_why(settings, code, says):
    given = {"program": no_grid, "reference": lambda x: x, **settings}
    error = refusal(lambda: TileKernels().register("bad", **given))
    assert says in str(error)
    assert error.code is code


def test_an_unknown_argument_lists_the_known_ones():
    error = refusal(lambda: op.tile_kernel("case_softmax", y=jnp.ones((2, 2))))
    assert error.message == "tile_kernel: 'case_softmax' has no argument 'y'; it has x."


def test_a_wrong_shape_names_the_axis():
    a, b, bias = arrays_of("gemm", ((9, 17), (16, 5), (5,)), jnp.float32)
    error = refusal(lambda: call("gemm", a, b, bias))
    assert "axis 'k' is 17 in argument 'a' but 16 in argument 'b'" in error.message


def test_registering_the_same_kernel_twice_is_nothing():
    before = op.tile_kernel._kernels["case_gemm"].op
    tile_kernels.register(op.tile_kernel)
    assert op.tile_kernel._kernels["case_gemm"].op is before


@pytest.mark.parametrize(
    ("module", "name", "instead"),
    [
        (tile, "cp_async", "tile.load"),
        (tile, "mma_sync", "tile.dot"),
        (tile, "thread_id", "tile.grid"),
        (tile, "atomic_add", "tile.reduce"),
        (op, "shared", "tile.load"),
        (op, "barrier", "in order"),
        (op, "tile_range", "tile.block"),
        (op, "prefetch", "stages=3"),
    ],
)
def test_what_is_written_with_threads_names_the_call_on_blocks(module, name, instead):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; use .*{instead}"):
        getattr(module, name)
    with pytest.raises(AttributeError, match=r"has no attribute 'no_such'$"):
        module.no_such  # noqa: B018 - the access is the test


def test_a_backward_that_forgets_an_operand_is_named():
    def copy(x, out):
        tile.grid()
        tile.store(out, tile.load(x))

    f = registered(copy, lambda x: x, "n -> n", vjp=lambda arrays, ct: {"y": ct})
    error = refusal(lambda: jax.grad(lambda x: jnp.sum(f(x)))(jnp.ones(3)))
    assert "vjp of 'own' gave no gradient for 'x', but for y" in error.message
