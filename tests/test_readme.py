"""The code a reader meets first runs as written, in a fresh interpreter with warnings as errors."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EIGHT_DEVICES = "--xla_force_host_platform_device_count=8"  # as the README says to simulate them


def python_blocks(name: str) -> list[str]:
    """Returns the Python blocks of a document, without the indentation they have in it."""
    text = (ROOT / name).read_text()
    found = re.findall(r"^ *```python\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in found]


def run(program: str, directory: Path) -> None:
    """Runs a program from a file, as a reader would."""
    script = directory / "example.py"
    script.write_text(program)
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": EIGHT_DEVICES}
    done = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("index", range(8))
def test_a_readme_block_runs(index, tmp_path):
    run(python_blocks("README.md")[index], tmp_path)


def test_the_blocks_above_are_all_there_are():
    assert len(python_blocks("README.md")) == 8


def test_the_blocks_of_the_numerics_guide_are_one_program_that_runs(tmp_path):
    run("\n".join(python_blocks("docs/numerics.md")), tmp_path)


@pytest.mark.newest
def test_the_blocks_of_the_physics_guide_are_one_program_that_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it writes a checkpoint
    run("\n".join(python_blocks("docs/physics.md")), tmp_path)


@pytest.mark.slow
def test_the_elastic_example_ends_with_the_same_bits_whether_the_mesh_changes_or_not(tmp_path):
    def digest(*arguments: str) -> str:
        script = ROOT / "examples" / "elastic_bitwise.py"
        done = subprocess.run(
            [sys.executable, "-W", "error", script, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split(": ")[1]

    half = digest("--devices", "8", "--steps", "4", "--save", "half.npz")
    changed = digest("--devices", "2", "--steps", "4", "--load", "half.npz")
    assert changed == digest("--devices", "1", "--steps", "8") != half


def test_the_op_of_the_contributing_guide_is_an_op_with_a_true_example(tmp_path):
    (op,) = python_blocks("CONTRIBUTING.md")
    check = (
        "import doctest\n"
        "tests = doctest.DocTestFinder().find(softsign, 'softsign', globs=globals())\n"
        "results = [doctest.DocTestRunner().run(test) for test in tests]\n"
        "assert sum(r.attempted for r in results) == 2 and not any(r.failed for r in results)\n"
        "point = jnp.array([0.5, -2.0])\n"
        "expected = 1 / (1 + jnp.abs(point)) ** 2\n"
        "found = jax.grad(lambda x: jnp.sum(softsign(x)))(point)\n"
        "assert jnp.allclose(found, expected)\n"
    )
    run(op + check, tmp_path)
