"""`train` and what it reports: solutions, history, errors, devices, and every argument that does not fit."""

import io
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pinn_cases import (
    Points,
    Uniform,
    begins,
    decay,
    decays,
    linear,
    prepared,
    problem_of,
    small_network,
)
from rich.console import Console

from tessera.core.errors import Code, CompileError, NumericsError
from tessera.dist import Mesh
from tessera.pinn import evaluation, progress, residuals
from tessera.pinn.evaluation import evaluate, fields_at, grid_points
from tessera.pinn.geometry import Interval
from tessera.pinn.optimizers import LBFGS, Adam, GaussNewton, LevenbergMarquardt
from tessera.pinn.optimizers.protocol import Info
from tessera.pinn.placement import place_batch, replicate
from tessera.pinn.problem import Term
from tessera.pinn.resampling import Resample, draw
from tessera.pinn.residuals import Batch, Objective
from tessera.pinn.sampling import Interior
from tessera.pinn.training import Record, train
from tessera.pinn.uncertainty import confidence

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("compiled_quickly")]


def leaves(model: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(model)]


@pytest.fixture(scope="module")
def trained() -> Any:
    return train(decay(), seed=3, progress=False)


def test_a_differential_equation_is_solved(trained):
    assert trained.missed == ()
    assert trained.errors["u"] < 1e-4
    assert trained.history[-1].residuals["decay"] < 1e-3
    assert (trained.problem, trained.seed) == ("case", 3)
    assert trained.units == {"decay": "1/s", "start": "1"}


def test_the_points_of_a_result_are_those_of_its_loss(trained):
    with jax.enable_x64(True):
        objective = Objective.of(decay())
        batch = Batch(dict(trained.samples), objective.weights("float64"))
        loss, _ = residuals.mean_squares(objective, trained.model, batch)
    assert float(loss) == trained.loss


def test_the_points_of_a_result_say_how_well_a_number_is_known(trained):
    """Without resampling they are the points that the seed draws."""
    quantity = lambda model: model.heights[0, 0]  # noqa: E731 - what a user would write
    given, drawn = (
        confidence(decay(), trained.model, quantity, term="start", noise=0.1, **points)
        for points in ({"samples": trained.samples}, {"seed": trained.seed})
    )
    assert given == drawn
    assert given.lower < given.value < given.upper


def test_the_process_keeps_its_dtype_and_the_model_is_float64(trained):
    assert jnp.zeros(1).dtype == jnp.float32
    assert {leaf.dtype for leaf in leaves(trained.model)} == {np.dtype("float64")}


def test_the_history_begins_at_the_start_and_tells_every_iteration(trained):
    iterations = [record.iteration for record in trained.history]
    assert iterations == list(range(len(iterations)))
    losses = [record.loss for record in trained.history]
    assert losses == sorted(losses, reverse=True)
    seconds = [record.seconds for record in trained.history]
    assert seconds == sorted(seconds)
    assert trained.seconds == seconds[-1]


def test_a_seed_fixes_every_bit_and_another_gives_others():
    again, other = (
        train(decay(), seed=seed, optimizer=LevenbergMarquardt(2), progress=False)
        for seed in (3, 4)
    )
    once = train(decay(), seed=3, optimizer=LevenbergMarquardt(2), progress=False)
    assert all((a == b).all() for a, b in zip(leaves(once.model), leaves(again.model), strict=True))
    assert not all(
        (a == b).all() for a, b in zip(leaves(once.model), leaves(other.model), strict=True)
    )


def test_optimizers_run_in_turn():
    result = train(
        decay(),
        optimizer=[LevenbergMarquardt(6, every=4), LevenbergMarquardt(3, damping=1.0)],
        progress=False,
    )
    assert [record.iteration for record in result.history] == [0, 4, 6, 7, 8, 9]


def test_errors_are_taken_every_so_often_and_at_the_end():
    result = train(decay(), optimizer=LevenbergMarquardt(5), errors_every=2, progress=False)
    assert [bool(record.errors) for record in result.history] == [
        True,
        False,
        True,
        False,
        True,
        True,
    ]


def test_no_time_is_one_iteration():
    result = train(decay(), optimizer=LevenbergMarquardt(50), max_seconds=1e-9, progress=False)
    assert result.history[-1].iteration == 1
    assert result.errors


def test_no_iterations_leave_the_network_as_it_begins():
    result = train(decay(), optimizer=LevenbergMarquardt(0), progress=False)
    with jax.enable_x64(True):
        assert [record.iteration for record in result.history] == [0]
        assert result.missed == ("u",)


@pytest.mark.slow
def test_float32_is_trained_in_float32():
    result = train(decay(), optimizer=LevenbergMarquardt(8), dtype="float32", progress=False)
    assert {leaf.dtype for leaf in leaves(result.model)} == {np.dtype("float32")}
    assert result.errors["u"] < 1e-2


# ---- what is shown ---------------------------------------------------------------------------------------


def test_a_function_is_called_with_every_record():
    seen: list[Record] = []
    result = train(decay(), optimizer=LevenbergMarquardt(2), progress=seen.append)
    assert tuple(seen) == result.history


def shown(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    records = [
        Record(i, 0.5**i, {"wave": 0.1, "wall[x]": 0.2}, {"u": 0.3}, float(i)) for i in range(4)
    ]
    with progress.reporter(True, "wave [1]", 3, console) as show:
        for record in records:
            show(record)
    return out.getvalue()


def test_without_a_terminal_a_line_comes_now_and_then(monkeypatch):
    lines = shown(False, monkeypatch).splitlines()
    assert lines == [
        "wave [1]: 0/3  loss 1.0e+00  residual 2.0e-01 (wall[x])  error 3.0e-01 (u)  0 s"
    ]
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    assert len(shown(False, monkeypatch).splitlines()) == 4


def test_a_terminal_shows_the_last_state(monkeypatch):
    text = shown(True, monkeypatch)
    assert "loss 1.2e-01" in text
    assert "(wall[x])" in text
    assert "3/3" in text


# ---- points ----------------------------------------------------------------------------------------------


def points_seen(**options: Any) -> list[np.ndarray]:
    """Returns the points of the interior at every iteration."""
    found: list[np.ndarray] = []

    class Spy:
        iterations, every = 6, 1

        def init(self, objective: Any, model: Any, batch: Any, key: Any) -> tuple[()]:
            return ()

        def refresh(self, state: Any) -> Any:
            return state

        def step(self, objective: Any, model: Any, batch: Any, state: Any) -> Any:
            found.append(np.asarray(batch.samples["interior"].points))
            return model, state, Info(0.0)

    result = train(decay(**options.pop("problem", {})), optimizer=Spy(), progress=False, **options)  # pyright: ignore[reportArgumentType]
    np.testing.assert_array_equal(result.samples["interior"].points, found[-1])
    return found


def test_points_stay_unless_they_are_resampled():
    stayed, drawn = points_seen(), points_seen(resample=2)
    assert all((x == stayed[0]).all() for x in stayed)
    changes = [bool((a != b).any()) for a, b in zip(drawn, drawn[1:], strict=False)]
    assert changes == [False, True, False, True, False]


def test_points_are_resampled_as_the_problem_says_with_its_own_optimizer_alone():
    class Still:
        iterations, every = 2, 2

        def init(self, *_: Any) -> tuple[()]:
            return ()

        def refresh(self, state: Any) -> Any:
            return state

        def step(self, objective: Any, model: Any, batch: Any, state: Any) -> Any:
            return model, state, Info(0.0)

    problem = replace(decay(), resample=Resample(1), optimizer=(Still(),))
    with jax.enable_x64(True):
        first = draw(problem, np.random.default_rng(0), "float64")["interior"].points
    for options, stays in (({}, False), ({"resample": 0}, True), ({"optimizer": Still()}, True)):
        last = train(problem, progress=False, **options).samples["interior"].points
        assert np.array_equal(first, last) == stays


def test_adaptive_points_gather_where_the_residual_is_large():
    def steep(model: Any, at: Any) -> Any:
        return model(at)[..., 0] * 0.0 + at["t"] ** 8

    problem = {
        "terms": (Term("steep", steep), Term("start", begins, on="start")),
        "samplers": {"interior": Interior(Interval(0, 1), 200), "start": Points(np.zeros((1, 1)))},
    }
    resample = Resample(2, adaptive=("interior",), power=1.0, offset=0.0)
    points = points_seen(problem=problem, resample=resample)
    # The mean of t under a density in proportion to t^8 is 9 / 10.
    assert points[0].mean() == pytest.approx(0.5, abs=0.05)
    assert points[2].mean() == pytest.approx(0.9, abs=0.05)
    assert points[2].shape == points[0].shape


# ---- errors against the truth ----------------------------------------------------------------------------


def exact(model: Any, at: Any) -> Any:
    return {"u": jnp.exp(-at["t"].array) * model, "p": at["t"] + 7.0}


def known(**more: Any) -> Any:
    rest: dict[str, Any] = {
        "truth": lambda x: {"u": np.exp(-x[:, 0]), "p": x[:, 0]},
        "fields": exact,
        "network": lambda key: jnp.full((), 1.25),
        "up_to_a_constant": frozenset({"p"}),
    } | more
    return decay(**rest)


def test_errors_are_relative_distances_and_constants_are_taken_out():
    with jax.enable_x64(True):
        model = jnp.full((), 1.25)
    errors = evaluate(known(judge=lambda model: {"twice": 2 * model}), model)
    assert errors == {
        "u": pytest.approx(0.25, rel=1e-12),
        "p": pytest.approx(0.0, abs=1e-14),
        "twice": 2.5,
    }
    shifted = evaluate(known(up_to_a_constant=frozenset()), model)
    points = np.linspace(0, 1, 11)
    assert shifted["p"] == pytest.approx(7 * 11**0.5 / np.linalg.norm(points), rel=1e-12)


def test_test_points_outside_are_left_out_and_fields_go_in_chunks(monkeypatch):
    problem = known(inside=lambda x: x[:, 0] > 0.45)
    assert grid_points(problem).ravel().tolist() == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    monkeypatch.setattr(evaluation, "POINTS_AT_ONCE", 4)
    with jax.enable_x64(True):
        model = jnp.ones(())
    found = fields_at(problem, model, np.linspace(0, 1, 11)[:, None])
    np.testing.assert_allclose(found["u"], np.exp(-np.linspace(0, 1, 11)), rtol=1e-14)


def test_the_last_coordinate_changes_fastest():
    problem = problem_of(
        [], {}, small_network, names=("x", "y"), grid=(np.array([0.0, 1.0]), np.array([5.0, 6.0]))
    )
    assert grid_points(problem).tolist() == [[0, 5], [0, 6], [1, 5], [1, 6]]


def test_without_truth_there_are_no_errors():
    result = train(decay(truth=None), optimizer=LevenbergMarquardt(1), progress=False)
    assert result.errors == {}
    assert result.missed == ("u",)


# ---- devices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        Adam(3, 1e-2, every=3),
        LevenbergMarquardt(2, every=2),
        *(
            pytest.param(optimizer, marks=pytest.mark.slow)
            for optimizer in (
                LBFGS(3, every=1),
                # Rounding may end conjugate gradients one product earlier, so they go to the end.
                GaussNewton(3, accuracy=1e-12),
                GaussNewton(3, form="residuals"),
            )
        ),
    ],
)
def test_points_spread_over_eight_devices_train_the_same_network(optimizer):
    problem = decay(truth=None)
    mesh = Mesh(axes=["points"], devices=range(8))
    spread = train(problem, optimizer=optimizer, mesh=mesh, progress=False)
    alone = train(problem, optimizer=optimizer, progress=False)
    for a, b in zip(spread.history, alone.history, strict=True):
        # Sums of 24 numbers in another order.
        assert a.loss == pytest.approx(b.loss, rel=1e-10)
    for a, b in zip(leaves(spread.model), leaves(alone.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)


@pytest.mark.slow
def test_each_device_has_its_part_of_the_points_and_the_gradient_is_whole():
    problem = decay()
    mesh = Mesh(axes=["a", "b"], devices=range(8), shape=(4, 2))
    with jax.enable_x64(True):
        objective, model, batch = prepared(problem)
        spread = Batch(place_batch(mesh, batch.samples), replicate(mesh, batch.weights))
        points = spread.samples["interior"].points
        assert {shard.data.shape for shard in points.addressable_shards} == {(3, 1)}
        _, alone = residuals.loss_and_gradient(objective, model, batch)
        _, whole = residuals.loss_and_gradient(objective, replicate(mesh, model), spread)
    for a, b in zip(leaves(whole), leaves(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


# ---- what does not fit -----------------------------------------------------------------------------------


def poles(model: Any, at: Any) -> Any:
    return model(at)[..., 0] / at["t"]


def kinks(model: Any, at: Any) -> Any:
    """Finite, with a derivative that is not."""
    u = model(at)[..., 0].array
    return jnp.sqrt(u * 0.0)


@pytest.mark.parametrize(
    "optimizer", [LevenbergMarquardt(2), LBFGS(2), GaussNewton(2), Adam(2, every=1)]
)
def test_a_residual_that_is_not_finite_is_named(optimizer):
    terms = (Term("decay", decays), Term("pole", poles, on="start"))
    with pytest.raises(
        NumericsError, match=r"loss is inf at iteration 0, by the residual of: pole"
    ) as caught:
        train(decay(terms=terms), optimizer=optimizer, progress=False)
    assert caught.value.code is Code.E_NAN_INF


@pytest.mark.slow
def test_a_derivative_that_is_not_finite_is_named():
    terms = (Term("decay", decays), Term("kink", kinks, on="start"))
    with pytest.raises(
        NumericsError, match="gradient is not finite at iteration 0, by the residual of: kink"
    ):
        train(decay(terms=terms), optimizer=GaussNewton(2), progress=False)


INVALID, SHAPE = Code.E_GRAPH_INVALID, Code.E_SHAPE_MISMATCH
WRONG: Any = [
    ({"seed": -1}, INVALID, "seed is -1"),
    ({"seed": 1.0}, INVALID, "seed is 1.0"),
    ({"optimizer": []}, INVALID, "there is no optimizer"),
    ({"dtype": "bfloat16"}, Code.TS_ERR_UNSUPPORTED_DTYPE, "dtype is 'bfloat16'"),
    ({"resample": -1}, INVALID, "every is -1"),
    (
        {"resample": Resample(1, adaptive=("x",))},
        INVALID,
        "no sampler x; there are: interior, start",
    ),
    ({"errors_every": 0}, INVALID, "errors_every is 0"),
    ({"chunk_size": 0, "optimizer": Adam(1)}, INVALID, "chunk_size is 0"),
    ({"max_seconds": -1.0}, INVALID, "max_seconds is -1.0"),
    ({"max_seconds": float("nan")}, INVALID, "max_seconds is nan"),
    (
        {"mesh": Mesh(axes=["x"], devices=range(7))},
        SHAPE,
        "24 points do not divide over the 7 devices",
    ),
]


@pytest.mark.parametrize(("options", "code", "match"), WRONG)
def test_arguments_that_do_not_fit_are_errors(options, code, match):
    with pytest.raises(CompileError, match=match) as caught:
        train(decay(), progress=False, **options)
    assert caught.value.code is code


TROUBLE: Any = [
    ({"network": lambda key: {"n": 3}}, INVALID, "has no floating-point arrays"),
    (
        {"network": lambda key: jnp.ones(2, complex)},
        Code.TS_ERR_UNSUPPORTED_DTYPE,
        "complex parameters",
    ),
    ({"grid": (np.ones(2),) * 2}, SHAPE, "its grid has 2 arrays for 1 coordinates"),
    ({"truth": lambda x: {"u": np.ones(3)}}, SHAPE, r"shape \(3,\) for 11 points"),
    ({"truth": lambda x: {"u": np.full(11, np.nan)}}, INVALID, "not finite at some test points"),
    ({"truth": lambda x: {"w": np.ones(11)}}, INVALID, "truth has w, fields have: u"),
    (
        {"fields": lambda model, at: {"u": model(at).concat(model(at))}},
        SHAPE,
        r"'u' has shape \(11, 2\)",
    ),
    ({"samplers": {"interior": Uniform(0), "start": Uniform(2)}}, SHAPE, r"shape \(0, 1\)"),
    (
        {"samplers": {"interior": Uniform(4, 2), "start": Uniform(2)}},
        SHAPE,
        r"they must be \(n, 1\)",
    ),
    (
        {"samplers": {"interior": Points(np.full((3, 1), np.nan)), "start": Uniform(2)}},
        Code.E_NAN_INF,
        "'interior': some of its points are not finite",
    ),
    (
        {"samplers": {"interior": Points(np.ones((3, 1)), {"a": np.ones(2)}), "start": Uniform(2)}},
        SHAPE,
        r"array 'a' has shape \(2,\) for 3 points",
    ),
]


@pytest.mark.parametrize(("change", "code", "match"), TROUBLE)
def test_problems_that_do_not_fit_together_are_errors(change, code, match):
    with pytest.raises(CompileError, match=match) as caught:
        train(decay(**change), progress=False)
    assert caught.value.code is code


@pytest.mark.slow
def test_a_term_without_say_changes_nothing():
    silent = (*decay().terms, Term("silent", begins, on="interior", weight=0.0))
    once, again = (
        train(replace(decay(), terms=terms), optimizer=LevenbergMarquardt(3), progress=False)
        for terms in (decay().terms, silent)
    )
    assert again.loss == pytest.approx(once.loss, rel=1e-8)
    assert set(again.history[-1].residuals) == {"decay", "start", "silent"}


@pytest.mark.slow
def test_least_squares_of_an_array_is_a_problem_too():
    rows = np.random.default_rng(0).normal(size=(6, 2))
    result = train(
        linear(rows, rows @ np.array([2.0, -1.0]), fields=lambda m, at: {}), progress=False
    )
    np.testing.assert_allclose(result.model, [2.0, -1.0], rtol=1e-6)
