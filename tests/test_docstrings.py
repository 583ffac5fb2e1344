"""Every example in a docstring gives what it shows."""

import doctest
import importlib
import pkgutil

import pytest

import tessera
from tessera.core.op import registered_ops

NAMES = [
    module.name
    for module in pkgutil.walk_packages(tessera.__path__, "tessera.")
    if module.name != "tessera.op"  # the second name of tessera.ops
]


def examples_of(name: str) -> list[doctest.DocTest]:
    """Returns the examples of a module, of its functions and classes, and of the ops it defines."""
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    ops = [op for op in registered_ops() if op.reference.__module__ == name]
    # An op is neither a function nor a class, so doctest does not look at it by itself.
    of_ops = [t for op in ops for t in finder.find(op, op.name, module, vars(module))]
    return finder.find(module, name) + of_ops


@pytest.mark.parametrize("name", ["tessera", *NAMES])
def test_examples_in_docstrings_hold(name):
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for example in examples_of(name):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
