"""A sine or cosine becomes an op where the op is faster, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_text import assert_golden
from jax import lax
from raising import CPU, names, raised, raised_with_records, run

from tessera.core.numerics import tolerance
from tessera.lowering.idioms.trigonometry import TRIGONOMETRY

LARGE = (128, 128)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sin": jnp.sin,
    "cos": jnp.cos,
    "tan": jnp.tan,
    "asin": lambda x: jnp.arcsin(x / 100),
    "acos": lambda x: jnp.arccos(x / 100),
    "atan2": lambda x: jnp.arctan2(x, x[::-1]),
    "cbrt": jnp.cbrt,
}
EXACT: dict[str, Callable[..., Any]] = {
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": lambda x: np.arcsin(x / 100),
    "acos": lambda x: np.arccos(x / 100),
    "atan2": lambda x: np.arctan2(x, x[::-1]),
    "cbrt": np.cbrt,
}


def _x(*shape: int) -> jax.Array:
    return 20 * jax.random.normal(jax.random.key(0), shape)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_a_large_array_it_becomes_an_op(name: str) -> None:
    x = _x(*LARGE)
    module = raised(FUNCTIONS[name], x, rules=[TRIGONOMETRY])
    assert names(module).count(f"tessera.graph.{name}") == 1
    assert f"jax.{name}" not in names(module)
    exact = EXACT[name](np.asarray(x, np.float64))
    np.testing.assert_allclose(run(module, x), exact, *tolerance(jnp.float32))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_its_gradient_is_that_of_the_original(name: str) -> None:
    x = _x(*LARGE)
    module = raised(FUNCTIONS[name], x, rules=[TRIGONOMETRY])
    ours = jax.grad(lambda x: jnp.sum(jnp.square(run(module, x))))(x)
    theirs = jax.grad(lambda x: jnp.sum(jnp.square(FUNCTIONS[name](x))))(x)
    np.testing.assert_allclose(ours, theirs, *tolerance(jnp.float32))


@pytest.mark.parametrize("wrap", [jax.jit, jax.vmap, jax.checkpoint], ids=lambda f: f.__name__)
def test_under_a_transformation_it_becomes_an_op(wrap: Callable[..., Any]) -> None:
    module = raised(wrap(jnp.sin), _x(*LARGE), rules=[TRIGONOMETRY])
    assert names(module).count("tessera.graph.sin") == 1


def test_in_a_scan_the_size_of_one_step_counts() -> None:
    def over_rows(x: jax.Array) -> jax.Array:
        return lax.scan(lambda c, row: (c, jnp.sin(row)), 0.0, x)[1]

    small = raised(over_rows, _x(128, 128), rules=[TRIGONOMETRY])
    large = raised(over_rows, _x(2, 16384), rules=[TRIGONOMETRY])
    assert "jax.sin" in names(small)
    assert "tessera.graph.sin" in names(large)


@pytest.mark.parametrize("shape", [(), (16,), (8191,)])
def test_of_a_small_array_it_stays(shape: tuple[int, ...]) -> None:
    module, records = raised_with_records(jnp.sin, _x(*shape), rules=[TRIGONOMETRY])
    assert "jax.sin" in names(module)
    assert not records


def test_of_doubles_it_stays(x64: None) -> None:
    module = raised(jnp.sin, _x(*LARGE).astype(jnp.float64), rules=[TRIGONOMETRY])
    assert "jax.sin" in names(module)


def test_of_complex_numbers_it_stays() -> None:
    module = raised(jnp.sin, lax.complex(_x(*LARGE), _x(*LARGE)), rules=[TRIGONOMETRY])
    assert "jax.sin" in names(module)


def test_on_a_platform_without_a_faster_one_it_stays() -> None:
    cuda = replace(CPU, platform="cuda")
    module, _ = raised_with_records(jnp.sin, _x(*LARGE), rules=[TRIGONOMETRY], device=cuda)
    assert "jax.sin" in names(module)


def test_infinities_and_huge_values_give_what_jax_gives() -> None:
    x = _x(*LARGE).at[0, :4].set(jnp.array([jnp.inf, -jnp.inf, jnp.nan, 1e8]))
    module = raised(jnp.sin, x, rules=[TRIGONOMETRY])
    np.testing.assert_allclose(run(module, x), jnp.sin(x), *tolerance(jnp.float32))


def test_the_raised_text() -> None:
    def wave(x: jax.Array) -> jax.Array:
        return jnp.sin(x) + 2.0 * jnp.cos(x)

    text = str(raised(wave, _x(*LARGE), rules=[TRIGONOMETRY]))
    assert_golden(text, "idioms/trigonometry.by_hand.mlir")
