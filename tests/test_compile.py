"""`ts.compile(f)` is `f`: values, types, every derivative, vmap and sharding, whatever `f` is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import tessera as ts
from tessera.core import numerics
from tessera.core.errors import Code, CompileError, LaunchError

X = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
FIXED = np.cos(np.arange(64, dtype=np.float32)).reshape(8, 8)


@dataclass(frozen=True)
class Program:
    """A function of one (8, 8) array, and which transformations it has."""

    function: Callable[..., Any]
    grad: bool = True
    vmap: bool = True


@jax.custom_vjp
def sine_by_hand(x):
    return jnp.sin(x)


sine_by_hand.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x),))


@jax.custom_jvp
def triple_slope(x):
    return jnp.sin(x)


triple_slope.defjvp(lambda p, t: (jnp.sin(p[0]), 3.0 * jnp.cos(p[0]) * t[0]))


def references(x):
    a, b = jax.new_ref(x), jax.new_ref(x)
    a[0] = jnp.ones(8)
    b[1] = a[0] * 2
    return a[...] + b[...]


def randoms(x):
    one, other = jax.random.split(jax.random.key(0))
    return x + jax.random.normal(one, x.shape) * jax.random.uniform(other, x.shape)


def over_devices(x):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    run = jax.shard_map(
        lambda x: jax.nn.softmax(x) + jax.lax.psum(x, "d"),
        mesh=mesh,
        in_specs=P("d"),
        out_specs=P("d"),
    )
    return run(x)


PROGRAMS = {
    "softmax": Program(jax.nn.softmax),
    "identity": Program(lambda x: x),
    "same result twice": Program(lambda x: (x * 2, x * 2, x)),
    "constant results": Program(lambda x: (jnp.ones(3), x, 2.0), grad=False, vmap=False),
    "while": Program(
        lambda x: jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 1.5), (0, x))[
            1
        ],
        grad=False,
    ),
    "fori_loop": Program(
        lambda x: jax.lax.fori_loop(0, 3, lambda i, c: c * 1.5 + i.astype(jnp.float32), x)
    ),
    "scan": Program(
        lambda x: jax.lax.scan(lambda c, y: (jnp.tanh(c + y), jax.nn.softmax(c)), x[0], x)
    ),
    "cond": Program(
        lambda x: jax.lax.cond(x.sum() > 0, lambda x: x * 2, lambda x: jax.nn.softmax(x), x)
    ),
    "switch": Program(lambda x: jax.lax.switch(2, [jnp.sin, jnp.cos, jax.nn.gelu], x)),
    "map": Program(lambda x: jax.lax.map(jax.nn.softmax, x)),
    "associative_scan": Program(lambda x: jax.lax.associative_scan(jnp.add, x)),
    "checkpoint": Program(jax.checkpoint(lambda x: jnp.sin(jax.nn.softmax(x)))),
    "checkpoint with a policy": Program(
        jax.checkpoint(
            lambda x: jnp.sin(jax.nn.softmax(x @ x)),
            policy=jax.checkpoint_policies.dots_saveable,
        )
    ),
    "custom_jvp": Program(lambda x: triple_slope(x) * 2),
    "relu": Program(lambda x: jax.nn.relu(x) * 2 + jax.nn.relu6(x)),
    "shard_map": Program(over_devices),
    "references": Program(references, grad=False, vmap=False),
    "random numbers": Program(randoms),
    "sort and cumsum": Program(lambda x: jnp.sort(x, 1)[:, ::-1] + jnp.cumsum(x, 0)),
    "gather and scatter": Program(lambda x: x[jnp.array([1, 2, 0])] + x.at[0].set(1.0)[:3]),
    "nested jit": Program(jax.jit(lambda x: jax.jit(lambda y: y * 2)(x) + 1)),
    "donating jit": Program(lambda x: jax.jit(lambda y: y * 2, donate_argnums=0)(x + 1) + 1),
    "closed over arrays": Program(lambda x: x @ FIXED + jnp.asarray(FIXED).T @ x),
    "array in a scan": Program(
        lambda x: jax.lax.scan(lambda c, _: (jnp.tanh(c @ FIXED), None), x, None, length=3)[0]
    ),
    "array in a checkpoint": Program(jax.checkpoint(lambda x: jnp.sin(x @ FIXED))),
    "call closing over an array in a checkpoint": Program(
        jax.checkpoint(lambda x: jax.nn.softmax(jax.jit(lambda y: y * jnp.asarray(FIXED))(x)))
    ),
    "hessian-vector product": Program(
        lambda x: jax.jvp(jax.grad(lambda x: jnp.sum(jax.nn.gelu(x) ** 2)), (x,), (x,))[1]
    ),
    "integers": Program(lambda x: (x > 0).sum() + jnp.argmax(x), grad=False),
    "complex": Program(lambda x: jnp.abs(jnp.fft.fft(jax.lax.complex(x, 0.5 * x))) ** 2),
    "fft": Program(lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * 2)),
    "linear solve": Program(lambda x: jnp.linalg.solve(x @ x.T + jnp.eye(8) * 9, x)),
    "empty arrays": Program(lambda x: jnp.concatenate([x[:0], x])),
    "optimization_barrier": Program(lambda x: jax.lax.optimization_barrier(x * 2)),
    "host callback": Program(
        lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x),
        grad=False,
        vmap=False,
    ),
    "Tessera ops": Program(
        lambda x: ts.op.pipeline([ts.op.matmul(x, x), ts.op.relu, ts.op.layernorm])
    ),
    "attention": Program(lambda x: ts.op.flash_attention(x[None], x[None], x[None], causal=True)),
    "inner vmap": Program(lambda x: jax.vmap(lambda row: jax.nn.softmax(row) * 2)(x)),
}
WITH_GRADIENT = [name for name, program in PROGRAMS.items() if program.grad]
WITH_VMAP = [name for name, program in PROGRAMS.items() if program.vmap]

# Two roundings apart at most in each step of programs of about ten steps.
assert_close = partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)
# Gradients pass through twice the steps, second derivatives through four times.
assert_near = partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)


def scalar(function):
    """Returns a smooth scalar function of a program's float results."""

    def run(x):
        leaves = jax.tree.leaves(function(x))
        return sum(jnp.sum(jnp.sin(y)) for y in leaves if jnp.issubdtype(y.dtype, jnp.floating))

    return run


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_types_are_those_of_the_function(name):
    function = PROGRAMS[name].function
    got, want = ts.compile(function)(X), jax.jit(function)(X)
    jax.tree.map(assert_close, got, want)
    types = [[(y.shape, y.dtype, y.weak_type) for y in jax.tree.leaves(out)] for out in (got, want)]
    assert types[0] == types[1]


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_compiling_and_differentiating_commute(name):
    function = PROGRAMS[name].function
    want = jax.grad(scalar(function))(X)
    assert_near(jax.grad(scalar(ts.compile(function)))(X), want)
    assert_near(ts.compile(jax.grad(scalar(function)))(X), want)


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_forward_mode_and_second_derivatives_are_those_of_the_function(name):
    plain, compiled = (
        scalar(f) for f in (PROGRAMS[name].function, ts.compile(PROGRAMS[name].function))
    )
    assert_near(jax.jvp(compiled, (X,), (X,))[1], jax.jvp(plain, (X,), (X,))[1])
    curvature = [jax.jvp(jax.grad(f), (X,), (X,))[1] for f in (compiled, plain)]
    assert_near(*curvature)


@pytest.mark.parametrize("name", WITH_VMAP)
def test_vmap_goes_through(name):
    function = PROGRAMS[name].function
    batch = np.stack([X, 0.5 * X])
    jax.tree.map(assert_close, jax.vmap(ts.compile(function))(batch), jax.vmap(function)(batch))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_text_of_both_levels_reads_back(name):
    for level in ("captured", "graph", "schedule", "tile"):
        text = ts.inspect(PROGRAMS[name].function, level, X)
        assert ts.ir.to_text(ts.ir.parse(text)) == text


def test_a_function_with_its_own_backward_keeps_it():
    compiled = ts.compile(lambda x: sine_by_hand(x) * 2)
    assert_close(jax.grad(lambda x: compiled(x).sum())(X), 2 * np.cos(X))


def test_a_function_with_its_own_derivative_is_shown_by_name():
    text = ts.inspect(lambda x: triple_slope(x) + sine_by_hand(x), "graph", X)
    assert "name=triple_slope" in text
    assert "name=sine_by_hand" in text


def test_ordered_effects_keep_their_order():
    seen = []
    note = partial(jax.debug.callback, lambda v, word: seen.append(word), ordered=True)

    def function(x):
        note(x[0, 0], word="first")
        y = jax.nn.softmax(x)
        note(y[0, 0], word="second")
        return y

    ts.compile(function)(X)
    jax.effects_barrier()
    assert seen == ["first", "second"]


def test_a_reference_given_as_an_argument_is_written():
    ref = jax.new_ref(jnp.zeros(3))

    def write(ref, x):
        ref[...] = x * 2

    ts.compile(write)(ref, jnp.ones(3))
    np.testing.assert_array_equal(ref[...], 2.0)


@pytest.mark.parametrize("kind", [jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit])
def test_results_of_sharded_arrays_are_sharded_alike(kind):
    mesh = jax.make_mesh((8,), ("d",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        x = jax.device_put(X, NamedSharding(mesh, P("d")))
        got, want = (run(lambda x: jax.nn.softmax(x) * 2)(x) for run in (ts.compile, jax.jit))
        assert got.sharding == want.sharding
        assert_close(got, want)


def test_a_tracer_closed_over_is_differentiated_and_mapped():
    def product(w):
        return ts.compile(lambda x: jnp.sum(w * x))(X)

    assert_close(jax.grad(product)(jnp.asarray(X)), X)
    assert_close(jax.vmap(product)(jnp.stack([X, X])), np.sum(X * X) * np.ones(2), rtol=1e-5)


def test_a_scalar_tracer_closed_over_is_differentiated():
    slope = jax.grad(lambda r: ts.compile(lambda y: y * r)(2.0))(3.0)
    assert_close(slope, 2.0)


def test_no_tracer_leaks():
    with jax.checking_leaks():
        ts.compile(lambda x: jax.nn.softmax(x) * 2)(X)


def test_low_precision_stays_within_its_tolerance():
    x = jnp.asarray(X, jnp.bfloat16)
    got = ts.compile(jax.nn.softmax)(x)
    assert got.dtype == jnp.bfloat16
    rtol, atol = numerics.tolerance(jnp.bfloat16)
    want = np.exp(np.float64(x)) / np.exp(np.float64(x)).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.float64(got), want, rtol=rtol, atol=atol)


# -- arguments -----------------------------------------------------------------------------------------


def test_any_pytree_goes_in_and_comes_out():
    def function(batch, *, mode):
        return {"y": batch["x"] * 2, "mode": mode, "pair": (batch["n"], None)}

    out = ts.compile(function, static_argnames="mode")({"x": X, "n": 3}, mode="train")
    assert_close(out["y"], 2 * X)
    assert out["mode"] == "train"
    assert out["pair"][0] == 3
    assert out["pair"][1] is None


def test_a_program_is_traced_once_for_a_signature():
    compiled = ts.compile(lambda x, k: x * k)
    for k in (1.0, 2.0, 3.0):
        compiled(X, k)
    assert compiled.trace_count == 1
    compiled(X[:4], 1.0)
    assert compiled.trace_count == 2


def test_equinox_modules_are_arguments_as_they_are():
    model = eqx.nn.MLP(8, 2, 16, 2, activation=jax.nn.gelu, key=jax.random.key(0))
    dropout = eqx.nn.Dropout(0.5, inference=True)

    def loss(model, dropout, x):
        return jnp.mean(jax.vmap(lambda row: dropout(model(row)))(x) ** 2)

    compiled = ts.compile(loss)
    assert_close(compiled(model, dropout, X), loss(model, dropout, jnp.asarray(X)))
    got, want = (eqx.filter_grad(f)(model, dropout, jnp.asarray(X)) for f in (compiled, loss))
    jax.tree.map(assert_near, eqx.filter(got, eqx.is_array), eqx.filter(want, eqx.is_array))


def test_an_argument_that_is_neither_array_nor_hashable_is_named():
    with pytest.raises(CompileError, match="holds a set") as caught:
        ts.compile(lambda x, options: x)(X, {1, 2})
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_a_static_argument_that_may_change_is_refused():
    compiled = ts.compile(lambda x, flag: x + flag[0], static_argnames="flag")
    with pytest.raises(CompileError, match="static argument 'flag' is a list"):
        compiled(X, [1.0])
    with pytest.raises(CompileError, match="is not a function"):
        ts.compile(3)


def test_a_static_name_must_be_a_parameter():
    with pytest.raises(CompileError, match="no parameter 'axes'"):
        ts.compile(lambda x, axis: x, static_argnames="axes")


def test_the_functions_own_error_comes_through():
    with pytest.raises(TypeError, match="dot_general"):
        ts.compile(lambda x: x @ jnp.ones((3, 3)))(X)


# -- looking inside ------------------------------------------------------------------------------------


def test_inspect_shows_the_last_call_and_asks_for_one_before():
    compiled = ts.compile(lambda x: jax.nn.softmax(x) * 2)
    with pytest.raises(CompileError, match="has not been called"):
        compiled.inspect("graph")
    compiled(X)
    assert compiled.inspect("graph") == compiled.inspect("graph", X)


def test_inspect_without_arguments_means_the_last_call_even_if_nothing_was_traced():
    compiled = ts.compile(lambda x: x * 2)
    for rows in (2, 3, 2):
        compiled(X[:rows])
    assert "tensor<2x8xf32>" in compiled.inspect("graph")


def test_an_unknown_level_names_the_levels():
    with pytest.raises(CompileError, match="no level 'ptx2'") as caught:
        ts.inspect(jnp.sin, "ptx2", 1.0)
    assert "schedule" in str(caught.value)


def test_types_stand_in_for_arrays():
    kind = jax.ShapeDtypeStruct((4, 8), jnp.float32)
    assert "tensor<4x8xf32>" in ts.inspect(jax.nn.softmax, "graph", kind)


def test_the_program_bears_the_functions_name():
    def swish_squared(x):
        return jax.nn.silu(x) ** 2

    assert "jit_swish_squared" in ts.inspect(swish_squared, "stablehlo", X)
    assert "@swish_squared(%x:" in ts.inspect(swish_squared, "graph", X)


def test_arguments_keep_their_names_in_the_text():
    def function(params, x_1, ψ):
        return params["w"][0] * x_1 + ψ

    text = ts.inspect(function, "graph", {"w": [X]}, X, X)
    assert "(%params.w.0: tensor<8x8xf32>, %x.1: tensor<8x8xf32>, %0: tensor<8x8xf32>)" in text
    assert ts.ir.to_text(ts.ir.parse(text)) == text


def test_named_scopes_survive_compilation():
    def function(x):
        with jax.named_scope("outer"):
            return jax.jit(lambda y: jnp.sin(y))(x)

    text = ts.compile(function).lower(X).as_text(debug_info=True)
    assert "outer" in text


def test_an_error_while_tracing_names_the_users_function_and_argument():
    def branching(x, flag):
        return x + 1 if flag else x

    with pytest.raises(jax.errors.TracerBoolConversionError, match=r"branching.* argument flag"):
        ts.compile(branching)(X, True)


def test_a_platform_xla_cannot_optimise_for_here_is_refused():
    assert "sine" in ts.inspect(jnp.sin, "stablehlo", 1.0, target="cuda")
    with pytest.raises(CompileError, match="optimises for cpu"):
        ts.inspect(jnp.sin, "hlo", 1.0, target="cuda")
    with pytest.raises(CompileError, match="no platform 'tpu9'"):
        ts.inspect(jnp.sin, "schedule", 1.0, target="tpu9")


# -- programs on disk ----------------------------------------------------------------------------------


def saved(tmp_path, *args, **options):
    path = tmp_path / "program.tsr"
    compiled = ts.compile(lambda x, w: {"y": jax.nn.softmax(x["a"] @ w)})
    compiled.save(path, *args, **options)
    return path, compiled


def test_a_saved_program_keeps_its_symbolic_batch(tmp_path):
    (batch,) = jax.export.symbolic_shape("batch")
    types = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((batch, 4), (4, 3))]
    path, compiled = saved(tmp_path, {"a": types[0]}, types[1], derivatives=1)
    program = ts.load(path)
    for rows in (1, 5, 64):
        args = {"a": jnp.ones((rows, 4))}, jnp.eye(4, 3)
        np.testing.assert_array_equal(program(*args)["y"], compiled(*args)["y"])
    slope = jax.grad(lambda w: program(args[0], w)["y"][0, 0])(args[1])
    assert_close(slope, jax.grad(lambda w: compiled(args[0], w)["y"][0, 0])(args[1]))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (({"a": jnp.ones((5, 4))},), "takes 2 arrays, not 1"),
        (({"a": jnp.ones((5, 4))}, jnp.ones((4, 4))), "for w, not"),
        (({"a": jnp.ones((5, 4), jnp.int32)}, jnp.ones((4, 3))), r"for x\['a'\], not"),
    ],
)
def test_a_loaded_program_names_the_argument_that_does_not_fit(tmp_path, bad, message):
    path, _ = saved(tmp_path, {"a": jnp.ones((5, 4))}, jnp.ones((4, 3)))
    with pytest.raises(LaunchError, match=message) as caught:
        ts.load(path)(*bad)
    assert caught.value.code is Code.E_LAUNCH_INVALID_SHAPE


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"x" + data[1:], "not a program"),
        (lambda data: data[:40], "header that cannot be read"),
        (lambda data: data[:-3] + b"abc", "damaged"),
        (lambda data: data.replace(b'"abi": [1, ', b'"abi": [9, '), "format 9"),
        (lambda data: data.replace(b'["cpu"]', b'["tpu"]'), "saved for tpu"),
    ],
)
def test_a_damaged_or_foreign_program_is_refused(tmp_path, damage, message):
    path, _ = saved(tmp_path, {"a": jnp.ones((5, 4))}, jnp.ones((4, 3)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(LaunchError, match=message):
        ts.load(path)


def test_export_writes_the_dialect_asked_for(tmp_path):
    for dialect, word in (
        ("stablehlo", "stablehlo."),
        ("graph", "jax.sin"),
        ("schedule", "schedule"),
    ):
        path = tmp_path / f"{dialect}.mlir"
        ts.export_mlir(jnp.sin, (X,), path, dialect)
        assert word in path.read_text()
    with pytest.raises(CompileError, match="no dialect 'llvm'"):
        ts.export_mlir(jnp.sin, (X,), tmp_path / "x", "llvm")
