"""Groups that run as tile programs: closed under every transformation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh
from rich.console import Console

import tessera as ts
from tessera import op
from tessera.core import numerics
from tessera.core.errors import Code, CompileError, TesseraWarning
from tessera.ir.attributes import to_attribute
from tessera.lowering import SCHEDULE_PASSES, run_passes
from tessera.lowering.choose import groups_of
from tessera.lowering.emit_triton import installed, unavailable
from tessera.lowering.jaxpr_to_graph import capture
from tessera.lowering.rule import Context
from tessera.runtime import choice, kernels, peaks, report

REASON = unavailable()
KEYS = jax.random.split(jax.random.key(5), 4)
X = jax.random.normal(KEYS[0], (40, 33))
W = jax.random.normal(KEYS[1], (33,))
Q, K = jax.random.normal(KEYS[2], (2, 1, 2, 1, 70, 16))

RMSNORM = partial(ts.op.rmsnorm.bind, algorithm="tile")
ATTENTION = partial(
    lambda q, k, v, **words: ts.op.flash_attention.bind(q, k[:, :, 0], v[:, :, 0], **words),
    causal=True,
    scale=0.25,
)


def norm_and_more(x, w):
    """One group: the norm as a tile program, with what stands before and after it."""
    return jnp.tanh(RMSNORM(2.0 * x, w)) + x


def reference(x, w):
    return jnp.tanh(ts.op.rmsnorm.bind(2.0 * x, w, algorithm="reference")) + x


def close(got, want, factor=1.0):
    rtol, atol = numerics.tolerance(jnp.float32)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, factor * rtol, factor * atol)


def test_a_group_with_its_prologue_and_epilogue_is_one_kernel():
    compiled = ts.compile(norm_and_more)
    (group,) = ts.explain(compiled)(X, W).groups
    assert group.runs == "tile"
    jaxpr = jax.make_jaxpr(compiled)(X, W)
    assert str(jaxpr).count("tessera.kernel") == 1
    assert "tessera.rmsnorm" not in str(jaxpr)
    close(compiled(X, W), reference(X, W))


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: jax.jit(f),
        lambda f: jax.vmap(f, (0, None)),
        lambda f: jax.grad(lambda x, w: jnp.sum(jnp.sin(f(x, w))), (0, 1)),
        lambda f: lambda x, w: jax.jvp(f, (x, w), (x, w)),
        lambda f: jax.hessian(lambda x, w: jnp.sum(jnp.sin(f(x[:2], w)))),
        lambda f: jax.vmap(jax.grad(lambda x, w: jnp.sum(f(x, w) ** 2)), (0, None)),
    ],
    ids=["jit", "vmap", "grad", "jvp", "hessian", "vmap of grad"],
)
def test_a_kernel_goes_through_every_transformation(transform):
    close(transform(ts.compile(norm_and_more))(X, W), transform(reference)(X, W), 10)


def test_a_gradient_compiled_whole_runs_the_backward_of_the_kernels():
    def loss(x, w):
        return jnp.sum(jnp.sin(norm_and_more(x, w)))

    close(
        ts.compile(jax.grad(loss, (0, 1)))(X, W),
        jax.grad(lambda x, w: jnp.sum(jnp.sin(reference(x, w))), (0, 1))(X, W),
        10,
    )


def test_attention_as_a_tile_program_equals_the_reference():
    got = ts.compile(partial(ATTENTION, algorithm="tile"))(Q, K, K)
    close(got, ATTENTION(Q, K, K, algorithm="reference"), 10)


def test_inside_shard_map_a_kernel_is_per_device():
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, whole = jax.P("rows"), jax.P()
    run = ts.compile(
        jax.shard_map(norm_and_more, mesh=mesh, in_specs=(rows, whole), out_specs=rows)
    )
    close(run(X, W), reference(X, W))


def test_on_several_devices_the_ops_of_a_kernel_run_each_on_its_own():
    mesh = jax.make_mesh((8,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
    x = jax.device_put(X, jax.NamedSharding(mesh, jax.P("rows")))
    run = ts.compile(norm_and_more)
    assert "all-gather" not in jax.jit(run).lower(x, W).compile().as_text()
    close(run(x, W), reference(X, W))


def test_a_compiled_function_inside_another_keeps_its_kernels():
    inner = ts.compile(norm_and_more)
    outer = ts.compile(lambda x, w: inner(x, w) * 2.0)
    close(outer(X, W), 2.0 * reference(X, W))


def test_a_tile_program_asked_for_by_name_that_cannot_run_is_refused():
    with pytest.raises(CompileError, match="softmax: no tile program") as caught:
        ts.op.softmax.bind(jnp.ones((4, 0)), axis=1, algorithm="tile")
    assert caught.value.code is Code.E_TILE_LOWERING


# -- blocks that cannot be ------------------------------------------------------------------------------

ILLEGAL = {
    "none": ((0, 5), "dimension 0 of tile = [0, 5] is 0", "nearest legal tile is [1, 5]"),
    "negative": ((16, -2), "dimension 1 of tile = [16, -2] is -2", "nearest legal tile is [16, 1]"),
    "too many": ((2, 8, 8), "more axes than the result's [64, 32]", "nearest legal tile is [8, 8]"),
    "uneven": ((48, 32), "exactly, which dimension 0 does not", "without it is [32, 32]"),
    "too large": ((64, 4096), "exactly, which dimension 1 does not", "without it is [64, 32]"),
}


@pytest.mark.parametrize("case", ILLEGAL)
def test_an_illegal_tile_names_the_dimension_the_rule_and_the_nearest_legal_one(case):
    tile, problem, hint = ILLEGAL[case]
    softmax = partial(op.softmax.bind, axis=1, algorithm="tile")
    schedule = ts.compile(softmax).plan(jnp.ones((64, 32))).schedule  # on CPU
    (group,) = groups_of(schedule)
    group.attributes.pop("padded", None)
    group.attributes["tile"] = to_attribute(tile)
    with pytest.raises(CompileError) as caught:
        schedule.verify()
    assert problem in caught.value.message
    assert hint in "\n".join(caught.value.hints)


# -- on a GPU platform without the packages -------------------------------------------------------------


@pytest.fixture
def without_jax_triton(monkeypatch):
    """An installation that lacks jax-triton, in a process that has not said so yet."""
    monkeypatch.setattr(installed, "_version", {"triton": "3.6.0"}.get)
    monkeypatch.setattr(kernels, "_said", set())


@pytest.fixture
def with_other_triton(monkeypatch):
    monkeypatch.setattr(installed, "_version", {"triton": "4.1", "jax-triton": "0.4.1"}.get)
    monkeypatch.setattr(kernels, "_said", set())


def lowered_for_cuda(**words):
    """Returns the StableHLO of an op whose rule asks for its tile program on a GPU."""
    q = jax.ShapeDtypeStruct((1, 2, 1, 128, 16), jnp.bfloat16)
    k = jax.ShapeDtypeStruct((1, 2, 128, 16), jnp.bfloat16)
    run = jax.jit(partial(op.flash_attention.bind, **words))
    return run.trace(q, k, k).lower(lowering_platforms=("cuda",)).as_text()


EXTRA = r"pip install 'tessera\[gpu\]'"


@pytest.mark.usefixtures("without_jax_triton")
def test_a_missing_package_is_one_warning_and_the_reference_runs():
    with pytest.warns(TesseraWarning, match=f"jax-triton is not installed.*{EXTRA}") as caught:
        text = lowered_for_cuda(scale=0.3)
    lowered_for_cuda(scale=0.4)  # a second warning would be an error
    assert str(caught[0].message).startswith(
        "flash_attention runs without its tile program on cuda"
    )
    assert "triton" not in text
    assert "custom_call" not in text


@pytest.mark.usefixtures("with_other_triton")
def test_an_untested_version_is_one_warning_and_the_reference_runs():
    with pytest.warns(TesseraWarning, match=f"triton 4.1 is outside.*>=3.6,<3.8: {EXTRA}"):
        lowered_for_cuda(scale=0.5)
    lowered_for_cuda(scale=0.6)


@pytest.mark.usefixtures("with_other_triton")
def test_explain_says_why_a_program_cannot_run():
    q = jax.ShapeDtypeStruct((1, 2, 1, 128, 16), jnp.bfloat16)
    module = capture(jax.make_jaxpr(ATTENTION)(q, q, q), "attention")
    run_passes(module, Context(peaks.device("cuda")), SCHEDULE_PASSES)
    (reason,) = [g.reason.data for g in groups_of(module) if "flash" in g.pattern.data]
    assert reason.startswith("no tile program: triton 4.1 is outside the versions")


@pytest.mark.usefixtures("without_jax_triton")
def test_a_tile_program_asked_for_by_name_names_the_extra_in_one_line():
    with pytest.raises(CompileError, match=EXTRA) as caught:
        lowered_for_cuda(algorithm="tile")
    assert caught.value.code is Code.E_TILE_LOWERING
    assert caught.value.message.startswith("flash_attention: no tile program on cuda: jax-triton")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("without_jax_triton")
def test_doctor_names_no_tile_program_that_cannot_run():
    found = choice.choose(op.flash_attention, "cuda")
    assert found.runs == ("reference",)
    assert "jax-triton is not installed" in found.reason
    assert "tessera[gpu]" in found.reason
    console = Console(width=300)
    with console.capture() as capture:
        console.print(report.op_table("cuda", [found]))
    assert "pip install 'tessera[gpu]'" in capture.get()
    assert choice.choose(op.sin, "cpu").runs == ("polynomial", "reference")


def test_doctor_names_the_tile_program_where_its_language_is_installed(monkeypatch):
    there = {"triton": "3.6.0", "jax-triton": "0.4.1"}
    monkeypatch.setattr(installed, "_version", there.get)
    found = choice.choose(op.flash_attention, "cuda")
    assert found.runs == ("tile", "reference")
    assert "each device's part along b g r" in found.reason


# -- a whole model for a GPU that is not here --------------------------------------------------------------


def transformer_loss(layers, x):
    for weights in layers:
        batch, length, width = x.shape
        heads = (batch, length, 4, width // 4)
        h = op.rmsnorm(x)
        q, k, v = (jnp.swapaxes(op.matmul(h, w).reshape(heads), 1, 2) for w in weights["qkv"])
        attended = jnp.swapaxes(op.flash_attention(q, k, v, causal=True), 1, 2)
        x = x + op.matmul(attended.reshape(x.shape), weights["out"])
        hidden = op.matmul(op.rmsnorm(x), weights["up"], epilogue="gelu")
        x = x + op.matmul(hidden, weights["down"])
    return jnp.mean(x.astype(jnp.float32) ** 2)


@pytest.mark.skipif(REASON is not None, reason=REASON or "Triton is here")
@pytest.mark.parametrize("made", [jax.jit, partial(ts.compile, target="cuda")], ids=["jit", "ts"])
def test_the_gradient_of_a_model_lowers_to_kernels_and_holds_no_scores(made):
    half = partial(jax.ShapeDtypeStruct, dtype=jnp.bfloat16)
    square = half((256, 256))
    layer = {"qkv": [square] * 3, "out": square, "up": half((256, 512)), "down": half((512, 256))}
    device = AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    run = jax.jit(made(jax.grad(transformer_loss)))
    with use_abstract_mesh(AbstractMesh((1,), ("x",), abstract_device=device)):
        lowered = run.trace([layer] * 2, half((2, 1024, 256))).lower(lowering_platforms=("cuda",))
    text = lowered.as_text()
    # Attention, and the three kernels of its backward, in each of two layers or in functions they share.
    assert text.count("triton_kernel_call") >= 4
    assert "1024x1024" not in text
