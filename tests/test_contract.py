"""The contract of every op, generated from the registry: op x sample x transformation.

Values are held against `oracles.py`. Derivatives are held against JAX differentiating the reference,
which is plain `jax.numpy`, and against finite differences. The first sample of an op runs by default;
the rest are slow.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from jax.experimental.jet import jet
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import tessera.ops  # noqa: F401 - defines the ops
from tessera.core import numerics
from tessera.core.errors import Code, CompileError, TesseraError
from tessera.core.op import Op, Sample, registered_ops


@dataclass(frozen=True)
class Case:
    op: Op
    sample: Sample

    def operands(self, dtype=jnp.float32) -> tuple[Any, ...]:
        return self.sample.make(jax.random.key(7), dtype)

    def types(self) -> tuple[Any, ...]:
        """Returns the shapes and dtypes of the operands: drawing them all takes a worker 20 s."""
        return jax.eval_shape(self.operands)

    def apply(self, *operands: Any, algorithm: str | None = None) -> Any:
        return self.op.bind(*operands, algorithm=algorithm, **self.sample.statics)

    def reference(self, *operands: Any) -> Any:
        statics = {**self.op.statics, **self.sample.statics}
        return self.op.reference(*operands, **statics)

    def split(self, operands):
        """The smooth operands, and how to apply a function of all operands to new values of them."""
        places = [i for i, x in enumerate(operands) if _smooth(x)]

        def along(function):
            def of_smooth(*smooth):
                full = list(operands)
                for i, x in zip(places, smooth, strict=True):
                    full[i] = x
                return tuple(y for y in jax.tree.leaves(function(*full)) if _smooth(y))

            return of_smooth

        return tuple(operands[i] for i in places), along

    def __str__(self) -> str:
        return f"{self.op.name}{self.sample!r}"


def _smooth(x: Any) -> bool:
    return x is not None and jnp.issubdtype(x.dtype, jnp.floating)


# Ops that others are made of: whatever uses one is here too, so they are left to the slow run.
PARTS = ("_bwd", "run_reduce", "add_rows")
# Those that share every line but a sign or a table with another op.
TWINS = ("cos", "acos")


def _marks(op: Op, place: int) -> list[Any]:
    is_slow = place > 0 or op.name.endswith(PARTS) or op.name in TWINS
    return [pytest.mark.slow] if is_slow else []


CASES = [
    pytest.param(Case(op, sample), id=f"{op.name}-{i}", marks=_marks(op, i))
    for op in registered_ops()
    for i, sample in enumerate(op.samples)
]
SMOOTH_CASES = [p for p in CASES if any(map(_smooth, p.values[0].types()))]
every_case = pytest.mark.parametrize("case", CASES)
every_smooth_case = pytest.mark.parametrize("case", SMOOTH_CASES)
quickly = pytest.mark.usefixtures("compiled_quickly")


def close(actual: Any, expected: Any, *, dtype: Any = None, factor: float = 1.0) -> None:
    """Equal structure and shapes, and values within the tolerance table (times a factor with a reason)."""
    left, right = jax.tree.leaves(actual), jax.tree.leaves(expected)
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        rtol, atol = numerics.tolerance(dtype or a.dtype) if _smooth(a) else (0.0, 0.0)
        assert a.shape == np.shape(b)
        wide = np.complex128 if np.iscomplexobj(a) else np.float64
        np.testing.assert_allclose(
            np.asarray(a).astype(wide), np.asarray(b).astype(wide), rtol * factor, atol * factor
        )


def scalar(function: Any) -> Any:
    """A scalar that weighs every output differently, so that no error can cancel."""

    def loss(*smooth):
        outs = function(*smooth)
        weighed = (
            jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)) for y in outs
        )
        return sum(weighed)

    return loss


def test_every_op_has_samples_and_an_oracle():
    for op in registered_ops():
        assert op.samples, f"{op.name} has no samples"
        assert op.name in oracles.VALUES, f"{op.name} has no oracle"
        assert op.__doc__, f"{op.name} has no docstring"


# -- values -------------------------------------------------------------------------------------------------


def _oracle(case: Case, operands: Any) -> Any:
    wide = [
        None if x is None else np.asarray(x, np.float64 if _smooth(x) else None) for x in operands
    ]
    return oracles.VALUES[case.op.name](*wide, **{**case.op.statics, **case.sample.statics})


@every_case
def test_values_equal_the_oracle_eagerly_and_under_jit(case):
    operands = case.operands()
    expected = _oracle(case, operands)
    close(case.apply(*operands), expected)
    close(jax.jit(case.apply)(*operands), expected)


@every_smooth_case
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=["bf16", "f16"])
def test_low_precision_is_one_rounding_away_from_float64(case, dtype):
    operands = case.operands(dtype)
    actual = case.apply(*operands)
    assert all(y.dtype == dtype for y in jax.tree.leaves(actual) if _smooth(y))
    close(actual, _oracle(case, operands))


@every_smooth_case
def test_float64_is_kept(case, x64):
    operands = case.operands(jnp.float64)
    actual = case.apply(*operands)
    assert all(y.dtype == jnp.float64 for y in jax.tree.leaves(actual) if _smooth(y))
    close(actual, _oracle(case, operands))


@every_case
def test_the_same_bits_come_twice(case):
    operands = case.operands()
    first, second = case.apply(*operands), case.apply(*operands)
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


# -- derivatives --------------------------------------------------------------------------------------------


@quickly
@every_smooth_case
def test_forward_mode_equals_the_reference(case, x64):
    smooth, along = case.split(case.operands(jnp.float64))
    tangents = tuple(jnp.sin(1.0 + x) for x in smooth)
    close(
        jax.jvp(along(case.apply), smooth, tangents)[1],
        jax.jvp(along(case.reference), smooth, tangents)[1],
    )


@quickly
@every_smooth_case
def test_reverse_mode_equals_the_reference(case, x64):
    smooth, along = case.split(case.operands(jnp.float64))
    argnums = tuple(range(len(smooth)))
    close(
        jax.jit(jax.grad(scalar(along(case.apply)), argnums))(*smooth),
        jax.grad(scalar(along(case.reference)), argnums)(*smooth),
    )


@quickly
@every_smooth_case
def test_derivatives_equal_finite_differences(case, x64):
    smooth, along = case.split(case.operands(jnp.float64))
    # eps balances truncation against rounding at double precision; order 1 in both modes.
    check_grads(
        scalar(along(case.apply)), smooth, order=1, modes=("fwd", "rev"), rtol=1e-5, atol=1e-5
    )


@pytest.mark.newest
@quickly
@every_smooth_case
def test_second_order_equals_the_reference_in_both_nestings(case, x64):
    smooth, along = case.split(case.operands(jnp.float64))
    expected = jax.jacfwd(jax.grad(scalar(along(case.reference))))(*smooth)
    for outer, inner in (
        (jax.jacfwd, jax.jacrev),
        (jax.jacrev, jax.jacfwd),
        (jax.jacrev, jax.jacrev),
    ):
        # Second derivatives lose about two digits to cancellation.
        close(outer(inner(scalar(along(case.apply))))(*smooth), expected, factor=100)


@pytest.mark.newest
@quickly
@every_smooth_case
def test_taylor_mode_equals_nested_forward_mode_to_order_three(case, x64):
    smooth, along = case.split(case.operands(jnp.float64))
    directions = tuple(jnp.cos(2.0 + x) for x in smooth)

    def line(t):
        moved = (x + t * v for x, v in zip(smooth, directions, strict=True))
        return along(case.reference)(*moved)

    series = tuple([v, jnp.zeros_like(v), jnp.zeros_like(v)] for v in directions)
    value, terms = jet(along(case.apply), smooth, series)
    derivative = line
    for order in range(4):
        expected = derivative(jnp.zeros((), jnp.float64))
        found = value if order == 0 else tuple(t[order - 1] for t in terms)
        close(found, expected, factor=10.0**order)  # each order loses about a digit
        derivative = jax.jacfwd(derivative)


# -- batching -----------------------------------------------------------------------------------------------


@quickly
@every_case
def test_vmap_over_any_operands_equals_a_loop(case):
    operands = case.operands()
    others = case.sample.make(jax.random.key(8), jnp.float32)
    live = [i for i, x in enumerate(operands) if x is not None]
    for mapped in [(i,) for i in live] + [tuple(live)]:
        axes = tuple(
            (operands[i].ndim if i % 2 else 0) if i in mapped else None
            for i in range(len(operands))
        )
        stacked = tuple(
            jnp.stack([x, y], axis=a) if a is not None else x
            for x, y, a in zip(operands, others, axes, strict=True)
        )
        one = case.apply(*operands)
        other = case.apply(
            *(
                y if i in mapped else x
                for i, (x, y) in enumerate(zip(operands, others, strict=True))
            )
        )
        expected = jax.tree.map(lambda a, b: np.stack([a, b]), one, other)
        # A batched product may sum in another order: a few ulp of the largest term.
        close(jax.vmap(case.apply, axes)(*stacked), expected, factor=10)


@quickly
@every_smooth_case
def test_vmap_and_grad_commute(case):
    smooth, along = case.split(case.operands())
    loss = scalar(along(case.apply))
    stacked = tuple(jnp.stack([x, 0.5 * x]) for x in smooth)
    argnums = tuple(range(len(smooth)))
    inside = jax.grad(lambda *xs: jnp.sum(jax.vmap(loss)(*xs)), argnums)(*stacked)
    close(jax.vmap(jax.grad(loss, argnums))(*stacked), inside, factor=10)


# -- devices ------------------------------------------------------------------------------------------------


def _batched(case: Case, operands: Any, count: int = 4) -> Any:
    """The operands with a leading batch axis on those that have the batch group; None if the op has none."""
    group = case.op.dims.batch
    if group is None:
        return None
    leads = [t.leads_with(group) for t in case.op.dims.operands]
    shared = [
        x is None or lead is None or (lead.optional and x.ndim == t.rank)
        for x, lead, t in zip(operands, leads, case.op.dims.operands, strict=True)
    ]
    stacked = [x if s else jnp.stack([x] * count) for x, s in zip(operands, shared, strict=True)]
    shifted = {t.at.at for t in case.op.dims.operands if t.at is not None}
    statics = {k: v + 1 if k in shifted else v for k, v in case.sample.statics.items()}
    sample = Sample(**statics)
    sample.draws = case.sample.draws
    return Case(case.op, sample), stacked, shared


def _sharded(case: Case, axis_type: AxisType) -> Any:
    found = _batched(case, case.operands())
    if found is None:
        pytest.skip("the op has no batch axes to shard")
    wide, operands, shared = found
    mesh = jax.make_mesh((4,), ("dp",), axis_types=(axis_type,))
    placed = [
        x if x is None else jax.device_put(x, NamedSharding(mesh, P() if s else P("dp")))
        for x, s in zip(operands, shared, strict=True)
    ]
    return mesh, wide, operands, placed


@every_case
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def test_sharded_jit_keeps_the_batch_sharded_and_gathers_nothing(case, axis_type):
    mesh, wide, operands, placed = _sharded(case, axis_type)
    with jax.set_mesh(mesh):
        compiled = jax.jit(wide.apply).lower(*placed).compile()
        result = compiled(*placed)
    assert "all-gather" not in compiled.as_text()
    assert all(y.sharding.spec[0] == "dp" for y in jax.tree.leaves(result))
    close(result, wide.apply(*operands), factor=10)


@every_smooth_case
@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
def test_sharded_gradient_equals_the_single_device_one_and_gathers_nothing(case, axis_type):
    mesh, wide, operands, placed = _sharded(case, axis_type)

    def gradient(values):
        smooth, along = wide.split(values)
        return jax.grad(lambda xs: scalar(along(wide.apply))(*xs))(smooth)

    expected = gradient(operands)
    with jax.set_mesh(mesh):
        compiled = jax.jit(gradient).lower(placed).compile()
        result = compiled(placed)
    assert "all-gather" not in compiled.as_text()
    close(result, expected, factor=10)


@every_smooth_case
def test_gradient_inside_shard_map_equals_the_single_device_one(case):
    mesh, wide, operands, _ = _sharded(case, AxisType.Auto)
    _, _, shared = _batched(case, case.operands())
    specs = tuple(P() if s else P("dp") for s in shared)

    def loss(*values):
        def local(*blocks):
            outs = [y for y in jax.tree.leaves(wide.apply(*blocks)) if _smooth(y)]
            return jax.lax.psum(sum(jnp.sum(jnp.sin(y)) for y in outs), "dp")

        return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P())(*values)

    def whole(*values):
        return sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(wide.apply(*values)) if _smooth(y))

    smooth = tuple(i for i, x in enumerate(operands) if _smooth(x))
    close(jax.jit(jax.grad(loss, smooth))(*operands), jax.grad(whole, smooth)(*operands), factor=10)


# -- export -------------------------------------------------------------------------------------------------


@every_case
def test_export_round_trip_gives_the_same_values(case):
    operands = case.operands()
    exported = jax.export.export(jax.jit(case.apply))(*operands)
    loaded = jax.export.deserialize(exported.serialize())
    close(loaded.call(*operands), jax.jit(case.apply)(*operands))


# -- sizes --------------------------------------------------------------------------------------------------


def _resized(case: Case, name: str, size: int) -> Case:
    """The case with one named axis of another size, or (for a group) one more axis in front of that size."""
    draws = []
    for term, draw in zip(case.op.dims.operands, case.sample.draws, strict=True):
        if draw is None:
            draws.append(None)
            continue
        position = case.sample.statics.get(term.at.at, 0) if term.at else 0
        pairs = term.split(draw.shape, position)
        shape: list[int] = []
        for axis, found in pairs:
            grown = [size] if axis.name == name and not (axis.optional and found == ()) else []
            if axis.group:
                shape += [*grown, *found]
            else:
                kept_at_one = axis.or_one and found == 1
                shape += [found] if kept_at_one else grown or [found]
        draws.append(type(draw)(tuple(shape), draw.kind, draw.low, draw.high))
    sample = Sample(**case.sample.statics)
    sample.draws = tuple(draws)
    return Case(case.op, sample)


def _axes(case: Case) -> list[str]:
    """The named axes, and the batch group where no `@` axis counts positions from the front."""
    counted = any(term.at for term in case.op.dims.operands)
    named = (
        a.name
        for t in case.op.dims.operands
        for a in t.axes
        if a.fixed is None and not (a.group and counted)
    )
    return list(dict.fromkeys(named))


@pytest.mark.newest
@quickly
@every_case
@pytest.mark.parametrize("size", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_empty_and_single_axes_equal_the_reference_or_are_refused(case, size):
    assert _axes(case)
    for name in _axes(case):
        resized = _resized(case, name, size)
        operands = resized.operands()
        try:
            expected = resized.reference(*operands)
        except (
            ValueError,
            ZeroDivisionError,
        ):  # the reference has no value there: neither has the op
            with pytest.raises(TesseraError):
                resized.apply(*operands)
            continue
        close(resized.apply(*operands), expected, factor=10)
        smooth, along = resized.split(operands)
        if smooth:
            argnums = tuple(range(len(smooth)))
            close(
                jax.grad(scalar(along(resized.apply)), argnums)(*smooth),
                jax.grad(scalar(along(resized.reference)), argnums)(*smooth),
                factor=100,
            )


# -- bad input ----------------------------------------------------------------------------------------------


def _bound_operands(case: Case) -> list[int]:
    """The operands that share an axis with another, which can therefore fail to fit it."""
    names = [{a.name for a in t.axes} for t in case.op.dims.operands]
    live = [i for i, x in enumerate(case.types()) if x is not None and x.ndim > 0]
    return [i for i in live if names[i] & set().union(*(names[j] for j in live if j != i))]


def _kinded_operands(case: Case) -> list[int]:
    """The operands of which only some dtypes are taken."""
    kinds = enumerate(zip(case.types(), case.op.kinds, strict=True))
    return [i for i, (x, kind) in kinds if x is not None and kind != "any"]


@pytest.mark.parametrize("case", [p for p in CASES if _bound_operands(p.values[0])])
def test_a_shape_that_does_not_fit_is_refused_by_name(case):
    operands = list(case.operands())
    for i in _bound_operands(case):
        bad = list(operands)
        bad[i] = jnp.concatenate([operands[i]] * 2, axis=-1)
        bad[i] = jnp.concatenate([bad[i]] * 2, axis=0)
        with pytest.raises(CompileError, match=case.op.name) as caught:
            case.apply(*bad)
        assert caught.value.code is Code.E_SHAPE_MISMATCH
        assert str(case.op.dims) in str(caught.value)


@pytest.mark.parametrize("case", [p for p in CASES if _kinded_operands(p.values[0])])
def test_a_dtype_of_another_kind_is_refused_by_name(case):
    operands = case.operands()
    for i in _kinded_operands(case):
        wrong_dtype = jnp.float32 if case.op.kinds[i] == "bool" else jnp.bool_
        wrong = jnp.zeros(operands[i].shape, wrong_dtype)
        with pytest.raises(CompileError, match=case.op.operand_names[i]) as caught:
            case.apply(*operands[:i], wrong, *operands[i + 1 :])
        assert caught.value.code is Code.E_TARGET_CODEGEN


@every_case
def test_a_value_that_is_no_array_is_refused_by_name(case):
    operands = case.operands()
    with pytest.raises(CompileError, match=case.op.operand_names[0]) as caught:
        case.apply([1.0, 2.0], *operands[1:])
    assert caught.value.code is Code.E_GRAPH_INVALID


# -- algorithms ---------------------------------------------------------------------------------------------

ALGORITHM_CASES = [
    pytest.param(p.values[0], name, id=f"{p.id}-{name}", marks=p.marks)
    for p in CASES
    for name in p.values[0].op.algorithms
]


@pytest.mark.parametrize(("case", "algorithm"), ALGORITHM_CASES)
def test_every_algorithm_equals_the_reference(case, algorithm):
    operands = case.operands()
    pinned = partial(case.apply, algorithm=algorithm)
    close(jax.jit(pinned)(*operands), case.apply(*operands, algorithm="reference"), factor=10)
    smooth, along = case.split(operands)
    if smooth:
        argnums = tuple(range(len(smooth)))
        close(
            jax.jit(jax.grad(scalar(along(pinned)), argnums))(*smooth),
            jax.grad(scalar(along(case.reference)), argnums)(*smooth),
            factor=10,
        )


@pytest.mark.parametrize(("case", "algorithm"), ALGORITHM_CASES)
def test_every_algorithm_batches(case, algorithm):
    operands = case.operands()
    pinned = partial(case.apply, algorithm=algorithm)
    stacked = tuple(None if x is None else jnp.stack([x, x]) for x in operands)
    axes = tuple(None if x is None else 0 for x in operands)
    single = pinned(*operands)
    expected = jax.tree.map(lambda a: np.stack([a, a]), single)
    close(jax.vmap(pinned, axes)(*stacked), expected, factor=10)
