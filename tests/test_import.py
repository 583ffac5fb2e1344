"""Importing Tessera is cheap, and its names are where the documentation says."""

import importlib
import subprocess
import sys

import pytest

import tessera

# Each takes longer to import than Tessera may add to `import jax`.
HEAVY = {"equinox", "hypothesis", "matplotlib", "optax", "pandas", "torch", "triton", "xdsl"}
COMMAND_LINE = {"rich", "typer"}
# What is compiled in JAX alone: loading the compiler, written in xdsl, is put off until one of these is used.
COMPILER = {"compile", "explain", "export_mlir", "graph", "inspect", "ir", "load", "tile"}
FUNCTIONS = {"checks"} | COMPILER - {"graph", "ir", "tile"}
LAYERS = {"nn", "pinn"}  # they are Equinox modules


def modules_loaded_by(code: str) -> set[str]:
    """Returns the top-level modules a fresh interpreter has loaded after running some code."""
    program = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_tessera_loads_nothing_heavy():
    loaded = modules_loaded_by("import tessera")
    assert not loaded & (HEAVY | COMMAND_LINE | {"jax", "numpy", "scipy"})


def test_using_every_public_name_loads_little_beside_jax():
    uses = "\n".join(f"tessera.{name}" for name in set(tessera.__all__) - COMPILER - LAYERS)
    added = modules_loaded_by(f"import tessera\n{uses}") - modules_loaded_by("import jax")
    assert not added & (HEAVY | COMMAND_LINE | {"scipy"})


def test_the_compiler_loads_its_dialects_and_nothing_else_that_is_heavy():
    uses = "\n".join(f"tessera.{name}" for name in sorted(COMPILER))
    added = modules_loaded_by(f"import tessera\n{uses}") - modules_loaded_by("import jax")
    assert not added & ((HEAVY | COMMAND_LINE | {"scipy"}) - {"rich", "xdsl"})


@pytest.mark.parametrize("name", tessera.__all__)
def test_every_public_name_exists_and_is_listed(name):
    assert getattr(tessera, name) is getattr(tessera, name)
    assert name in dir(tessera)


def test_op_and_ops_are_one_module_however_they_are_imported():
    from_package = modules_named("from tessera import op, ops")
    as_modules = modules_named("import tessera.op as op, tessera.ops as ops")
    short_first = modules_named("import tessera.op\nop = tessera.op\nops = tessera.ops")
    assert from_package == as_modules == short_first == "tessera.ops True"


def modules_named(code: str) -> str:
    """Returns, from a fresh interpreter, the name of `op` and whether `ops` is the same object."""
    program = f"{code}\nprint(op.__name__, op is ops)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", sorted(set(tessera.__all__) - FUNCTIONS))
def test_a_public_name_is_also_a_module_that_can_be_imported(name):
    assert importlib.import_module(f"tessera.{name}") is getattr(tessera, name)


def test_an_unknown_name_is_an_attribute_error_naming_it():
    with pytest.raises(AttributeError, match="no attribute 'opp'"):
        tessera.opp  # noqa: B018 - the access is the test
