"""What every test runs under, set before JAX starts: 8 simulated devices, strict promotion."""

from collections.abc import Iterator

import hypothesis
import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# The first example of a property compiles, so its time says nothing about the others.
hypothesis.settings.register_profile("tessera", deadline=None, max_examples=25)
hypothesis.settings.load_profile("tessera")


@pytest.fixture
def key() -> jax.Array:
    """Returns the same PRNG key for every test."""
    return jax.random.key(0)


@pytest.fixture
def x64() -> Iterator[None]:
    """Runs a test in 64-bit mode."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def compiled_quickly() -> Iterator[None]:
    """Runs a test with most of XLA's optimisations off: for what a rule says, not for the code made of it."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
