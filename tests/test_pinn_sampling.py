"""Samplers: where points are, how evenly they are spread, and what refinement chooses."""

import importlib.util

import numpy as np
import pytest
from scipy.stats import qmc

from tessera.core.errors import Code, CompileError, NumericsError
from tessera.pinn.geometry import Ball, Box, Disc, Interval, Rectangle, Shape, TimeSlab, l_shape
from tessera.pinn.problem import Sample
from tessera.pinn.sampling import Boundary, Fixed, Initial, Interior, OppositeSides, adapt, add
from tessera.pinn.sequences import SEQUENCES

pytestmark = pytest.mark.newest

SQUARE = Rectangle((0, 1), (0, 1))
CHANNEL = Rectangle((0, 4), (0, 1)) - Disc((1, 0.5), 0.2)
SHAPES = {
    "interval": Interval(-1, 2),
    "square": SQUARE,
    "l shape": l_shape(),
    "channel": CHANNEL,
    "ball": Ball((0, 0, 0), 1),
    "five dimensions": Box((0,) * 5, (1,) * 5),
    "slab": TimeSlab(Disc((0, 0), 1), 0, 2),
}


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_exactly_as_many_points_as_asked_for_are_inside(sequence: str, n: int):
    for shape in SHAPES.values():
        points = Interior(shape, n, sequence).draw(generator()).points
        assert (points.shape, points.dtype) == ((n, shape.dimensions), np.float64)
        assert shape.contains(points).all()
        assert len(np.unique(points, axis=0)) == n


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("n", [1, 5, 64])
def test_exactly_as_many_points_as_asked_for_are_on_the_boundary(sequence: str, n: int):
    for shape in SHAPES.values():
        sample = Boundary(shape, n, sequence).draw(generator())
        assert sample.points.shape == sample.arrays["normals"].shape == (n, shape.dimensions)
        np.testing.assert_allclose(shape.signed_distance(sample.points), 0, atol=1e-12)
        ahead = sample.points + 1e-6 * sample.arrays["normals"]
        assert not shape.contains(ahead).any()


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("dimensions", [1, 2, 7])
def test_a_sequence_has_rows_of_numbers_from_zero_to_one(name: str, dimensions: int):
    for count in (1, 3, 128, 1000):
        numbers = SEQUENCES[name](generator(), count, dimensions)
        assert numbers.shape == (count, dimensions)
        assert (numbers >= 0).all()
        assert (numbers < 1).all()
        # None is preferred: the mean of n numbers is within 5 standard errors of a half.
        np.testing.assert_allclose(numbers.mean(axis=0), 0.5, atol=5 / np.sqrt(12 * count))


@pytest.mark.parametrize("sequence", ["sobol", "halton", "latin", "grid", "stratified"])
def test_other_sequences_are_more_even_than_independent_points(sequence: str):
    def discrepancy(name: str) -> float:
        draws = (Interior(SQUARE, 225, name).draw(generator(seed)) for seed in range(5))
        return float(np.mean([qmc.discrepancy(sample.points) for sample in draws]))

    assert discrepancy(sequence) < discrepancy("uniform") / 2


@pytest.mark.parametrize("shape", [l_shape(), CHANNEL], ids=["l shape", "channel"])
def test_points_of_a_shape_that_is_no_box_are_evenly_spread_too(shape: Shape):
    # Errors of the parts of points below random corners: their mean square is about the discrepancy's.
    corners = generator(1).uniform(*shape.bounds, size=(40, 1, 2))

    def parts_below(points: np.ndarray) -> np.ndarray:
        return np.mean((points <= corners).all(axis=-1), axis=-1)

    expected = parts_below(Interior(shape, 1 << 14).draw(generator(99)).points)

    def error(sequence: str) -> float:
        draws = [Interior(shape, 500, sequence).draw(generator(seed)).points for seed in range(5)]
        return float(np.std([parts_below(points) - expected for points in draws]))

    assert error("sobol") < error("uniform") / 3


def test_a_grid_has_the_middles_of_its_cells():
    points = Interior(Rectangle((0, 3), (0, 6)), 9, "grid").draw(generator()).points
    expected = [(x, y) for x in (0.5, 1.5, 2.5) for y in (1, 3, 5)]
    np.testing.assert_allclose(sorted(points.tolist()), expected)


def test_stratified_points_are_alone_in_their_cells():
    points = Interior(SQUARE, 64, "stratified").draw(generator()).points
    assert len({tuple(cell) for cell in np.floor(points * 8).tolist()}) == 64


def test_latin_points_are_alone_in_their_slices():
    points = Interior(SQUARE, 50, "latin").draw(generator()).points
    for column in points.T:
        assert sorted(np.floor(column * 50)) == list(range(50))


SAMPLERS = [
    *(Interior(SHAPES["l shape"], 33, sequence) for sequence in SEQUENCES),
    Boundary(CHANNEL, 33),
    Initial(SHAPES["slab"], 33),
    OppositeSides(SQUARE, 33, "y"),
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda x: f"{type(x).__name__}-{x.sequence}")
def test_generators_in_the_same_state_give_the_same_bits(sampler: Interior):
    first, again, other = (sampler.draw(generator(seed)) for seed in (3, 3, 4))
    assert first.points.tobytes() == again.points.tobytes()
    assert first.points.tobytes() != other.points.tobytes()
    for name, values in first.arrays.items():
        assert values.tobytes() == again.arrays[name].tobytes()
    state = generator(3)
    sampler.draw(state)
    assert sampler.draw(state).points.tobytes() != first.points.tobytes()


def test_a_lid_is_one_side():
    sample = Boundary(SQUARE, 20, side="y+").draw(generator())
    assert (sample.points[:, 1] == 1).all()
    assert (sample.arrays["normals"] == [0, 1]).all()
    assert np.ptp(sample.points[:, 0]) > 0.8


def test_a_cylinder_in_a_channel_has_normals_into_itself():
    sample = Boundary(CHANNEL, 50, side="surface").draw(generator())
    inwards = np.array([1, 0.5]) - sample.points
    np.testing.assert_allclose(sample.arrays["normals"], inwards / 0.2, atol=1e-12)


def test_walls_of_a_slab_are_at_all_times_and_the_start_at_the_first():
    slab = TimeSlab(Interval(0, 1), 1, 3)
    walls = Boundary(slab, 64).draw(generator())
    assert set(walls.points[:, 0]) == {0.0, 1.0}
    assert (walls.arrays["normals"][:, 1] == 0).all()
    np.testing.assert_allclose(np.histogram(walls.points[:, 1], 8, (1, 3))[0], 8, atol=1)
    start = Initial(slab, 16).draw(generator()).points
    assert (start[:, 1] == 1).all()
    assert sorted(np.floor(start[:, 0] * 16)) == list(range(16))


@pytest.mark.parametrize(
    ("shape", "axis", "length"),
    [
        (SQUARE, "x", [1, 0]),
        (Box((0, 0, 0), (1, 2, 3)), "z", [0, 0, 3]),
        (TimeSlab(Interval(-1, 1), 0, 1), "x", [2, 0]),
        (CHANNEL, "y", [0, 1]),
    ],
)
def test_partners_are_a_period_away(shape: Shape, axis: str, length: list[float]):
    sample = OppositeSides(shape, 12, axis).draw(generator())
    np.testing.assert_array_equal(sample.arrays["partner"], sample.points + length)


def test_measured_data_stay_as_they_are():
    points = np.arange(6.0).reshape(3, 2)
    sampler = Fixed(points, {"u": [1, 2, 3]})
    points[0] = 7
    sample = sampler.draw(generator())
    assert sample.points.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert sample.arrays["u"].tolist() == [1, 2, 3]


def in_corner(points: np.ndarray) -> np.ndarray:
    return (points.max(axis=1) < 0.25).astype(float)


@pytest.mark.parametrize(("power", "offset"), [(1.0, 1.0), (2.0, 0.5), (0.0, 0.0), (3.0, 4.0)])
def test_adapted_points_have_the_probabilities_of_their_formula(power: float, offset: float):
    found = adapt(
        Interior(SQUARE, 1000),
        generator(),
        in_corner,
        pool=60_000,
        power=power,
        offset=offset,
    )
    # A residual of 1 in a sixteenth of the square: weights there and elsewhere.
    there, elsewhere = (16.0 + offset, offset) if power else (1.0 + offset, 1.0 + offset)
    expected = there / (there + 15 * elsewhere)
    # Four standard errors, and a little for a pool that is not infinite.
    tolerance = 4 * np.sqrt(expected * (1 - expected) / 1000) + 0.01
    assert np.mean(in_corner(found.points)) == pytest.approx(expected, abs=tolerance)


def test_adapted_points_are_from_the_pool_and_none_is_there_twice():
    sampler = Interior(SQUARE, 400)
    found = adapt(sampler, generator(5), in_corner, pool=500, power=8).points
    pool = Interior(SQUARE, 500).draw(generator(5)).points
    assert len(np.unique(found, axis=0)) == 400
    assert {tuple(row) for row in found.tolist()} <= {tuple(row) for row in pool.tolist()}


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_adapting_follows_a_residual_of_any_size_with_the_same_bits(scale: float):
    first, again = (
        adapt(Interior(SQUARE, 64), generator(2), lambda x: scale * x[:, 0], power=3).points
        for _ in range(2)
    )
    assert first.tobytes() == again.tobytes()
    assert first[:, 0].mean() > 0.55


def test_points_where_the_residual_is_zero_come_last():
    found = adapt(Interior(SQUARE, 300), generator(), in_corner, pool=1000, offset=0)
    assert np.count_nonzero(in_corner(found.points)) == pytest.approx(1000 / 16, abs=5)
    nothing = adapt(Interior(SQUARE, 10), generator(), lambda x: 0 * x[:, 0], offset=0)
    assert nothing.points.shape == (10, 2)


def test_normals_stay_with_their_points():
    sampler = Boundary(Disc((0, 0), 2), 40)
    found = adapt(sampler, generator(), lambda x: np.maximum(x[:, 0], 0), offset=0)
    np.testing.assert_allclose(found.arrays["normals"], found.points / 2, atol=1e-12)
    assert (found.points[:, 0] > 0).all()


def test_added_points_follow_the_old_ones():
    sampler, state = Boundary(SQUARE, 20), generator()
    old = sampler.draw(state)
    found = add(old, sampler, state, lambda x: x[:, 1] == 1, points=5)
    assert found.points[:20].tobytes() == old.points.tobytes()
    assert (found.points[20:, 1] == 1).all()
    assert (found.arrays["normals"][20:] == [0, 1]).all()


def test_a_missing_scipy_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for sequence in ("sobol", "halton", "latin"):
        with pytest.raises(ImportError, match=r"tessera\[training\]"):
            Interior(SQUARE, 4, sequence).draw(generator())
    for sequence in ("uniform", "grid", "stratified"):
        assert Interior(SQUARE, 4, sequence).draw(generator()).points.shape == (4, 2)


EMPTY = Disc((0, 0), 1) & (Rectangle((0.9, 1), (0.9, 1)))  # bounds overlap, insides do not


def ones(points: np.ndarray) -> np.ndarray:
    return np.ones(len(points))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Interior(SQUARE, 0), "n is 0, not positive"),
        (lambda: Interior(SQUARE, 2.5), "n is 2.5, not an integer"),
        (lambda: Interior(SQUARE, 4, "sobolev"), "unknown sequence 'sobolev'; one of uniform"),
        (lambda: Interior(np.ones(3), 4), "shape is a ndarray, not a Shape"),
        (lambda: Interior(EMPTY, 4).draw(generator()), "there is nothing to draw from"),
        (lambda: Interior(Box((0,) * 80, (1,) * 80), 4, "grid").draw(generator()), "too many"),
        (lambda: Boundary(SQUARE, 4, side="lid"), "there is no side 'lid'"),
        (
            lambda: Boundary(SQUARE | Rectangle((-1, 0), (0, 1)), 4, side=0).draw(generator()),
            "there is nothing to draw from",
        ),
        (lambda: Initial(SQUARE, 4), "shape is a Box, not a TimeSlab"),
        (lambda: OppositeSides(l_shape(), 4, "x"), "'x' has no two sides"),
        (
            lambda: OppositeSides(SQUARE | Disc((1, 0.5), 0.4), 4, "x").draw(generator()),
            r"side x\+ is not x- moved along x",
        ),
        (lambda: Fixed([1.0, 2.0]), r"shape \(2,\), not \(n, d\)"),
        (lambda: Fixed(np.zeros((0, 2))), r"shape \(0, 2\), not \(n, d\)"),
        (lambda: Fixed([[1.0]], {"u": [1, 2]}), r"'u' has shape \(2,\) for 1 points"),
        (lambda: Fixed([[1.0]], {"u": 1}), r"'u' has shape \(\) for 1 points"),
        (lambda: Fixed([[np.nan]]), "is not finite"),
        (
            lambda: adapt(Interior(SQUARE, 4), generator(), ones, pool=3),
            "4 points do not come from a pool of 3",
        ),
        (lambda: adapt(Interior(SQUARE, 4), generator(), ones, power=-1), "at least 0"),
        (lambda: adapt(Interior(SQUARE, 4), generator(), ones, offset=np.nan), "at least 0"),
        (
            lambda: adapt(Interior(SQUARE, 4), generator(), lambda x: x),
            r"returns shape \(40, 2\) for 40 points",
        ),
        (
            lambda: adapt(Interior(SQUARE, 4), generator(), lambda x: x[:, 0] * np.nan),
            "not finite at 40 of 40 points",
        ),
        (
            lambda: add(Sample(np.ones((1, 2))), Boundary(SQUARE, 4), generator(), ones, points=2),
            r"arrays \[\] and the sampler gives \['normals'\]",
        ),
        (
            lambda: add(Sample(np.ones((1, 2))), Interior(SQUARE, 4), generator(), ones, points=0),
            "0 points do not come",
        ),
    ],
)
def test_what_cannot_be_drawn_is_an_error(call, message: str):
    with pytest.raises((CompileError, NumericsError), match=message) as caught:
        call()
    assert caught.value.code in (Code.E_GRAPH_INVALID, Code.E_SHAPE_MISMATCH, Code.E_NAN_INF)
