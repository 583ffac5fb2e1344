"""The graph and the schedule of programs users write, as text: what a reader of this folder sees."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import stock_models
from golden_text import assert_golden
from raising import CPU

import tessera as ts
from tessera.ir import parse, to_text
from tessera.runtime import peaks

Model = tuple[Callable[..., Any], tuple[Any, ...]]


def readme_pipeline() -> Model:
    def pipeline(x):
        return ts.op.pipeline([ts.op.matmul(x, x.T), ts.op.relu, ts.op.layernorm])

    return pipeline, (jnp.ones((1024, 1024)),)


def dense_relu() -> Model:
    def dense(x, w, b):
        return jax.nn.relu(x @ w + b[None])

    return dense, (jnp.ones((32, 64)), jnp.ones((64, 16)), jnp.ones(16))


PROGRAMS: dict[str, Callable[[], Model]] = {
    "readme_pipeline": readme_pipeline,
    "dense_relu": dense_relu,
    "flax_block": lambda: stock_models.flax_block(512, 1, 64),
    "equinox_block": lambda: stock_models.equinox_block(512, 1, 64),
    "fno": lambda: stock_models.fno("small"),
    "pinn": lambda: stock_models.pinn("small"),
    "moe": lambda: stock_models.moe("small"),
}
LANE = "jax-0.10" if jax.__version__.startswith("0.10") else "jax-0.12"


@pytest.mark.parametrize("level", ["graph", "schedule"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_text_of_a_program_is_as_written_down(name, level, monkeypatch):
    # Times must not depend on the machine.
    monkeypatch.setattr(peaks, "device", lambda target=None: CPU)
    function, args = PROGRAMS[name]()
    text = ts.inspect(function, level, *args)
    assert to_text(parse(text)) == text
    # JAX traces its own functions differently from version to version.
    assert_golden(text, f"programs/{LANE}/{name}.{level}.mlir")
