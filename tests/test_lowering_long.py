"""Long and deep programs: they compile, and the compiler's work grows as they do, not faster."""

import gc
import sys

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from raising import CPU

import tessera as ts
from tessera.core.errors import CompileError
from tessera.core.garbage import collection_deferred
from tessera.ir.graph import function_of
from tessera.ir.schedule import Group
from tessera.lowering import GRAPH_PASSES, SCHEDULE_PASSES, Pass, run_passes
from tessera.lowering.constants import constant_value
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rule import Context

VECTOR = jax.ShapeDtypeStruct((8,), jnp.float32)
MATRIX = jax.ShapeDtypeStruct((16, 8), jnp.float32)
SQUARE = jax.ShapeDtypeStruct((16, 16), jnp.float32)
MASK = jax.ShapeDtypeStruct((16, 16), jnp.bool_)


def mixed(count, x):
    for i in range(count // 5):
        x = jnp.tanh(-(x * (1 + i / count) + 1.0)) / 2.0
    return x


def squares(count, x):
    for _ in range(count):
        x = x * x
    return x


def terms(count, x):
    total = x
    for i in range(count):
        total = total + x * float(i)
    return total


def numbers(count, x):
    held = jnp.arange(8.0)
    for i in range(count):
        held = lax.neg(held) if i % 2 else lax.add(held, held)
    return held + x


def clipped(count, x):
    for _ in range(count):
        x = jnp.maximum(x, 0.0)
    return x * lax.rsqrt(x + 1e-6)


def viewed(count, x):
    for _ in range(count // 2):
        x = lax.reshape(lax.reshape(x, (8, 1)), (8,))
    return x * lax.rsqrt(jnp.mean(x * x) + 1e-6)


def softmaxes(count, x):
    return sum(jnp.sum(jax.nn.softmax(x * (1.0 + i))) for i in range(count // 10))


def reductions(count, x):
    total = jnp.zeros(())
    for _ in range(count // 3):
        x = jnp.sin(x)
        total = total + jnp.sum(x)
    return total


def weights(count, w, v):
    p = jax.nn.softmax(w, -1)
    for _ in range(count):
        p = p * p
    return p @ v


def scores(count, q, k):
    s = q @ k.T
    for _ in range(count):
        s = s + s
    return jax.nn.softmax(s, -1) @ k


def conditions(count, q, k, mask):
    seen = mask
    for i in range(count):
        seen = seen & mask if i % 2 else seen | ~mask
    return jax.nn.softmax(jnp.where(seen, q @ k.T, -1e9), -1) @ k


def biases(count, q, k, mask):
    bias = jnp.where(mask, 0.0, -1e9)
    for i in range(count // 2):
        bias = bias + jnp.where(mask, 0.0, -1e9 - i)
    return jax.nn.softmax(q @ k.T + bias, -1) @ k


def loss(function):
    """Returns value and gradient of the sum of a function, to its first argument."""

    def run(count, *arrays):
        return jax.value_and_grad(lambda *xs: jnp.sum(function(count, *xs)))(*arrays)

    run.__name__ = f"gradient of {function.__name__}"
    return run


PROGRAMS = {
    f.__name__: (f, arguments)
    for f, arguments in (
        *((f, (VECTOR,)) for f in (mixed, squares, terms, numbers, clipped, viewed)),
        *((f, (VECTOR,)) for f in (softmaxes, reductions, loss(mixed), loss(terms))),
        (weights, (SQUARE, MATRIX)),
        (scores, (MATRIX, MATRIX)),
        (conditions, (MATRIX, MATRIX, MASK)),
        (biases, (MATRIX, MATRIX, MASK)),
    )
}


def traced(name, count):
    function, arguments = PROGRAMS[name]
    return jax.make_jaxpr(lambda *xs: function(count, *xs))(*arguments)


def compiled(jaxpr):
    module = capture(jaxpr)
    run_passes(module, Context(CPU), (*GRAPH_PASSES, *SCHEDULE_PASSES), lambda: capture(jaxpr))
    return module


def steps_of(run):
    """Returns how many Python functions a call enters: its work, whatever the clock says."""
    entered = 0

    def count(frame, event, argument):
        nonlocal entered
        entered += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return entered


@pytest.mark.parametrize("name", PROGRAMS)
def test_twice_the_program_is_twice_the_work(name):
    short, long = traced(name, 300), traced(name, 600)
    compiled(short)  # what is cached is cached
    ratio = steps_of(lambda: compiled(long)) / steps_of(lambda: compiled(short))
    assert ratio < 2.2


@pytest.mark.parametrize("name", ["mixed", "squares", "terms", "numbers", "viewed"])
def test_a_chain_longer_than_the_stack_compiles(name):
    module = compiled(traced(name, 5000))
    assert any(isinstance(op, Group) for op in function_of(module).block.ops)


def nested(wrap, depth):
    function = jnp.sin
    for i in range(depth):
        function = wrap(function, i)
    return function


def in_cond(function, i):
    return lambda x: lax.cond(x[0] > i, function, jnp.cos, x)


def in_jit(function, i):
    return jax.jit(lambda x: function(x) + i)


def in_scan(function, i):
    return lambda x: lax.scan(lambda carry, _: (function(carry), None), x, length=2)[0]


@pytest.mark.parametrize("wrap", [in_cond, in_jit, in_scan])
def test_deep_nests_compile(wrap):
    jaxpr = jax.make_jaxpr(nested(wrap, 25))(VECTOR)
    assert any(isinstance(op, Group) for op in compiled(jaxpr).walk())


def test_a_value_of_too_many_steps_is_not_evaluated():
    module = capture(jax.make_jaxpr(lambda: (numbers(20, 0.0), numbers(500, 0.0)))())
    end = function_of(module).block.last_op
    assert end is not None
    few, many = end.operands
    assert constant_value(few) is not None
    assert constant_value(many) is None


# -- verified once -------------------------------------------------------------------------------------


def cut(module, context):
    block = function_of(module).block
    first, last = block.first_op, block.last_op
    assert first is not None
    assert last is not None
    first.detach()
    block.insert_op_before(first, last)
    return True


def stumble(module, context):
    raise KeyError("a value that is not there")


@pytest.mark.parametrize("passes", [[Pass("cut", cut)], [Pass("cut", cut), Pass("next", stumble)]])
def test_the_pass_that_broke_a_module_is_found_when_it_is_verified_once(passes):
    jaxpr = jax.make_jaxpr(lambda x: jnp.exp(jnp.sin(x)))(1.0)
    with pytest.raises(CompileError, match="pass 'cut' broke the module"):
        run_passes(capture(jaxpr), Context(CPU), passes, lambda: capture(jaxpr))


def test_a_pass_that_fails_by_itself_raises_what_it_raised():
    jaxpr = jax.make_jaxpr(jnp.sin)(1.0)
    with pytest.raises(KeyError, match="not there"):
        run_passes(capture(jaxpr), Context(CPU), [Pass("x", stumble)], lambda: capture(jaxpr))


# -- garbage collection --------------------------------------------------------------------------------


def fail_while_deferred():
    with collection_deferred(), collection_deferred():
        assert not gc.isenabled()
        raise KeyError


@pytest.mark.parametrize("on", [True, False])
def test_collections_are_as_they_were_after_a_compilation(on):
    before = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        with pytest.raises(KeyError):
            fail_while_deferred()
        assert gc.isenabled() is on
        ts.compile(jnp.sin)(1.0)
        assert gc.isenabled() is on
    finally:
        (gc.enable if before else gc.disable)()
