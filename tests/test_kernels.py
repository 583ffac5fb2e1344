"""Groups that run as tile programs: closed under every transformation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tessera as ts
from tessera.core import numerics
from tessera.core.errors import Code, CompileError

KEYS = jax.random.split(jax.random.key(5), 4)
X = jax.random.normal(KEYS[0], (40, 33))
W = jax.random.normal(KEYS[1], (33,))
Q, K = jax.random.normal(KEYS[2], (2, 1, 2, 1, 70, 16))

RMSNORM = partial(ts.op.rmsnorm.bind, algorithm="tile")
ATTENTION = partial(
    lambda q, k, v, **words: ts.op.flash_attention.bind(q, k[:, :, 0], v[:, :, 0], **words),
    causal=True,
    scale=0.25,
)


def norm_and_more(x, w):
    """One group: the norm as a tile program, with what stands before and after it."""
    return jnp.tanh(RMSNORM(2.0 * x, w)) + x


def reference(x, w):
    return jnp.tanh(ts.op.rmsnorm.bind(2.0 * x, w, algorithm="reference")) + x


def close(got, want, factor=1.0):
    rtol, atol = numerics.tolerance(jnp.float32)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, factor * rtol, factor * atol)


def test_a_group_with_its_prologue_and_epilogue_is_one_kernel():
    compiled = ts.compile(norm_and_more)
    (group,) = ts.explain(compiled)(X, W).groups
    assert group.runs == "tile"
    jaxpr = jax.make_jaxpr(compiled)(X, W)
    assert str(jaxpr).count("tessera.kernel") == 1
    assert "tessera.rmsnorm" not in str(jaxpr)
    close(compiled(X, W), reference(X, W))


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.jit(f),
        lambda f: jax.vmap(f, (0, None)),
        lambda f: jax.grad(lambda x, w: jnp.sum(jnp.sin(f(x, w))), (0, 1)),
        lambda f: lambda x, w: jax.jvp(f, (x, w), (x, w)),
        lambda f: jax.hessian(lambda x, w: jnp.sum(jnp.sin(f(x[:2], w)))),
        lambda f: jax.vmap(jax.grad(lambda x, w: jnp.sum(f(x, w) ** 2)), (0, None)),
    ],
    ids=["jit", "vmap", "grad", "jvp", "hessian", "vmap of grad"],
)
def test_a_kernel_goes_through_every_transformation(transform):
    close(transform(ts.compile(norm_and_more))(X, W), transform(reference)(X, W), 10)


def test_a_gradient_compiled_whole_runs_the_backward_of_the_kernels():
    def loss(x, w):
        return jnp.sum(jnp.sin(norm_and_more(x, w)))

    close(
        ts.compile(jax.grad(loss, (0, 1)))(X, W),
        jax.grad(lambda x, w: jnp.sum(jnp.sin(reference(x, w))), (0, 1))(X, W),
        10,
    )


def test_attention_as_a_tile_program_equals_the_reference():
    got = ts.compile(partial(ATTENTION, algorithm="tile"))(Q, K, K)
    close(got, ATTENTION(Q, K, K, algorithm="reference"), 10)


def test_inside_shard_map_a_kernel_is_per_device():
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, whole = jax.P("rows"), jax.P()
    run = ts.compile(
        jax.shard_map(norm_and_more, mesh=mesh, in_specs=(rows, whole), out_specs=rows)
    )
    close(run(X, W), reference(X, W))


def test_on_several_devices_without_shard_map_a_kernel_cannot_be_asked_for():
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    x = jax.device_put(X, jax.NamedSharding(mesh, jax.P("rows")))
    with pytest.raises(CompileError, match="rmsnorm: no tile program") as caught:
        ts.compile(norm_and_more)(x, W)
    assert "shard_map" in str(caught.value)


def test_a_compiled_function_inside_another_keeps_its_kernels():
    inner = ts.compile(norm_and_more)
    outer = ts.compile(lambda x, w: inner(x, w) * 2.0)
    close(outer(X, W), 2.0 * reference(X, W))


def test_a_tile_program_asked_for_by_name_that_cannot_run_is_refused():
    with pytest.raises(CompileError, match="softmax: no tile program") as caught:
        ts.op.softmax.bind(jnp.ones((4, 0)), axis=1, algorithm="tile")
    assert caught.value.code is Code.E_TILE_LOWERING
