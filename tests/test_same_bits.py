"""The same bits in every run and on every kind of device, as `numerics` checks them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import numerics, op
from tessera.core.errors import CompileError
from tessera.core.op import registered_ops
from tessera.numerics import same_bits

X = jnp.asarray(np.random.default_rng(0).standard_normal((4, 24)), jnp.float32)


def test_the_bits_of_a_function_are_the_same_in_every_run():
    found = numerics.check_determinism(lambda x: {"y": op.softmax(x), "n": 3}, X, runs=3)
    assert found.equal
    assert len(found.digests) == found.runs == 3
    assert found.differs == ""


def test_a_result_that_differs_is_named():
    count = itertools.count()
    found = numerics.check_determinism(lambda x: {"same": x, "other": x + next(count)}, X, runs=2)
    assert not found.equal
    assert found.differs == "['other']"


def test_one_run_compares_nothing():
    with pytest.raises(CompileError, match="runs is 1; a comparison needs at least 2"):
        numerics.check_determinism(jnp.sum, X, runs=1)


@pytest.mark.slow
@pytest.mark.parametrize("one", registered_ops(), ids=lambda one: one.name)
def test_every_registered_op_gives_its_bits_again(one):
    sample = one.samples[0]
    operands = sample.make(jax.random.key(1))
    arrays = [x for x in operands if x is not None]

    def run(*given):
        rest = iter(given)
        live = (None if x is None else next(rest) for x in operands)
        return one.bind(*live, **sample.statics)

    with numerics.deterministic("deterministic"):
        assert numerics.check_determinism(run, *arrays, runs=2).equal


def test_backends_that_are_not_there_are_skipped():
    found = numerics.validate_cross_hardware(op.softmax, X)
    assert found.outcomes == {"cpu": "reference", "ptx": "skipped", "rocm": "skipped"}
    assert found.passed
    assert "bit for bit" in str(found)


def test_backends_are_compared_by_bits_or_by_tolerance(monkeypatch):
    """Two devices of this machine stand for two kinds."""
    devices = {"cpu": jax.devices()[0], "cuda": jax.devices()[1]}
    monkeypatch.setattr(same_bits, "_device", devices.get)
    found = numerics.validate_cross_hardware(op.softmax, X)
    assert found.outcomes == {"cpu": "reference", "ptx": "equal", "rocm": "skipped"}
    assert numerics.validate_cross_hardware(jnp.fft.fft, X.astype(complex), level="D1").passed


def test_what_differs_is_named_and_small_differences_pass_a_tolerance():
    one, other = np.float32([1.0, 2.0]), np.float32([1.0, 2.0000002])
    path = [(jax.tree_util.DictKey("y"),)]
    assert same_bits._first_difference(path, [one], [other]) == "['y']"
    assert same_bits._first_difference(path, [one], [other], by_bits=False) == ""
    assert same_bits._first_difference(path, [one], [2 * other], by_bits=False) == "['y']"


def test_an_unknown_backend_is_refused():
    with pytest.raises(CompileError, match="unknown backend 'tpu'; one of cpu, ptx"):
        numerics.validate_cross_hardware(jnp.exp, X, backends=["tpu"])
