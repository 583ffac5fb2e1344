"""Programs for given arguments: saved and loaded, listed, checked, printed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from tessera import graph, ir, op
from tessera.core.errors import Code, CompileError, LaunchError
from tessera.core.numerics import tolerance

RTOL, ATOL = tolerance(jnp.float32)


def predict(params, x):
    return {"y": op.relu(op.matmul(x, params["w"]) + params["b"]), "n": x.sum()}


def operands(rows=2):
    params = {"w": jnp.arange(6.0).reshape(3, 2) - 2, "b": jnp.ones((1, 2))}
    return params, jnp.linspace(-1.0, 1.0, 3 * rows).reshape(rows, 3)


def exact(params, x):
    w, b, x = (np.asarray(a, np.float64) for a in (params["w"], params["b"], x))
    return np.maximum(x @ w + b, 0)


@graph.kernel
def gemm(A, B, C):
    C[:] = op.matmul(A, B)


def test_a_program_survives_its_file(tmp_path):
    artifact = graph.compile(lambda p, x: op.matmul(x, p["w"]), *operands())
    loaded = graph.load_module(artifact.save(tmp_path / "f.tsr"))
    np.testing.assert_array_equal(loaded(*operands()), artifact(*operands()))
    np.testing.assert_array_equal(graph.forward(loaded, operands()), artifact(*operands()))


def test_a_symbolic_batch_survives_the_file(tmp_path):
    params, _ = operands()
    (rows,) = export.symbolic_shape("rows")
    types = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), params)
    x = jax.ShapeDtypeStruct((rows, 3), jnp.float32)
    path = graph.compile(lambda p, x: op.matmul(x, p["w"]), types, x).save(tmp_path / "f.tsr")
    loaded = graph.load_module(path)
    for count in (1, 2, 5):
        x = operands(count)[1]
        expected = np.asarray(x, np.float64) @ np.asarray(params["w"], np.float64)
        np.testing.assert_allclose(loaded(params, x), expected, RTOL, ATOL)


def test_modules_and_steps_can_be_kept(tmp_path):
    step = graph.training_step(lambda w, x: jnp.sum((w * x) ** 2))
    w, x = jnp.ones(3), jnp.arange(3.0)
    loaded = graph.load_module(graph.compile(step, w, x).save(tmp_path / "step.tsr"))
    gradient, metrics = loaded(w, x)
    assert gradient.tolist() == [0.0, 2.0, 8.0]
    assert metrics == {"loss": 5.0}


def test_a_program_of_another_signature_is_refused(tmp_path):
    path = graph.compile(jnp.sin, jnp.ones(2)).save(tmp_path / "f.tsr")
    with pytest.raises(LaunchError) as caught:
        graph.load_module(path)(jnp.ones(3))
    assert caught.value.code is Code.E_LAUNCH_INVALID_SHAPE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LaunchError) as caught:
        graph.load_module(path)
    assert caught.value.code is Code.E_CACHE_IO


def test_an_artifact_is_callable_and_can_be_looked_at():
    artifact = graph.compile(predict, *operands())
    assert artifact.lowered is None
    assert "stablehlo.dot_general" in artifact.lower().lowered.as_text()
    assert "tessera.graph.matmul" in artifact.inspect("graph")
    assert len(artifact.explain().groups) >= 1
    np.testing.assert_allclose(artifact(*operands(5))["y"], exact(*operands(5)), RTOL, ATOL)


def test_mlir_is_written_to_a_file(tmp_path):
    path = graph.export_mlir(predict, operands(), tmp_path / "f.mlir")
    assert "stablehlo.dot_general" in path.read_text()
    ir.parse(graph.export_mlir(predict, operands(), tmp_path / "g.mlir", "graph").read_text())


def test_every_level_of_ours_can_be_dumped_and_parsed():
    for level in ("captured", "graph", "schedule"):
        text = graph.dump_ir(predict, *operands(), level=level)
        assert ir.to_text(ir.parse(text)) == text
        assert text in graph.dump_ir(predict, *operands())


def test_a_kernel_is_shown_as_itself():
    A, B = jnp.ones((2, 3)), jnp.ones((3, 4))
    text = graph.dump_ir(gemm, A, B, jax.ShapeDtypeStruct((2, 4), jnp.float32), level="graph")
    assert "@gemm(%A: tensor<2x3xf32>, %B: tensor<3x4xf32>)" in text
    assert len(graph.explain(gemm, A, B, jnp.ones((2, 4))).groups) == 1


def test_a_trace_lists_operators_with_what_they_use():
    def looping(x):
        y, ys = jax.lax.scan(lambda c, a: (jnp.sin(c) + a, c), x[0], x)
        return jnp.tanh(y) + ys.sum()

    lines = str(graph.trace(looping, jnp.ones((3, 2)))).splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == list(range(len(lines)))
    scan = next(line for line in lines if "jax.scan" in line)
    (tanh,) = (line for line in lines if "jax.tanh" in line)
    assert f" {scan.split()[0]}.0 " in tanh
    inner = [line for line in lines if line.startswith("  ")]
    assert any("jax.sin" in line for line in inner)


def test_a_trace_prints(capsys):
    graph.trace(predict, *operands()).print()
    assert "tessera.graph.matmul" in capsys.readouterr().out


def test_check_finds_nothing_in_a_good_function_and_the_error_in_a_bad_one():
    params, x = operands()
    assert graph.check(predict, params, x) == []
    (error,) = graph.check(predict, params, x.T)
    assert isinstance(error, CompileError)
    assert error.code is Code.E_SHAPE_MISMATCH
    assert [e.code for e in graph.check(gemm, x, params["w"], jnp.ones((5, 5)))] == [
        Code.E_SHAPE_MISMATCH
    ]


def test_only_functions_are_compiled():
    with pytest.raises(CompileError):
        graph.compile(3)
