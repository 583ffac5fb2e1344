"""`tessera inspect` and `tessera opt`: what they print and how they say what is wrong."""

import jax
import pytest
from typer.testing import CliRunner

import tessera as ts
from tessera import cli
from tessera.command import find_function, type_named
from tessera.core.errors import CompileError

PROGRAM = """
import jax.numpy as jnp

class Model:
    @staticmethod
    def energy(x, w):
        return jnp.sum(jnp.tanh(x @ w) ** 2)

size = 3
"""
TEXT = """\
%0 = "tessera.graph.matmul"(%A, %B) {accumulate="fp32"} \
: (tensor<64x32xf32>, tensor<32x16xf32>) -> tensor<64x16xf32>
%1 = jax.exp %0 : (tensor<64x16xf32>) -> tensor<64x16xf32>
%2 = jax.exp %0 : (tensor<64x16xf32>) -> tensor<64x16xf32>
%3 = jax.add %1, %2 : (tensor<64x16xf32>, tensor<64x16xf32>) -> tensor<64x16xf32>
"""


def invoke(*arguments: str, text: str | None = None):
    return CliRunner().invoke(cli.app, list(arguments), input=text)


@pytest.mark.parametrize(
    "level", ["jaxpr", "captured", "graph", "schedule", "tile", "stablehlo", "hlo"]
)
def test_every_level_of_a_function_is_printed(level):
    shown = invoke("inspect", "jax.nn:softmax", "--shape", "8x16:bf16", "--emit", level)
    assert shown.exit_code == 0, shown.exception
    kind = jax.ShapeDtypeStruct((8, 16), "bfloat16")
    if level in ("captured", "graph", "schedule", "tile"):
        assert shown.output.strip() == ts.inspect(jax.nn.softmax, level, kind).strip()
    assert "softmax" in shown.output or "exp" in shown.output


def test_explain_prints_the_table():
    shown = invoke("inspect", "jax.nn:softmax", "--shape", "8x16", "--emit", "explain")
    assert shown.exit_code == 0, shown.exception
    assert "softmax" in shown.output


def test_the_generic_form_is_mlir():
    shown = invoke("inspect", "jax.numpy:sin", "--shape", "scalar", "--generic")
    assert '"jax.sin"(%' in shown.output


def test_a_function_in_a_file_is_found(tmp_path):
    path = tmp_path / "model.py"
    path.write_text(PROGRAM)
    shown = invoke("inspect", f"{path}:Model.energy", "--shape", "4x8", "--shape", "8x2")
    assert shown.exit_code == 0, shown.exception
    assert "@energy(%x: tensor<4x8xf32>, %w: tensor<8x2xf32>)" in shown.output


def test_passes_run_over_a_file(tmp_path):
    path = tmp_path / "program.mlir"
    path.write_text(TEXT)
    shown = invoke("opt", str(path), "-p", "cse,dce,fuse,choose-configs")
    assert shown.exit_code == 0, shown.exception
    assert shown.output.count("jax.exp") == 1
    assert 'pattern = "matmul+exp+add"' in shown.output
    again = invoke("opt", "-", text=shown.output)
    assert again.output == shown.output


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("softmax", "does not say module:function"),
        ("jax.nn:softmaxx", "has no softmaxx"),
        ("no_such_module:f", "no module no_such_module"),
        ("nowhere.py:f", "no file nowhere.py"),
        ("jax.nn:__name__", "is a str, not a function"),
    ],
)
def test_a_function_that_is_not_there_is_explained(function, message):
    with pytest.raises(CompileError, match=message):
        find_function(function)


@pytest.mark.parametrize("text", ["8y", "x8", "", "8x", "-1"])
def test_a_word_that_is_no_type_is_explained(text):
    with pytest.raises(CompileError, match="is not a type"):
        type_named(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("32x16", "30x16"), r":1:1: tessera.graph.matmul: axis 'k' is 32"),
        (TEXT.replace("jax.add", "foo.add"), r":4:6: there is no op 'foo.add'"),
        (TEXT.replace("%1, %2", "%1 %2"), r":4:2\d: "),
        (TEXT.replace("graph.matmul", "graph.matmull"), r":1:\d+: .*matmull"),
    ],
)
def test_text_that_is_wrong_is_shown_with_line_and_column(tmp_path, text, message):
    path = tmp_path / "program.mlir"
    path.write_text(text)
    with pytest.raises(CompileError, match=message):
        raise invoke("opt", str(path), "-p", "cse").exception


def test_a_pass_that_needs_equations_is_refused_over_text(tmp_path):
    path = tmp_path / "program.mlir"
    path.write_text(TEXT)
    with pytest.raises(CompileError, match="pass 'softmax' rewrites equations"):
        raise invoke("opt", str(path), "-p", "cse,softmax").exception


def test_a_function_without_types_asks_for_them():
    with pytest.raises(CompileError, match="no type is given for x"):
        raise invoke("inspect", "jax.nn:softmax").exception


def test_a_missing_file_is_one_line_and_a_status():
    shown = invoke("opt", "nowhere.mlir")
    assert shown.exit_code == 2
    assert "no file nowhere.mlir" in shown.output
