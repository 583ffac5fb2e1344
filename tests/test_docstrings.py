"""Every example in a docstring gives what it shows, to the last digit shown."""

import doctest
import importlib
import pkgutil
import re

import pytest

import tessera

SECOND_NAMES = {"tessera.errors", "tessera.numerics", "tessera.op"}
MODULES = ["tessera"] + [
    module.name
    for module in pkgutil.walk_packages(tessera.__path__, "tessera.")
    if module.name not in SECOND_NAMES
]
DECIMAL = re.compile(r"([+-]?(?:\d+\.\d*|\.\d+)(?:e[+-]?\d+)?)")


class ShownDigits(doctest.OutputChecker):
    """Compares decimals to the digits of the example, and the rest exactly but for white space."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if super().check_output(want, got, optionflags):
            return True
        expected, found = DECIMAL.split(want), DECIMAL.split(got)
        return len(expected) == len(found) and all(map(same, expected, found))


def same(want: str, got: str) -> bool:
    """Returns whether two pieces of text agree: as decimals if both are, else letter by letter."""
    if not (DECIMAL.fullmatch(want) and DECIMAL.fullmatch(got)):
        return "".join(want.split()) == "".join(got.split())
    mantissa, _, exponent = want.partition("e")
    last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    # One unit in the last digit shown: compilers and versions round float32 sums differently.
    return abs(float(want) - float(got)) <= 1.01 * last_digit


@pytest.mark.newest  # what is in the examples has tests of its own on both
@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_hold(name):
    runner = doctest.DocTestRunner(ShownDigits(), optionflags=doctest.ELLIPSIS)
    # An op has the function it was made from under it, so doctest finds ops like functions.
    for example in doctest.DocTestFinder().find(importlib.import_module(name), name):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize(
    ("want", "got", "equal"),
    [
        ("[1.   0.51]", "[1.        0.5099999 ]", True),
        ("[1.25 2.75]", "[1.25 2.77]", False),
        ("1.39", "1.3863", True),
        ("1.37", "1.3863", False),
        ("2.0e-3", "0.00204", True),
        ("[1.0]", "[1.0, 2.0]", False),
        ("int32", "int64", False),
    ],
)
def test_numbers_are_compared_to_the_digits_shown(want, got, equal):
    assert ShownDigits().check_output(want, got, 0) == equal


OPS = sorted(name for name, value in vars(tessera.ops).items() if callable(value))


@pytest.mark.parametrize("name", OPS)
def test_every_public_op_has_an_example(name):
    assert ">>>" in (getattr(tessera.ops, name).__doc__ or "")
