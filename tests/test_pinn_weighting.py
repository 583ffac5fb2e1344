"""Weights that follow the training: against their formulas in NumPy, and what they do to a training."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pinn_cases import Points, decay, misses, prepared, problem_of

from tessera.core.errors import Code, CompileError
from tessera.pinn import jacobians
from tessera.pinn.optimizers import LBFGS, Adam, GaussNewton, LevenbergMarquardt
from tessera.pinn.problem import Problem, Term
from tessera.pinn.training import train
from tessera.pinn.weighting import NTK, Causal, GradientNorm, SelfAdaptive, causal_weights

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64", "compiled_quickly")]

RNG = np.random.default_rng(5)
ROWS = {"big": 30 * RNG.normal(size=(8, 3)), "small": 0.1 * RNG.normal(size=(5, 3))}
VALUES = {name: RNG.normal(size=len(rows)) for name, rows in ROWS.items()}
WEIGHTS = {"big": 2.0, "small": 0.5}


def two_terms(**more: Any) -> Problem:
    """Linear residuals, whose Jacobian is known, of very different sizes."""
    samplers = {
        name: Points(np.linspace(0, 1, len(rows))[:, None], {"row": rows, "value": VALUES[name]})
        for name, rows in ROWS.items()
    }
    terms = [
        Term(name, misses, on=name, weight=WEIGHTS[name], uses=("row", "value")) for name in ROWS
    ]
    return problem_of(terms, samplers, lambda key: jnp.full(3, 0.1), **more)


def updated(weighting: Any, problem: Problem, times: int = 1) -> list[Any]:
    """Returns the weights after some changes of them, the network staying the same."""
    objective, model, batch = prepared(problem)
    state = weighting.init(objective, batch)
    weights = list(batch.weights)
    for _ in range(times):
        weights, state = weighting.update(
            objective, model, replace(batch, weights=tuple(weights)), state
        )
    return [np.asarray(weight) for weight in weights]


def misfits() -> dict[str, np.ndarray]:
    return {name: rows @ np.full(3, 0.1) - VALUES[name] for name, rows in ROWS.items()}


def test_ntk_weights_are_ratios_of_traces():
    traces = {name: np.mean(np.sum(rows**2, axis=1)) for name, rows in ROWS.items()}
    whole = sum(traces.values())
    expected = [WEIGHTS[name] * whole / traces[name] for name in ROWS]
    np.testing.assert_allclose(updated(NTK(), two_terms()), expected, rtol=1e-12)


def test_gradient_norm_weights_average_what_makes_norms_equal():
    norms = {
        name: np.linalg.norm(2 / len(rows) * rows.T @ misfits()[name])
        for name, rows in ROWS.items()
    }
    mean = np.mean(list(norms.values()))
    average = dict.fromkeys(ROWS, 1.0)
    for _ in range(3):
        average = {name: 0.8 * average[name] + 0.2 * mean / norms[name] for name in ROWS}
    expected = [WEIGHTS[name] * average[name] for name in ROWS]
    found = updated(GradientNorm(momentum=0.8), two_terms(), times=3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_without_momentum_all_terms_pull_alike():
    objective, model, batch = prepared(two_terms())
    weighting = GradientNorm(momentum=0.0)
    weights, _ = weighting.update(objective, model, batch, weighting.init(objective, batch))
    norms = jacobians.gradient_norms(objective, model, batch.samples)
    pulls = [w * norm / WEIGHTS[name] for name, w, norm in zip(ROWS, weights, norms, strict=True)]
    np.testing.assert_allclose(pulls[0], pulls[1], rtol=1e-12)


def test_self_adaptive_weights_climb_the_gradient_of_the_loss():
    found = updated(SelfAdaptive(rate=0.3, terms=("small",)), two_terms(), times=2)
    coefficient = np.ones(5)
    for _ in range(2):
        slope = WEIGHTS["small"] * 2 * coefficient * misfits()["small"] ** 2 / 5
        coefficient = coefficient + 0.3 * slope
    np.testing.assert_allclose(found[1], WEIGHTS["small"] * coefficient**2, rtol=1e-12)
    np.testing.assert_allclose(found[0], np.full(8, WEIGHTS["big"]))


def test_causal_weights_fall_with_the_residual_before():
    times = np.array([0.0, 0.3, 0.6, 0.9, 1.2, 1.5])
    squares = np.array([1.0, 3.0, 0.5, 0.7, 2.0, 4.0])
    # Three parts of half a unit: (0, .3), (.6, .9), (1.2, 1.5).
    means = [2.0, 0.6, 3.0]
    expected = np.repeat(np.exp(-0.4 * np.array([0.0, means[0], means[0] + means[1]])), 2)
    found = causal_weights(jnp.asarray(times), jnp.asarray(squares), 0.4, chunks=3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    shuffled = RNG.permutation(6)
    again = causal_weights(
        jnp.asarray(times[shuffled]), jnp.asarray(squares[shuffled]), 0.4, chunks=3
    )
    np.testing.assert_allclose(again, expected[shuffled], rtol=1e-12)


def test_parts_of_the_time_without_points_count_nothing():
    found = causal_weights(jnp.array([0.0, 1.0]), jnp.array([2.0, 5.0]), 1.0, chunks=100)
    np.testing.assert_allclose(found, [1.0, np.exp(-2.0)], rtol=1e-12)
    alike = causal_weights(jnp.full(3, 0.5), jnp.ones(3), 1.0, chunks=4)
    np.testing.assert_allclose(alike, np.ones(3))


@pytest.mark.slow
def test_terms_on_one_sampler_take_the_smallest_causal_weight():
    points = {"interior": Points(np.linspace(0, 1, 4)[:, None])}
    terms = [
        Term("early", lambda model, at: (1 - at["t"].array) * model),
        Term("even", lambda model, at: 0.0 * at["t"].array + 0.5 * model, weight=3.0),
    ]
    problem = problem_of(terms, points, lambda key: jnp.ones(()))
    early, even = updated(Causal(tolerance=2.0, chunks=2), problem)
    halves = [np.mean([1.0, (2 / 3) ** 2]), 0.25]
    late = np.exp(-2.0 * max(halves))
    np.testing.assert_allclose(early, [1, 1, late, late], rtol=1e-12)
    np.testing.assert_allclose(even, 3 * early, rtol=1e-12)


@pytest.mark.slow
def test_the_next_tolerance_is_taken_once_all_weights_are_near_one():
    weighting = Causal(tolerance=(1e-6, 1.0, 50.0), chunks=4)
    objective, model, batch = prepared(decay())
    state = weighting.init(objective, batch)
    stages = []
    for _ in range(3):
        _, state = weighting.update(objective, model, batch, state)
        stages.append(int(state.stage))
    # The residual of a new network is large: at tolerance 1 the last weights stay small.
    assert stages == [0, 1, 1]


ADAM = Adam(4, 1e-2, minibatch=6, every=2)
RULES = [NTK(every=2), GradientNorm(every=2), SelfAdaptive(rate=0.01), Causal(chunks=4)]


@pytest.mark.parametrize(
    ("weighting", "optimizer"),
    [
        (NTK(every=2), LevenbergMarquardt(4)),
        *(
            pytest.param(weighting, optimizer, marks=pytest.mark.slow)
            for weighting in RULES
            for optimizer in (
                ADAM,
                LevenbergMarquardt(4),
                LBFGS(4),
                GaussNewton(4),
                GaussNewton(4, form="residuals"),
            )
        ),
    ],
)
def test_every_weighting_goes_with_every_optimizer(weighting, optimizer):
    result = train(decay(), optimizer=optimizer, weighting=weighting, progress=False)
    assert result.history[-1].iteration == 4
    # The loss has other weights at the end than at the beginning.
    assert result.history[-1].residuals["decay"] < result.history[0].residuals["decay"]


@pytest.mark.slow
def test_balanced_terms_let_gradient_descent_see_the_small_one():
    """With weights of one the big term alone is fitted; balanced, the small one is reduced as well."""

    def small_residual(weighting: Any) -> float:
        plain = replace(
            two_terms(), terms=tuple(replace(term, weight=1.0) for term in two_terms().terms)
        )
        result = train(plain, optimizer=Adam(150, 0.02), weighting=weighting, progress=False)
        return result.history[-1].residuals["small"]

    unweighted = small_residual(None)
    assert small_residual(NTK(every=10)) < unweighted
    assert small_residual(GradientNorm(every=10, momentum=0.5)) < unweighted


@pytest.mark.slow
def test_self_adaptive_weights_grow_where_the_residual_stays():
    """One parameter cannot meet both values; the point with the larger misfit gets the larger weight."""
    rows, values = np.ones((4, 1)), np.array([0.0, 0.0, 0.0, 1.0])
    term = Term("miss", misses, uses=("row", "value"))
    points = Points(np.zeros((4, 1)), {"row": rows, "value": values})
    problem = problem_of([term], {"interior": points}, lambda key: jnp.zeros(1), targets={})
    plain = train(problem, optimizer=Adam(300, 0.05), progress=False)
    weighted = train(
        problem, optimizer=Adam(300, 0.05), weighting=SelfAdaptive(0.05), progress=False
    )
    # Least squares gives the mean, 1/4; the largest misfit shrinks as its weight grows.
    assert float(plain.model[0]) == pytest.approx(0.25, abs=1e-2)
    assert float(weighted.model[0]) > 0.35


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: NTK(every=0), "NTK: every is 0"),
        (lambda: GradientNorm(momentum=1.0), "momentum is 1.0"),
        (lambda: SelfAdaptive(rate=-1.0), "rate is -1.0"),
        (lambda: Causal(chunks=0), "chunks is 0"),
        (lambda: Causal(tolerance=0.0), "tolerance is 0.0"),
        (lambda: Causal(tolerance=()), "tolerance is"),
        (lambda: updated(Causal(time="z"), decay()), "no coordinate 'z'; there are: t"),
        (lambda: updated(Causal(terms=("x",)), decay()), "no term x; there are: decay, start"),
        (lambda: updated(Causal(), two_terms()), "no term on the interior"),
        (lambda: updated(SelfAdaptive(terms=("x",)), decay()), "no term x"),
        (
            lambda: train(decay(), weighting=SelfAdaptive(), resample=2, progress=False),
            "weights of single points, which resampling would replace",
        ),
    ],
)
def test_settings_that_make_no_sense_are_errors(make, match):
    with pytest.raises(CompileError, match=match) as caught:
        make()
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_a_term_that_nothing_acts_on_keeps_its_weight():
    points = {"interior": Points(np.zeros((3, 1)))}
    terms = [
        Term("free", lambda model, at: at["t"].array + 1.0, weight=4.0),
        Term("tied", lambda model, at: at["t"].array + model),
    ]
    problem = problem_of(terms, points, lambda key: jnp.ones(()))
    for weighting in (NTK(), GradientNorm()):
        free, tied = updated(weighting, problem)
        assert float(free) == 4.0
        assert np.isfinite(tied)


@pytest.mark.slow
def test_weights_of_points_are_taken_again_for_new_points():
    result = train(
        decay(),
        optimizer=Adam(5, every=1),
        weighting=Causal(chunks=4, every=100),
        resample=2,
        progress=False,
    )
    assert all(np.isfinite(record.loss) for record in result.history)
    assert jax.tree.leaves(result.model)[0].dtype == jnp.float64
