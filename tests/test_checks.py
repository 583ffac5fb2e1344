"""`ts.checks`: indices that only a running program knows are checked when that is asked for."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import tessera as ts
from tessera import op
from tessera.core.errors import Code, TesseraError

X = jnp.arange(12.0).reshape(4, 3)
ROWS = jnp.array([0, 3, 9, 1])


def gathered(indices):
    return op.gather(X, indices)


def summed(ids):
    return op.segment_reduce(X, ids, num_segments=4)


def loss(labels):
    return op.cross_entropy(jnp.zeros((4, 4)), labels)


def refused(function, *args):
    with pytest.raises(TesseraError) as caught, ts.checks():
        function(*args)
    assert caught.value.code is Code.E_ILLEGAL_ADDRESS
    return str(caught.value)


@pytest.mark.parametrize("function", [gathered, summed, loss])
def test_an_index_outside_is_an_error_under_jit_where_checks_are_on(function):
    compiled = jax.jit(function)
    assert "9 at" in refused(compiled, ROWS)
    assert compiled(ROWS).shape == function(ROWS % 4).shape  # the block leaves nothing behind


@pytest.mark.parametrize("function", [summed, loss])
def test_what_is_dropped_silently_is_an_error_eagerly_too(function):
    assert "9 at" in refused(function, ROWS)


def test_indices_inside_pass():
    with ts.checks():
        assert np.array_equal(jax.jit(gathered)(jnp.array([-4, 3])), X[np.array([0, 3])])
        assert np.isfinite(jax.jit(loss)(ROWS % 4))
        assert jax.jit(summed)(ROWS % 4).shape == (4, 3)


def test_a_label_that_is_ignored_may_be_anything():
    labels = jnp.array([0, -100, 2, 1])
    with ts.checks():
        assert np.isfinite(op.cross_entropy(X, labels, ignore_index=-100))
    assert "label -100 at (1,)" in refused(op.cross_entropy, X, labels)


def in_a_scan(indices):
    return jax.lax.scan(lambda n, i: (n, op.gather(X, i)), 0, indices)


@pytest.mark.parametrize(
    "function",
    [
        jax.jit(jax.vmap(gathered)),
        jax.jit(in_a_scan),
        jax.jit(lambda i: jax.grad(lambda x: op.gather(x, i).sum())(X)),
        jax.jit(jax.checkpoint(gathered)),
        ts.compile(gathered),
    ],
    ids=["vmap", "scan", "grad", "checkpoint", "compile"],
)
def test_checks_hold_inside_transformations(function):
    assert "index 9" in refused(function, ROWS)


def test_checks_hold_on_several_devices():
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(ROWS, NamedSharding(mesh, P("d")))
    assert "index 9 at 2" in refused(jax.jit(gathered), spread)


def test_blocks_nest_and_turn_checks_off():
    with ts.checks():
        with ts.checks(False):
            jax.jit(gathered)(ROWS)
        assert "index 9" in refused(jax.jit(gathered), ROWS)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.uint32])
def test_narrow_and_unsigned_indices_are_checked_as_the_numbers_they_are(dtype):
    wide = jnp.arange(300.0)
    with ts.checks():
        found = jax.jit(partial(op.gather, wide))(jnp.array([0, 127], dtype))
    assert found.tolist() == [0.0, 127.0]
    refused(jax.jit(partial(op.gather, wide[:100])), jnp.array([0, 127], dtype))


def test_an_error_of_the_block_itself_is_kept():
    def broken():
        jax.jit(gathered)(ROWS)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ts.checks():
        broken()
    with ts.checks():
        jax.jit(gathered)(ROWS % 4)


def test_a_variable_turns_them_on_for_a_process():
    program = """
import jax, jax.numpy as jnp
from tessera import op
try:
    jax.jit(op.gather)(jnp.arange(3.0), jnp.array([5])).block_until_ready()
except jax.errors.JaxRuntimeError as error:
    print("index 5 at 0" in str(error) and "E_ILLEGAL_ADDRESS" in str(error))
"""
    environment = {**os.environ, "TESSERA_KERNEL_ASSERT": "1", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "True", done.stderr
