"""`mean_square`: the value and every derivative of a mean of squares, gathered chunk by chunk."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import pde
from tessera.core.errors import CompileError

pytestmark = pytest.mark.usefixtures("x64")

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-1.0, 1.0, (23, 2))
WEIGHTS = {"in": RNG.normal(size=(2, 8)), "out": RNG.normal(size=(8, 2)), "order": np.array([1, 0])}
CLOSE: Any = {"rtol": 1e-11, "atol": 1e-11}


def weights() -> dict[str, jax.Array]:
    return {name: jnp.asarray(value) for name, value in WEIGHTS.items()}


def residual(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Two rows of a Poisson problem, whose weights are closed over as tracers."""

    def u(z: jax.Array) -> jax.Array:
        return jnp.tanh(z @ params["in"]) @ params["out"]

    return pde.laplacian(u)(x)[:, params["order"]] - jnp.sin(x)


def chunked(params: dict[str, jax.Array], x: jax.Array, chunk_size: int | None = 5) -> jax.Array:
    return pde.mean_square(lambda z: residual(params, z), x, chunk_size=chunk_size)


def plain(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return jnp.mean(residual(params, x) ** 2)


def assert_close(ours: Any, expected: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **CLOSE), ours, expected)


def of_floats(loss: Any) -> Any:
    return lambda floats, x, **options: loss(floats | {"order": weights()["order"]}, x, **options)


FLOATS = {name: value for name, value in WEIGHTS.items() if name != "order"}


@pytest.mark.parametrize("chunk_size", [None, 1, 5, 22, 23, 99])
def test_value_and_gradients_do_not_depend_on_the_chunks(chunk_size: int | None) -> None:
    floats, x = jax.tree.map(jnp.asarray, (FLOATS, POINTS))

    def ours(p: Any, z: jax.Array) -> jax.Array:
        return of_floats(chunked)(p, z, chunk_size=chunk_size)

    assert_close(jax.jit(ours)(floats, x), of_floats(plain)(floats, x))
    assert_close(
        jax.jit(jax.value_and_grad(ours, (0, 1)))(floats, x),
        jax.jit(jax.value_and_grad(of_floats(plain), (0, 1)))(floats, x),
    )


def test_forward_mode_and_second_order_agree_with_the_plain_mean() -> None:
    floats, x = jax.tree.map(jnp.asarray, (FLOATS, POINTS))
    along = jax.tree.map(jnp.cos, floats)

    def derivatives(loss: Any) -> Any:
        def f(p: Any) -> jax.Array:
            return of_floats(loss)(p, x)

        def slope_along(p: Any) -> jax.Array:
            pairs = zip(jax.tree.leaves(jax.grad(f)(p)), jax.tree.leaves(along), strict=True)
            return sum((jnp.vdot(g, t) for g, t in pairs), jnp.zeros(()))

        return {
            "jvp": jax.jvp(f, (floats,), (along,)),
            "forward over reverse": jax.jvp(jax.grad(f), (floats,), (along,)),
            "reverse over reverse": jax.grad(slope_along)(floats),
            "hessian": jax.hessian(lambda w: f(floats | {"out": w}))(floats["out"]),
        }

    assert_close(jax.jit(lambda: derivatives(chunked))(), jax.jit(lambda: derivatives(plain))())


def test_an_ensemble_of_parameters_maps_over_the_loss() -> None:
    floats, x = jax.tree.map(jnp.asarray, (FLOATS, POINTS))
    several = jax.tree.map(lambda w: jnp.stack([w, 2 * w, w + 1]), floats)
    ours, theirs = (
        jax.jit(jax.vmap(jax.value_and_grad(of_floats(loss)), in_axes=(0, None)))(several, x)
        for loss in (chunked, plain)
    )
    assert_close(ours, theirs)


def test_points_may_carry_data_along() -> None:
    x, data = jnp.asarray(POINTS), jnp.asarray(np.arange(23.0))
    loss = pde.mean_square(lambda part: part[0][:, 0] - part[1], (x, data), chunk_size=4)
    np.testing.assert_allclose(loss, np.mean((POINTS[:, 0] - np.arange(23.0)) ** 2), rtol=1e-14)


def test_the_gradient_keeps_no_more_than_a_chunk() -> None:
    floats, x = jax.tree.map(jnp.asarray, (FLOATS, np.tile(POINTS, (200, 1))))

    def temporaries(loss: Any) -> int:
        memory: Any = (
            jax.jit(jax.grad(of_floats(loss))).lower(floats, x).compile().memory_analysis()
        )
        return memory.temp_size_in_bytes

    assert temporaries(chunked) < temporaries(plain) / 8


@pytest.mark.parametrize("spread", [True, False])
def test_gradients_inside_shard_map_match_one_device(spread: bool) -> None:
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    P = jax.sharding.PartitionSpec
    floats, x = jax.tree.map(jnp.asarray, (FLOATS, np.tile(POINTS, (8, 1))))

    def local(p: Any, z: jax.Array) -> jax.Array:
        if spread:
            p = jax.lax.pcast(p, "x", to="varying")
        return jax.lax.pmean(of_floats(chunked)(p, z), "x")

    def loss(p: Any, z: jax.Array) -> jax.Array:
        return jax.shard_map(local, mesh=mesh, in_specs=(P(), P("x")), out_specs=P())(p, z)

    ours = jax.jit(jax.value_and_grad(loss, (0, 1)))(floats, x)
    assert_close(ours, jax.jit(jax.value_and_grad(of_floats(plain), (0, 1)))(floats, x))
    inside = jax.jit(
        jax.shard_map(
            lambda p, z: jax.grad(lambda q: jax.lax.pmean(of_floats(chunked)(q, z), "x"))(p),
            mesh=mesh,
            in_specs=(P(), P("x")),
            out_specs=P(),
        )
    )(floats, x)
    assert_close(inside, ours[1][0])


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_gradients_at_sharded_points_match_one_device(kind: str) -> None:
    mesh = jax.make_mesh((8,), ("x",), axis_types=(jax.sharding.AxisType[kind],))
    floats, x = jax.tree.map(jnp.asarray, (FLOATS, np.tile(POINTS, (8, 1))[:160]))
    sharded = jax.device_put(x, jax.NamedSharding(mesh, jax.sharding.PartitionSpec("x")))
    loss = jax.value_and_grad(lambda p, z: of_floats(chunked)(p, z, chunk_size=16))
    with jax.set_mesh(mesh):
        ours = jax.jit(loss)(floats, sharded)
    assert_close(ours, jax.jit(jax.value_and_grad(of_floats(plain)))(floats, x))


def test_low_precision_is_summed_in_single() -> None:
    x = jnp.ones((4096, 1), jnp.bfloat16)
    loss, slope = jax.value_and_grad(
        lambda w: pde.mean_square(lambda z: z[:, 0] * w, x, chunk_size=64)
    )(jnp.bfloat16(3.0))
    # A bfloat16 sum of ones stops growing at 256.
    assert (loss.dtype, float(loss), float(slope)) == (jnp.bfloat16, 9.0, 6.0)


def test_bad_residuals_and_points_are_named_in_the_error() -> None:
    x = jnp.asarray(POINTS)
    with pytest.raises(CompileError, match="residual is a float, not a function of a chunk"):
        pde.mean_square(1.0, x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CompileError, match=r"residual returns shape \(\) for"):
        pde.mean_square(jnp.sum, x)
    with pytest.raises(CompileError, match="residual returns a tuple"):
        pde.mean_square(lambda z: (z, z), x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CompileError, match="residual returns int"):
        pde.mean_square(lambda z: jnp.int32(z), x)
    with pytest.raises(CompileError, match=r"leading axes of points are \[0\]"):
        pde.mean_square(lambda z: z, x[:0])
    with pytest.raises(CompileError, match=r"leading axes of points are \[22, 23\]"):
        pde.mean_square(lambda z: z[0], (x, x[1:]))
    with pytest.raises(CompileError, match="chunk_size is -1"):
        pde.mean_square(lambda z: z, x, chunk_size=-1)


def test_points_written_as_lists_are_arrays() -> None:
    x = jnp.asarray(POINTS)
    expected = pde.mean_square(lambda z: jnp.sum(z, axis=1), x)
    found = pde.mean_square(lambda z: jnp.sum(z, axis=1), POINTS.tolist())
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    both = pde.mean_square(
        lambda z: z["at"][:, 0] - z["is"], {"at": x, "is": POINTS[:, 0].tolist()}
    )
    assert float(both) == 0.0


def test_what_fails_in_a_residual_or_its_points_names_mean_square() -> None:
    x = jnp.asarray(POINTS)
    with pytest.raises(CompileError, match=r"mean_square: residual fails on .* \(8, 2\): dot_gen"):
        pde.mean_square(lambda z: z @ jnp.ones((3, 1)), x)
    with pytest.raises(CompileError, match="mean_square: points do not form an array"):
        pde.mean_square(lambda z: z, [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(("dtype", "hint"), [(bool, "floating point"), (complex, "imaginary")])
def test_a_result_that_is_not_real_gets_the_hint_for_its_dtype(dtype: Any, hint: str) -> None:
    with pytest.raises(CompileError, match="residual returns") as caught:
        pde.mean_square(lambda z: z[:, 0].astype(dtype), jnp.asarray(POINTS))
    assert hint in caught.value.hints[0]
