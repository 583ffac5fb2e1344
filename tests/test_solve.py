"""`op.solve`, `op.fixed_point`, `op.poisson` and `op.helmholtz`: values, derivatives, warnings, errors."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.test_util import check_grads

from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError, TesseraWarning

RANDOM = np.random.default_rng(0)
A = jnp.asarray(RANDOM.normal(size=(5, 5)) + 4 * np.eye(5), jnp.float32)
SPD = A @ A.T
B = jnp.asarray(RANDOM.normal(size=(5, 2)), jnp.float32)
DENSE_METHODS = pytest.mark.parametrize("method", ["auto", "lu", "cholesky", "cg", "gmres"])


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


def finished(run, *args):
    """Runs a program, and what it calls back to."""
    run(*args).block_until_ready()
    jax.effects_barrier()


def doubles(*arrays):
    return tuple(jnp.asarray(wide(x)) for x in arrays)


# -- solve --------------------------------------------------------------------------------------------------


@DENSE_METHODS
@pytest.mark.parametrize("b", [B, B[:, 0]], ids=["matrix", "vector"])
def test_solve_equals_scipy(method, b):
    found = op.solve(SPD, b, method=method, tol=1e-6)
    # The condition number, about 20, multiplies the residual.
    close(found, scipy.linalg.solve(wide(SPD), wide(b)), factor=30)


@DENSE_METHODS
def test_the_derivative_is_implicit(method, x64):
    def solution(a, b):
        return op.solve(a @ a.T, b, method=method, tol=1e-13)

    order = 1 if method == "gmres" else 2  # which takes long to compile
    check_grads(jax.jit(solution), doubles(A, B[:, 0]), order=order, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", ["auto", "cg"])
def test_a_function_is_solved_and_what_it_closes_over_differentiated(method, x64):
    spd, b = doubles(SPD, B[:, 0])

    def solution(spd, b):
        return op.solve(lambda x: spd @ x, b, method=method, tol=1e-13)

    close(solution(spd, b), scipy.linalg.solve(spd, b), jnp.float64, factor=100)
    check_grads(
        jax.jit(lambda a, b: solution(a + a.T, b)), (spd / 2, b), order=1, rtol=1e-5, atol=1e-5
    )


def test_an_unsymmetric_function_is_transposed_for_its_gradient(x64):
    a, b = doubles(A, B[:, 0])
    slope = jax.jit(jax.grad(lambda b: jnp.sum(op.solve(lambda x: a @ x, b, tol=1e-13))))(b)
    close(slope, scipy.linalg.solve(a.T, np.ones(5)), jnp.float64, factor=100)


def test_a_pytree_is_solved():
    right = {"u": jnp.array([2.0, 4.0]), "v": jnp.array(3.0)}

    def solution(v):
        return op.solve(lambda x: jax.tree.map(lambda v: 2.0 * v, x), {**right, "v": v})

    close(solution(right["v"])["u"], [1.0, 2.0])
    close(solution(right["v"])["v"], 1.5)
    close(jax.grad(lambda v: solution(v)["v"])(right["v"]), 0.5)  # of one leaf alone


def test_a_start_saves_the_way_and_has_no_gradient():
    exact = jnp.linalg.solve(SPD, B[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = op.solve(SPD, B[:, 0], method="cg", x0=exact, max_iter=1)
    close(found, wide(exact), factor=10)
    slope = jax.grad(lambda x0: jnp.sum(op.solve(SPD, B[:, 0], method="cg", x0=x0)))(exact)
    assert not slope.any()


@DENSE_METHODS
def test_vmap_and_jit_of_solve(method):
    stack = jnp.stack([SPD, 2 * SPD])
    found = jax.jit(jax.vmap(lambda a: op.solve(a, B, method=method, tol=1e-6)))(stack)
    close(found[1], scipy.linalg.solve(wide(2 * SPD), wide(B)), factor=30)


@pytest.mark.parametrize("method", ["lu", "cholesky"])
def test_stacks_of_matrices(method):
    stack = jnp.stack([SPD, 2 * SPD])
    both = jnp.stack([B, -B])
    close(op.solve(stack, both, method=method), np.linalg.solve(wide(stack), wide(both)), factor=30)
    vectors = op.solve(stack, both[..., 0], method=method)
    close(vectors, np.linalg.solve(wide(stack), wide(both))[..., 0], factor=30)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
def test_low_precision_is_solved_in_float32(dtype):
    a, b = SPD.astype(dtype), B.astype(dtype)
    for method in ("lu", "cholesky", "cg"):
        found = op.solve(a, b, method=method)
        assert found.dtype == dtype
        close(found, scipy.linalg.solve(wide(a), wide(b)), dtype)


def test_complex_and_small_systems():
    a = jax.lax.complex(A, A.T)
    b = B.astype(jnp.complex64)
    close(op.solve(a, b), scipy.linalg.solve(wide(a), wide(b)), factor=100)
    close(
        op.solve(a, b[:, 0], method="gmres", tol=1e-6),
        scipy.linalg.solve(wide(a), wide(b[:, 0])),
        factor=100,
    )
    assert op.solve(jnp.array([[4.0]]), jnp.array([2.0])).tolist() == [0.5]
    assert op.solve(jnp.zeros((0, 0)), jnp.zeros(0)).shape == (0,)
    assert op.solve(A, jnp.zeros((5, 0))).shape == (5, 0)
    assert not op.solve(lambda x: 3.0 * x, jnp.zeros(4)).any()
    assert not jnp.isfinite(op.solve(jnp.zeros((2, 2)), jnp.ones(2))).any()


@pytest.mark.parametrize("method", ["cg", "gmres"])
def test_a_solution_not_reached_warns_with_its_residual_and_is_returned(method):
    hard = jnp.diag(jnp.logspace(0.0, 4.0, 30))
    right = jnp.ones(30)
    with pytest.warns(
        TesseraWarning, match=rf"solve: {method} has not converged: \|b - A x\| is"
    ) as caught:
        found = op.solve(hard, right, method=method, max_iter=2)
    residual = np.linalg.norm(wide(right) - wide(hard) @ wide(found))
    assert f"{residual:.2g}"[:2] in str(caught[0].message)
    assert jnp.all(jnp.isfinite(found))


def test_the_warning_comes_from_a_compiled_program_when_it_runs():
    run = jax.jit(lambda d: op.solve(lambda x: d * x, jnp.ones(30), method="cg", max_iter=2))
    finished(run, jnp.ones(30))
    with pytest.warns(TesseraWarning, match="solve: cg has not converged"):
        finished(run, jnp.logspace(0.0, 4.0, 30))


def test_direct_solutions_can_be_exported():
    exported = jax.export.export(jax.jit(op.solve))(A, B)
    loaded = jax.export.deserialize(exported.serialize())
    close(loaded.call(A, B), wide(op.solve(A, B)))


def test_solve_refuses():
    refused(
        Code.E_GRAPH_INVALID, "unknown method 'qr'; one of auto, lu", op.solve, A, B, method="qr"
    )
    refused(Code.E_GRAPH_INVALID, "'lu' needs a matrix", op.solve, lambda x: x, B, method="lu")
    refused(Code.E_SHAPE_MISMATCH, r"A has shape \(5, 5\) but b \(2, 5\)", op.solve, A, B.T)
    refused(Code.E_SHAPE_MISMATCH, "not that of a square matrix", op.solve, B, B)
    refused(Code.E_SHAPE_MISMATCH, "'cg' takes one matrix", op.solve, A[None], B[None], method="cg")
    refused(
        Code.E_SHAPE_MISMATCH,
        r"makes float32\[3\] of float32\[5, 2\]",
        op.solve,
        lambda x: jnp.ones(3),
        B,
    )
    refused(Code.E_SHAPE_MISMATCH, "x0 is", op.solve, lambda x: x, B, x0=jnp.ones(3))
    refused(Code.E_TARGET_CODEGEN, "'b' is int32", op.solve, A, jnp.ones(5, jnp.int32))
    refused(Code.E_GRAPH_INVALID, "max_iter 0", op.solve, lambda x: x, B, max_iter=0)
    refused(Code.E_GRAPH_INVALID, "tol is 'fine'", op.solve, lambda x: x, B, tol="fine")
    refused(Code.E_GRAPH_INVALID, "holds no array", op.solve, lambda x: x, ())


# -- fixed_point --------------------------------------------------------------------------------------------


def test_a_fixed_point_and_its_derivatives_to_second_order(x64):
    def square_root(a):
        return op.fixed_point(lambda x: (x + a / x) / 2, jnp.ones_like(a), tol=1e-14)

    a = jnp.array([4.0, 2.0, 0.25])
    close(square_root(a), np.sqrt(wide(a)), jnp.float64)
    close(
        jax.jit(jax.grad(lambda a: jnp.sum(square_root(a))))(a),
        0.5 / np.sqrt(wide(a)),
        jnp.float64,
        10,
    )
    close(jax.jacfwd(jax.grad(square_root))(4.0), -0.25 * 4.0**-1.5, jnp.float64, 100)


def test_the_gradient_is_implicit_and_equals_finite_differences(x64):
    w, b = doubles(A / 20, B[:, 0])

    def layer(w, b):
        return op.fixed_point(lambda x: jnp.tanh(w @ x + b), jnp.zeros(5), tol=1e-14)

    check_grads(jax.jit(layer), (w, b), order=1, modes=("rev",), rtol=1e-5, atol=1e-5)
    jacobian = (1 - wide(layer(w, b)) ** 2)[:, None] * wide(w)
    expected = np.linalg.solve(np.eye(5) - jacobian, np.diag(1 - wide(layer(w, b)) ** 2))
    close(jax.jacrev(layer, 1)(w, b), expected, jnp.float64, 100)


def test_the_backward_does_not_grow_with_the_number_of_steps():
    def program(most):
        loss = jax.grad(
            lambda a: op.fixed_point(lambda x: jnp.cos(a * x), jnp.array(1.0), max_iter=most)
        )
        return len(jax.jit(loss).lower(0.5).as_text())

    assert abs(program(10) - program(1000)) < 100  # digits of the two limits
    whole = str(
        jax.make_jaxpr(jax.grad(lambda a: op.fixed_point(lambda x: jnp.cos(a * x), 1.0)))(0.5)
    )
    assert "scan" not in whole  # a loop that is differentiated through


def test_the_start_has_no_gradient():
    slope = jax.grad(lambda x0: op.fixed_point(lambda x: x / 2 + 1.0, x0))(jnp.array(5.0))
    assert slope == 0.0


def test_a_fixed_point_of_a_pytree_under_vmap_and_jit():
    def pair(a):
        def f(x):
            return {"u": (x["u"] + a / x["u"]) / 2, "v": x["u"][None] * 2.0}

        return op.fixed_point(f, {"u": jnp.array(1.0), "v": jnp.ones(1)})

    found = jax.jit(jax.vmap(pair))(jnp.array([4.0, 9.0]))
    close(found["u"], [2.0, 3.0])
    close(found["v"], [[4.0], [6.0]])
    slope = jax.vmap(jax.grad(lambda a: pair(a)["u"] + pair(a)["v"][0]))(jnp.array([4.0, 9.0]))
    close(slope, [0.75, 0.5], factor=10)


def test_a_fixed_point_inside_shard_map():
    mesh = jax.make_mesh((4,), ("dp",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("dp")

    def local(a):
        return op.solve(lambda x: 2.0 * x, op.fixed_point(lambda x: (x + a / x) / 2, jnp.ones(2)))

    a = jnp.arange(1.0, 9.0)
    mapped = jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
    found = jax.jit(mapped)(a)
    close(found, np.sqrt(wide(a)) / 2, factor=10)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
def test_a_fixed_point_keeps_its_dtype(dtype):
    found = op.fixed_point(lambda x: x / 4 + 3, jnp.zeros(2, dtype))
    assert found.dtype == dtype
    close(found, [4.0, 4.0], dtype)


def test_a_fixed_point_not_reached_warns_and_is_returned():
    with pytest.warns(
        TesseraWarning,
        match="fixed_point: x has not settled within 3 steps: f moves it by 1, above",
    ):
        assert op.fixed_point(lambda x: x + 1.0, jnp.array(0.0), max_iter=3) == 3.0
    with pytest.warns(TesseraWarning, match="f moves it by nan"):
        assert jnp.isnan(op.fixed_point(lambda x: jnp.log(-x), jnp.array(1.0)))
    compiled = jax.jit(lambda x0: op.fixed_point(lambda x: x + 1.0, x0, max_iter=3))
    with pytest.warns(TesseraWarning, match="has not settled within 3 steps"):
        finished(compiled, jnp.array(0.0))


def test_fixed_point_refuses():
    refused(Code.E_GRAPH_INVALID, "f is a int, not a function", op.fixed_point, 3, 1.0)
    refused(
        Code.E_SHAPE_MISMATCH,
        r"f makes float32\[2\] of float32\[\]",
        op.fixed_point,
        lambda x: x * jnp.ones(2),
        1.0,
    )
    refused(Code.E_SHAPE_MISMATCH, "f makes", op.fixed_point, lambda x: (x, x), 1.0)
    refused(Code.E_TARGET_CODEGEN, "'x0' is int32", op.fixed_point, lambda x: x, 1)
    refused(Code.E_GRAPH_INVALID, "tol is -1", op.fixed_point, lambda x: x, 1.0, tol=-1)


# -- poisson and helmholtz ----------------------------------------------------------------------------------


def box(bc, sizes, lengths):
    """A wave on the grid that fulfils the boundary condition, and its Laplacian."""
    points = [
        length * (np.arange(n) / n if bc == "periodic" else (np.arange(n) + 1) / (n + 1))
        for n, length in zip(sizes, lengths, strict=True)
    ]
    grid = np.meshgrid(*points, indexing="ij")
    waves = [
        (2 if bc == "periodic" else 1) * np.pi * (i + 1) / length
        for i, length in enumerate(lengths)
    ]
    u = np.prod([np.sin(k * x) for k, x in zip(waves, grid, strict=True)], axis=0)
    return u, -sum(k**2 for k in waves) * u


BOXES = [((9,), (2.0,)), ((8,), (1.0,)), ((8, 9), (1.0, 3.0)), ((7, 8, 10), (1.0, 2.0, 3.0))]


@pytest.mark.parametrize("bc", ["periodic", "dirichlet"])
@pytest.mark.parametrize(("sizes", "lengths"), BOXES, ids=str)
def test_poisson_and_helmholtz_are_exact_on_waves(bc, sizes, lengths, x64):
    u, laplacian = (jnp.asarray(v) for v in box(bc, sizes, lengths))
    solve = jax.jit(lambda rhs: op.poisson(rhs, domain=lengths, bc=bc))
    close(solve(laplacian), u, jnp.float64, factor=10)
    applied = op.helmholtz(u, 1.5, domain=lengths, bc=bc)
    close(applied, laplacian + 2.25 * u, jnp.float64, factor=1000)  # of numbers up to 200


def test_dirichlet_converges_to_a_solution_that_is_no_wave(x64):
    x = (np.arange(255) + 1) / 256
    found = op.poisson(jnp.asarray(np.full(255, 2.0)), domain=1.0, bc="dirichlet")
    np.testing.assert_allclose(found, x * (x - 1), atol=1e-5)  # the sine series converges with h^2


@pytest.mark.parametrize("n", [1, 2, 7, 8])
@pytest.mark.parametrize("bc", ["periodic", "dirichlet"])
def test_helmholtz_inverts_poisson(n, bc, x64):
    rhs = jnp.asarray(RANDOM.normal(size=(3, n)))
    u = op.poisson(rhs, domain=(2.0,), bc=bc)
    mean = rhs.mean(axis=-1, keepdims=True) if bc == "periodic" else 0.0
    close(op.helmholtz(u, 0.0, domain=(2.0,), bc=bc), wide(rhs - mean), jnp.float64, factor=10)
    if bc == "periodic":
        close(u.mean(axis=-1), np.zeros(3), jnp.float64)


@pytest.mark.parametrize("bc", ["periodic", "dirichlet"])
def test_they_are_linear_and_self_adjoint(bc, x64):
    with jax.enable_x64(True):
        u, v = (jnp.asarray(RANDOM.normal(size=(6, 7))) for _ in range(2))
        for apply in (
            lambda x: op.poisson(x, domain=(1.0, 2.0), bc=bc),
            lambda x: op.helmholtz(x, 2.0, domain=(1.0, 2.0), bc=bc),
        ):
            close(jnp.vdot(apply(u), v), wide(jnp.vdot(u, apply(v))), jnp.float64, factor=1000)
            close(jax.vjp(apply, u)[1](v)[0], wide(apply(v)), jnp.float64, factor=1000)


@pytest.mark.parametrize("bc", ["periodic", "dirichlet"])
def test_one_length_for_every_axis_batches_and_complex_values(bc):
    rhs = jnp.asarray(RANDOM.normal(size=(2, 6, 5)), jnp.float32)
    cube = op.poisson(rhs, domain=1.0, bc=bc)
    close(cube, wide(op.poisson(rhs, domain=(1.0, 1.0, 1.0), bc=bc)))
    batch = op.poisson(rhs, domain=(1.0, 2.0), bc=bc)
    close(jax.vmap(lambda r: op.poisson(r, domain=(1.0, 2.0), bc=bc))(rhs), wide(batch), factor=10)
    both = op.poisson(jax.lax.complex(rhs, 2 * rhs), domain=(1.0, 2.0), bc=bc)
    close(both, wide(batch) * (1 + 2j), factor=10)
    assert op.poisson(jnp.zeros((0, 4)), domain=(1.0,), bc=bc).shape == (0, 4)
    assert op.helmholtz(jnp.zeros((3, 0)), 1.0, domain=(1.0,), bc=bc).shape == (3, 0)


def test_k_may_be_traced_or_complex():
    u = jnp.asarray(RANDOM.normal(size=8), jnp.float32)
    slope = jax.grad(lambda k: jnp.sum(op.helmholtz(u, k, domain=1.0)))(3.0)
    close(slope, 6.0 * wide(u).sum(), factor=100)
    z = u.astype(jnp.complex64)
    close(
        op.helmholtz(z, 1j, domain=100.0),
        wide(op.helmholtz(u, 0.0, domain=100.0)) - wide(u),
        factor=10,
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
@pytest.mark.parametrize("bc", ["periodic", "dirichlet"])
def test_low_precision_is_transformed_in_float32(dtype, bc):
    rhs = jnp.asarray(RANDOM.normal(size=(6, 7)), dtype)
    for apply in (op.poisson, lambda x, **keywords: op.helmholtz(x, 2.0, **keywords)):
        found = apply(rhs, domain=3.0, bc=bc)
        assert found.dtype == dtype
        close(found, wide(apply(rhs.astype(jnp.float32), domain=3.0, bc=bc)), dtype)


def test_poisson_and_helmholtz_refuse():
    u = jnp.ones((4, 4))
    refused(
        Code.E_GRAPH_INVALID,
        "unknown bc 'neumann'; one of periodic, dirichlet",
        op.poisson,
        u,
        domain=1.0,
        bc="neumann",
    )
    refused(Code.E_GRAPH_INVALID, "not positive lengths", op.poisson, u, domain=(1.0, 0.0))
    refused(Code.E_GRAPH_INVALID, "a length of the domain is 'x'", op.poisson, u, domain=("x",))
    refused(
        Code.E_SHAPE_MISMATCH,
        "rhs has shape .* domain has 3 lengths",
        op.poisson,
        u,
        domain=(1, 1, 1),
    )
    refused(Code.E_SHAPE_MISMATCH, "domain has 0 lengths", op.poisson, 1.0, domain=1.0)
    refused(Code.E_TARGET_CODEGEN, "'rhs' is int32", op.poisson, jnp.ones(4, jnp.int32), domain=1.0)
    refused(Code.E_SHAPE_MISMATCH, "k has shape", op.helmholtz, u, jnp.ones(2), domain=1.0)
    refused(Code.E_GRAPH_INVALID, "k is complex64 but X float32", op.helmholtz, u, 1j, domain=1.0)
