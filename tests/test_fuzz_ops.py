"""Every operator on random shapes, dtypes, layouts and arguments: refused by name, or right.

`FUZZ` has an entry for each. A call returns, or raises a `TesseraError` that names the op; what
returns has the shape, dtype and values that NumPy finds, and the shape that tracing predicts.
"""

import warnings
from types import ModuleType
from typing import Any

import fuzz_elements
import fuzz_equations
import fuzz_networks
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fuzz_source import Call, Entry, Operand, Shape, Source, UnsaidError
from hypothesis import HealthCheck

from tessera import op
from tessera.core import numerics
from tessera.core.errors import TesseraError

pytestmark = pytest.mark.newest

FUZZ = {**fuzz_elements.ENTRIES, **fuzz_networks.ENTRIES, **fuzz_equations.ENTRIES}

# Second names, which are the same objects.
CANONICAL = {
    "batchnorm": "batch_norm",
    "gated_ffn": "fused_mlp",
    "layer_norm": "layernorm",
    "mixture_of_experts": "moe",
    "moe_layer": "moe",
    "rms_norm": "rmsnorm",
    "pointwise_mul": "mul",
    "rotary": "rope",
    "sine": "sin",
    "max": "reduce_max",
    "mean": "reduce_mean",
    "min": "reduce_min",
    "prod": "reduce_prod",
    "sum": "reduce_sum",
    "rng_normal": "random_normal",
    "rng_uniform": "random_uniform",
}

NOT_FUZZED = {
    "all_reduce": "a collective over the devices of a mesh",
    "BSR": "a container, which the calls of bsmm make",
    "numeric": "makes a policy, of words alone",
    "Route": "a container, which the calls of moe_dispatch and moe_combine make",
    "router": "makes an object without arrays; its routes are fuzzed as moe and aux_loss",
}

PUBLIC = sorted(
    name
    for name, value in vars(op).items()
    if not name.startswith("_") and not isinstance(value, ModuleType)
)


@st.composite
def calls(draw: Any, entry: Entry) -> tuple[Source, Call]:
    source = Source(draw, entry.kind)
    return source, entry.case(source)


def is_operand(x: Any) -> bool:
    return isinstance(x, Operand)


def given(tree: Any) -> Any:
    return jax.tree.map(lambda x: x.given if is_operand(x) else x, tree, is_leaf=is_operand)


def operands(tree: Any) -> list[Operand]:
    return [x for x in jax.tree.leaves(tree, is_leaf=is_operand) if is_operand(x)]


def expected(call: Call) -> Any:
    """What a call should give; an exception if it should be refused; None if nothing is known."""
    if call.want is None:
        return None
    try:
        with np.errstate(all="ignore"):
            return call.want()
    except UnsaidError:
        return None
    except Exception as error:  # noqa: BLE001 - NumPy refuses in as many ways as it has functions
        return error


def run(name: str, entry: Entry, call: Call) -> Any:
    """What an op gives, or the error by which it refuses."""
    args, words = given((call.args, call.words))
    try:
        return (entry.run or getattr(op, name))(*args, **words)
    except TesseraError as error:
        return error


def traced(name: str, entry: Entry, call: Call) -> Any:
    """The types of the result when the arrays are traced."""
    arrays = [x for x in operands((call.args, call.words)) if x.layout != "python"]

    def function(*traced_arrays: Any) -> Any:
        rest = iter(traced_arrays)
        args, words = jax.tree.map(
            lambda x: (x.given if x.layout == "python" else next(rest)) if is_operand(x) else x,
            (call.args, call.words),
            is_leaf=is_operand,
        )
        return (entry.run or getattr(op, name))(*args, **words)

    return jax.eval_shape(function, *(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays))


def check(name: str, entry: Entry, source: Source, call: Call) -> None:
    want, found = expected(call), run(name, entry, call)
    if isinstance(found, TesseraError):
        named = any(word in found.message for word in (name, *entry.says))
        assert named, f"{name} is not named: {found.message}"
    if isinstance(want, Exception):
        assert isinstance(found, TesseraError) or source.foreign, f"not refused: {want!r}"
        return
    if isinstance(found, TesseraError):
        assert want is None or source.foreign, f"refused: {found}"
        return
    leaves = jax.tree.leaves(found)
    if entry.traces:
        foreseen = jax.tree.leaves(traced(name, entry, call))
        assert [(x.shape, x.dtype) for x in foreseen] == [(x.shape, x.dtype) for x in leaves]
    if source.mode in entry.finite:
        inputs = operands((call.args, call.words))
        if all(np.isfinite(x.value).all() for x in inputs) and not source.foreign:
            assert all(np.isfinite(np.asarray(x).astype(np.float64)).all() for x in leaves)
    if want is not None and not source.foreign:
        equal(entry, source, call, leaves, jax.tree.leaves(want, is_leaf=is_shape))


def is_shape(x: Any) -> bool:
    return isinstance(x, Shape)


def equal(entry: Entry, source: Source, call: Call, found: list[Any], want: list[Any]) -> None:
    dtype = call.dtype() if callable(call.dtype) else call.dtype
    dtypes: tuple[Any, ...] = dtype if isinstance(dtype, tuple) else (dtype,) * len(want)
    assert [x.shape for x in found] == [np.shape(x) if not is_shape(x) else x.shape for x in want]
    assert [x.dtype for x in found] == [jnp.dtype(one) for one in dtypes]
    for mine, theirs in zip(found, want, strict=True):
        if not is_shape(theirs) and (source.mode == "tame" or entry.exact):
            close(np.asarray(mine), np.asarray(theirs), entry)


def close(found: Any, want: Any, entry: Entry) -> None:
    """Compares within the tolerance of the dtype, of the largest value where many are added up."""
    if entry.exact or not jnp.issubdtype(found.dtype, jnp.inexact):
        kind = np.result_type(want.dtype, np.int8) if entry.exact else found.dtype
        np.testing.assert_array_equal(found.astype(kind), want.astype(found.dtype).astype(kind))
        return
    real = jnp.finfo(found.dtype)
    rtol, atol = numerics.tolerance(real.dtype)
    wide = np.complex128 if np.iscomplexobj(found) else np.float64
    fits = ~(np.abs(want) > float(real.max) / 2)
    largest = np.max(np.abs(want), initial=1.0, where=fits & np.isfinite(want))
    np.testing.assert_allclose(
        np.where(fits, found.astype(wide), 0),
        np.where(fits, want, 0),
        rtol * entry.slack,
        atol * entry.slack * largest,
    )


def fuzz(name: str, examples: int) -> None:
    entry = FUZZ[name]

    @hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    @hypothesis.given(calls(entry))
    def every(drawn: tuple[Source, Call]) -> None:
        source, call = drawn
        with jax.enable_x64(source.x64), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(name, entry, source, call)

    every()


@pytest.mark.parametrize("name", FUZZ)
def test_a_few_calls_of_every_operator_are_right_or_refused(name):
    fuzz(name, 3 if FUZZ[name].few else 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZ)
def test_many_calls_of_every_operator_are_right_or_refused(name):
    fuzz(name, 75 if FUZZ[name].few else 300)


# What the fuzz has found: the call, and what it gives.
FOUND = {
    "a diagonal of narrow floats": (
        lambda: op.einsum("ii->i", jnp.full((2, 2), 3, jnp.bfloat16)),
        [3.0, 3.0],
    ),
    "a vector that is added to the rows of a product": (
        lambda: op.gemm(jnp.ones((1, 3)), jnp.ones((3, 2)), jnp.array([1.0, 2.0]), beta=10),
        [[13.0, 23.0]],
    ),
    "a fixed point of no elements": (lambda: op.fixed_point(jnp.sin, jnp.zeros((2, 0))), [[], []]),
    "a divergence of components of two dtypes": (
        lambda: op.div([jnp.zeros((3, 3)), jnp.zeros((3, 3), "bfloat16")], axes=(0, 1), spacing=1),
        [[0.0] * 3] * 3,
    ),
    "a curl of components of two dtypes": (
        lambda: op.curl([jnp.zeros((3, 3)), jnp.zeros((3, 3), "bfloat16")], spacing=1.0),
        [[0.0] * 3] * 3,
    ),
    "a solution of no unknowns by iteration": (
        lambda: op.solve(jnp.zeros((0, 0)), jnp.zeros(0), method="gmres"),
        [],
    ),
}
REFUSED = {
    "modes of a grid without points": (
        lambda: op.spectral_conv(jnp.zeros((1, 1, 0)), jnp.ones((1, 1, 1), "complex64"), modes=1),
        "spectral_conv: w keeps 1 modes of the last axis of size 0",
    ),
    "a negative padding": (
        lambda: op.conv1d(jnp.ones((1, 5, 1)), jnp.ones((1, 1, 1)), 1, -1),
        r"conv1d: padding is \(-1,\); slice x",
    ),
    "a mask of one column for a matrix of none": (
        lambda: op.sddmm(jnp.ones((3, 2)), jnp.ones((2, 0)), jnp.ones((3, 1), bool)),
        r"sddmm: the mask has shape \(3, 1\)",
    ),
    "integers that would be decomposed": (
        lambda: op.factorized_matmul(jnp.ones((2, 2)), jnp.ones((2, 2), int), 1),
        "factorized_matmul: B is int32, whose factors are floats",
    ),
    "an axis where a list of axes belongs": (
        lambda: op.transpose(jnp.ones(3), 0),  # pyright: ignore[reportArgumentType]
        "transpose: axes is 0, not a list of axes",
    ),
    "a value of several to pad with": (
        lambda: op.pad(jnp.ones(2), 1, jnp.ones(2)),
        r"pad: value has shape \(2,\), not that of a scalar",
    ),
    "a shape that is no spec": (
        lambda: op.assert_shape(jnp.ones(2), 3),  # pyright: ignore[reportArgumentType]
        "assert_shape: the spec is a int, neither text nor a tuple",
    ),
    "a spec that cannot be read": (
        lambda: op.assert_shape(jnp.ones(2), "n)"),
        r"assert_shape: dims 'n\)'",
    ),
    "fewer frames than a signal of one window has": (
        lambda: op.istft(jnp.ones((5, 3), "complex64"), 8, 2),
        r"istft: X is \(5, 3\) but .* at least 5 frames",
    ),
    "tokens drawn without a key": (
        lambda: op.speculative_step(jnp.zeros((2, 3)), jnp.array([0]), jnp.ones((1, 3))),
        "speculative_step: temperature is 1.0 but there is no key",
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_the_fuzz_has_found_is_right(what):
    call, want = FOUND[what]
    assert call().tolist() == want


def test_booleans_are_counted_in_the_default_integer(x64):
    assert op.scan(jnp.array([True, True])).dtype == op.sum(jnp.array([True])).dtype == jnp.int64


def test_narrow_factors_do_not_cost_a_wide_product_its_digits():
    a = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    b = jnp.asarray(np.cos(np.arange(16.0)).reshape(4, 4), jnp.bfloat16)
    found = op.factorized_matmul(a, b, 4)
    np.testing.assert_allclose(found, a @ np.asarray(b, np.float32), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_fuzz_has_found_is_refused_by_name(what):
    call, says = REFUSED[what]
    with pytest.raises(TesseraError, match=says):
        call()


def test_every_public_operator_is_fuzzed_or_says_why_not():
    ours = {*FUZZ, *CANONICAL, *NOT_FUZZED}
    assert ours == set(PUBLIC)
    assert len(ours) == len(FUZZ) + len(CANONICAL) + len(NOT_FUZZED)
    for second, first in CANONICAL.items():
        assert getattr(op, second) is getattr(op, first)
        assert first in FUZZ
