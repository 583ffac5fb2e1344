"""Shapes: areas, the theorem of Gauss, normals and distances, against formulas and quadrature."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera.core.errors import Code, CompileError
from tessera.pinn.geometry import (
    Ball,
    Box,
    Disc,
    Interval,
    Polygon,
    Rectangle,
    Shape,
    TimeSlab,
    l_shape,
)
from tessera.pinn.sequences import SEQUENCES

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("x64", "compiled_quickly")]

SQUARE = Rectangle((0, 1), (0, 1))
STAR = Polygon(  # clockwise
    tuple(
        (r * math.sin(a), r * math.cos(a))
        for r, a in zip([1.0, 0.4] * 5, np.arange(10) * math.pi / 5, strict=True)
    )
)
TRIANGLE = Polygon(((0, 0), (3, 0), (0, 1)))
LENS = 2 * math.pi / 3 - math.sqrt(3) / 2  # two unit discs whose centers are 1 apart

# A shape, and its length, area or volume by formula.
SHAPES: dict[str, tuple[Shape, float]] = {
    "interval": (Interval(-1, 2), 3.0),
    "rectangle": (Rectangle((-1, 2), (0.5, 1)), 1.5),
    "box": (Box((0, -1, 2), (1, 1, 5)), 6.0),
    "disc": (Disc((0.5, -1), 2), 4 * math.pi),
    "ball": (Ball((1, 0, 0), 0.5), math.pi / 6),
    "ball in five dimensions": (Ball((0, 0, 0, 0, 1), 1), 8 * math.pi**2 / 15),
    "triangle": (TRIANGLE, 1.5),
    "star": (STAR, 10 * 0.5 * 0.4 * math.sin(math.pi / 5)),
    "l shape": (l_shape(), 3.0),
    "with a hole": (Rectangle((0, 4), (0, 1)) - Disc((1, 0.5), 0.2), 4 - 0.04 * math.pi),
    "two discs": (Disc((0, 0), 1) | Disc((1, 0), 1), 2 * math.pi - LENS),
    "lens": (Disc((0, 0), 1) & Disc((1, 0), 1), LENS),
    "moon": (Disc((0, 0), 1) - Disc((1, 0), 1), math.pi - LENS),
    "side by side": (SQUARE | Rectangle((1, 2), (0, 1)), 2.0),
    "overlapping": (Rectangle((0, 2), (0, 1)) | Rectangle((1, 3), (0, 1)), 3.0),
    "corner cut off": (Rectangle((-1, 1), (-1, 1)) - Rectangle((0, 1), (-1, 0)), 3.0),
    "two holes": (
        (Rectangle((0, 4), (0, 1)) - Disc((1, 0.5), 0.2)) - Disc((3, 0.5), 0.3),
        4 - 0.13 * math.pi,
    ),
    "shell": (Ball((0, 0, 0), 1) - Ball((0, 0, 0), 0.5), 4 / 3 * math.pi * (1 - 1 / 8)),
    "pieces": (Interval(0, 1) | Interval(2, 3), 2.0),
    "slab": (TimeSlab(Interval(-1, 1), 1, 3), 4.0),
    "slab of a disc": (TimeSlab(Disc((0, 0), 1), 0, 0.5), math.pi / 2),
}
NAMES = sorted(SHAPES)
# Shapes whose `distance` is that to the whole boundary and not to walls, and that meet in no common piece.
SMOOTH = sorted(set(NAMES) - {"side by side", "overlapping", "slab", "slab of a disc"})
# Shapes of every kind, and joined in more than one way.
COMPILED = {"disc", "l shape", "two discs", "with a hole", "overlapping"}


def seldom(names: list[str], often: set[str]) -> list[Any]:
    """Returns names as parameters of a test, those that are not in a set for the slow lane."""
    return [name if name in often else pytest.param(name, marks=pytest.mark.slow) for name in names]


def cube(count: int, dimensions: int, seed: int = 0) -> np.ndarray:
    return SEQUENCES["sobol"](np.random.default_rng(seed), count, dimensions)


def inside(shape: Shape, count: int = 400) -> np.ndarray:
    points = scattered(shape, 12 * count)
    return points[shape.signed_distance(points) > 1e-3][:count]


def scattered(shape: Shape, count: int) -> np.ndarray:
    lower, upper = shape.bounds
    middle, half = (upper + lower) / 2, (upper - lower) / 2
    return middle + half * 1.3 * (2 * cube(count, shape.dimensions) - 1)


def on_boundary(shape: Shape, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns points of all sides, their normals, and the measure that each stands for."""
    every = list(range(len(shape.sides)))
    found = shape.boundary(cube(count, max(shape.dimensions - 1, 1)), every)
    weight = sum(side.measure for side in shape.sides) / count
    return found.points[found.kept], found.normals[found.kept], weight


@functools.cache
def distance_along(name: str) -> Any:
    """Returns a compiled function of points and directions that gives the distance and its derivative."""
    distance = SHAPES[name][0].distance
    return jax.jit(lambda points, ways: jax.jvp(distance, (points,), (ways,)))


def rows(*arrays: np.ndarray) -> list[np.ndarray]:
    """Returns arrays with 256 rows, some of them twice, for which there is one program."""
    return [np.resize(x, (256, x.shape[-1])) for x in arrays]


@pytest.mark.parametrize("name", NAMES)
def test_a_shape_has_the_measure_of_its_formula(name: str):
    shape, expected = SHAPES[name]
    # Exact, but for parts that two shapes have in common and neither is inside the other.
    estimated = name in ("two discs", "lens", "moon", "overlapping")
    assert shape.measure == pytest.approx(expected, rel=3e-4 if estimated else 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_flux_of_the_position_through_the_boundary_is_the_volume_times_the_dimensions(
    name: str,
):
    shape, expected = SHAPES[name]
    points, normals, weight = on_boundary(shape, 1 << 12)
    tolerance = 6e-3 * sum(side.measure for side in shape.sides)
    flux = weight * np.sum(points * normals)
    assert flux == pytest.approx(shape.dimensions * expected, abs=tolerance * shape.extent)
    np.testing.assert_allclose(weight * np.sum(normals, axis=0), 0, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_normals_have_length_one_and_point_outwards(name: str):
    shape, _ = SHAPES[name]
    points, normals, _ = on_boundary(shape, 500)
    assert len(points) > 50
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, rtol=1e-12)
    assert shape.contains(points).all()
    ahead, behind = (shape.contains(points + step * normals) for step in (1e-5, -1e-5))
    # Within a step of a corner the point behind may be outside, the point ahead of an inner one inside.
    assert np.count_nonzero(ahead | ~behind) <= 2


@pytest.mark.parametrize("name", seldom(SMOOTH, COMPILED))
def test_a_distance_is_zero_on_the_boundary_and_has_a_derivative_of_one_inwards(name: str):
    shape, _ = SHAPES[name]
    points, normals, _ = on_boundary(shape, 256)
    values, slopes = distance_along(name)(*rows(points), *rows(-normals))
    np.testing.assert_allclose(values, 0, atol=1e-12)
    # Rounding of a point on a round side, next to a corner, is seen by the kink there.
    np.testing.assert_allclose(slopes, 1, atol=1e-6)


@pytest.mark.parametrize("name", seldom(sorted({*SMOOTH, "overlapping"}), COMPILED))
def test_a_distance_is_positive_inside_and_negative_outside(name: str):
    shape, _ = SHAPES[name]
    (points,) = rows(scattered(shape, 256))
    exact = shape.signed_distance(points)
    away = np.abs(exact) > 1e-9
    found = np.asarray(distance_along(name)(points, points)[0])
    np.testing.assert_array_equal(found[away] > 0, exact[away] > 0)


@pytest.mark.parametrize("name", ["interval", "box", "disc", "star", "l shape"])
def test_a_signed_distance_is_that_to_the_nearest_point_of_the_boundary(name: str):
    shape, _ = SHAPES[name]
    points = scattered(shape, 100)
    boundary, _, _ = on_boundary(shape, 1 << 14)
    nearest = np.min(np.linalg.norm(points[:, None] - boundary, axis=-1), axis=1)
    # The boundary is known at 16384 points, about 0.04 apart on the box of area 22.
    found = np.abs(shape.signed_distance(points))
    assert (found <= nearest + 1e-12).all()
    np.testing.assert_allclose(found, nearest, atol=0.05 if name == "box" else 1e-3)


@pytest.mark.parametrize("shape", [TRIANGLE, STAR, l_shape()], ids=["triangle", "star", "l shape"])
def test_the_inside_of_a_polygon_is_what_it_winds_around(shape: Polygon):
    points = scattered(shape, 2000)
    corners = np.array(shape.vertices) @ [1, 1j] - (points @ [1, 1j])[:, None]
    turns = np.sum(np.angle(np.roll(corners, -1, axis=1) / corners), axis=1) / (2 * np.pi)
    np.testing.assert_array_equal(shape.contains(points), np.abs(turns) > 0.5)


@pytest.mark.parametrize(
    "shape", [l_shape(), *(pytest.param(x, marks=pytest.mark.slow) for x in (TRIANGLE, STAR))]
)
def test_the_distance_of_a_polygon_is_the_mean_over_all_directions(shape: Polygon):
    points = inside(shape, 20)
    angles = (np.arange(8000) + 0.5) * 2 * np.pi / 8000
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    start = np.array(shape.vertices)
    along = np.roll(start, -1, axis=0) - start
    expected = []
    for point in points:
        away = start - point
        bend = rays[:, :1] * along[:, 1] - rays[:, 1:] * along[:, 0]
        far = (away[:, 0] * along[:, 1] - away[:, 1] * along[:, 0]) / bend
        part = (away[:, 0] * rays[:, 1:] - away[:, 1] * rays[:, :1]) / bend
        hits = (far > 0) & (part >= 0) & (part < 1)
        # Rays leave at the first, third, ... crossing and enter at the others.
        order = np.sum((far[:, None, :] < far[:, :, None]) & hits[:, None, :], axis=-1)
        signs = np.where(order % 2 == 0, 1.0, -1.0)
        total = np.sum(np.where(hits, signs / np.where(hits, far, 1), 0))
        expected.append(2 / (total * 2 * np.pi / len(rays)))
    found = jax.jit(shape.distance)(jnp.asarray(points))
    np.testing.assert_allclose(found, expected, rtol=2e-3)


@pytest.mark.slow
def test_the_distance_of_a_polygon_is_smooth_where_its_edges_would_go_on():
    shape = l_shape()
    # On the lines of both edges of the re-entrant corner, and a little beside them.
    on = jnp.array([[-0.5, 0.0], [0.0, 0.5], [-0.9, 0.0], [0.0, 0.05]])
    hessian = jax.jit(jax.vmap(jax.jacfwd(jax.jacfwd(shape.distance))))
    for step in (1e-6, -1e-6):
        np.testing.assert_allclose(hessian(on + step), hessian(on), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "corner"),
    [
        (l_shape(), (0.0, 0.0)),
        pytest.param(SQUARE, (0.0, 0.0), marks=pytest.mark.slow),
        pytest.param(STAR, STAR.vertices[3], marks=pytest.mark.slow),
        pytest.param(
            Disc((0, 0), 1) & Rectangle((0, 2), (-2, 2)), (0.0, 1.0), marks=pytest.mark.slow
        ),
    ],
)
def test_a_distance_has_finite_derivatives_at_a_corner(shape: Shape, corner: tuple[float, float]):
    value, slope = jax.jit(jax.value_and_grad(shape.distance))(jnp.array(corner))
    assert abs(value) < 1e-15
    assert np.isfinite(slope).all()


def test_a_bubble_is_a_product_of_parabolas():
    box = Box((0, 1), (2, 4))
    points = scattered(box, 50)
    x, y = points.T
    expected = x * (2 - x) * (y - 1) * (4 - y) * 4 / 9
    np.testing.assert_allclose(box.bubble(jnp.asarray(points)), expected, rtol=1e-12, atol=1e-14)
    ends = Interval(0, 3).distance(jnp.array([[0.0], [1.0], [3.0]]))
    np.testing.assert_allclose(ends, [0, 2 / 3, 0], rtol=1e-15)


@pytest.mark.parametrize(
    "name", seldom(["box", "disc", "star", "with a hole", "slab"], {"with a hole"})
)
def test_a_distance_keeps_float32_and_takes_any_leading_axes(name: str):
    shape, _ = SHAPES[name]
    points = inside(shape, 24)
    single = jax.jit(shape.distance)(jnp.asarray(points.reshape(2, 3, 4, -1), jnp.float32))
    assert (single.dtype, single.shape) == (jnp.float32, (2, 3, 4))
    double = np.asarray(jax.jit(shape.distance)(jnp.asarray(points))).reshape(2, 3, 4)
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


def test_evenly_spread_numbers_give_each_edge_points_by_its_length():
    found = l_shape().boundary(cube(1024, 1))
    lengths = np.array([1, 1, 2, 2, 1, 1])
    which = np.argmin([distance_to(i, found.points) for i in range(6)], axis=0)
    counts = np.bincount(which, minlength=6)
    np.testing.assert_allclose(counts, 1024 * lengths / 8, atol=1)


def distance_to(edge: int, points: np.ndarray) -> np.ndarray:
    start, end = (np.array(l_shape().vertices[i % 6]) for i in (edge, edge + 1))
    part = np.clip((points - start) @ (end - start) / np.sum((end - start) ** 2), 0, 1)
    return np.linalg.norm(points - start - part[:, None] * (end - start), axis=-1)


@pytest.mark.parametrize("dimensions", [2, 3, 4, 5, 8])
def test_points_of_a_sphere_have_the_moments_of_the_uniform_distribution(dimensions: int):
    ball = Ball((0.0,) * dimensions, 1)
    x = ball.boundary(cube(1 << 12, dimensions - 1)).points
    np.testing.assert_allclose(np.mean(x, axis=0), 0, atol=5e-3)
    np.testing.assert_allclose(x.T @ x / len(x), np.eye(dimensions) / dimensions, atol=5e-3)
    fourth = 3 / (dimensions * (dimensions + 2))
    np.testing.assert_allclose(np.mean(x**4, axis=0), fourth, atol=5e-3)


@pytest.mark.parametrize(
    ("side", "expected"),
    [("y+", {"y": 1.0}), (3, {"y": 1.0}), ("x-", {"x": 0.0}), (["x-", 0], {"x": 0.0})],
)
def test_a_side_is_chosen_by_name_or_number(side: object, expected: dict[str, float]):
    found = SQUARE.boundary(cube(64, 1), side)
    for axis, value in expected.items():
        assert (found.points[:, "xy".index(axis)] == value).all()


def test_several_sides_share_points_by_length():
    found = Rectangle((0, 3), (0, 1)).boundary(cube(400, 1), ["y-", "x+"])
    on_right = found.points[:, 0] == 3
    assert np.count_nonzero(on_right) == pytest.approx(100, abs=1)
    assert (found.points[~on_right, 1] == 0).all()


def test_a_name_chooses_every_side_that_has_it():
    shape, _ = SHAPES["two holes"]
    points = shape.boundary(cube(500, 1), "surface").points
    assert set(np.round(points[:, 0])) >= {1.0, 3.0}
    only = shape.boundary(cube(500, 1), 5).points
    np.testing.assert_allclose(np.linalg.norm(only - [3, 0.5], axis=-1), 0.3)


def test_a_corner_cut_off_is_the_l_shape():
    cut, _ = SHAPES["corner cut off"]
    points = scattered(cut, 5000)
    np.testing.assert_array_equal(cut.contains(points), l_shape().contains(points))
    edges, normals, weight = on_boundary(cut, 4096)
    assert weight * len(edges) == pytest.approx(8, rel=2e-3)
    assert np.abs(normals).max(axis=-1).min() == 1


def test_a_point_on_the_edge_is_inside_and_one_that_is_no_number_is_not():
    assert SQUARE.contains([[0, 0], [1, 0.5], [1 + 1e-8, 0.5], [np.nan, 0.5]]).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert SQUARE.contains([[1 + 1e-8, 0.5]], tolerance=1e-7).all()
    assert SQUARE.contains(np.zeros((0, 2))).shape == (0,)
    assert l_shape().contains([0.0, 0.0]) == np.True_


def test_walls_have_no_normal_in_time_and_ends_have_none_in_space():
    slab = TimeSlab(Disc((0, 0), 1), 2, 5)
    walls = slab.boundary(cube(256, 2))
    assert (walls.normals[:, 2] == 0).all()
    assert (walls.points[:, 2].min() < 2.1) & (walls.points[:, 2].max() > 4.9)
    np.testing.assert_allclose(np.linalg.norm(walls.points[:, :2], axis=-1), 1)
    end = slab.boundary(cube(4096, 2), "t+")
    assert (end.points[:, 2] == 5).all()
    assert (end.normals == [0, 0, 1]).all()
    assert np.mean(end.kept) == pytest.approx(np.pi / 4, abs=0.02)


def test_shapes_of_the_same_numbers_are_equal_and_hash_alike():
    assert Box([0], [1]) == Interval(0, 1)
    assert hash(Rectangle((0, 1), (0, 1)) - Disc((0, 0), 1)) == hash(SQUARE - Ball((0, 0), 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box((0, 0), (1, 0)), "each must be below"),
        (lambda: Box((0, 0), (1,)), "each must be below"),
        (lambda: Box((), ()), "must be finite numbers"),
        (lambda: Box((0, np.nan), (1, 1)), "must be finite numbers"),
        (lambda: Box(("a",), ("b",)), "not a sequence of numbers"),
        (lambda: Ball((0, 0), -1), "radius is -1.0, not positive"),
        (lambda: Ball((0,), 1), "one coordinate"),
        (lambda: Ball((0, 0), np.inf), "must be finite numbers"),
        (lambda: Disc((0, 0, 0), 1), "not two coordinates"),
        (lambda: Polygon(((0, 0), (1, 0))), "not three or more pairs"),
        (lambda: Polygon(((0, 0), (1, 1), (1, 0), (0, 1))), "meet away from a common vertex"),
        (lambda: Polygon(((0, 0), (1, 0), (1, 0), (0, 1))), "meet away from a common vertex"),
        (lambda: Polygon(((0, 0), (2, 0), (1, 0), (1, 1))), "meet away from a common vertex"),
        (lambda: Polygon(((0, 0), (1, 0), (2, 0))), "meet away from a common vertex"),
        (lambda: SQUARE & Rectangle((2, 3), (0, 1)), "nothing is in both"),
        (lambda: SQUARE | Interval(0, 1), "one has 2 dimensions and the other 1"),
        (lambda: SQUARE - 3, "an operand is a int"),
        (lambda: TimeSlab(SQUARE, 1, 1), "to a later one"),
        (lambda: TimeSlab(3, 0, 1), "to a later one"),
        (lambda: SQUARE.contains([[0, 0, 0]]), "last axis must be 2 coordinates"),
        (lambda: SQUARE.contains(0.5), "last axis must be 2 coordinates"),
        (lambda: l_shape().distance(jnp.zeros(3)), "last axis must be 2 coordinates"),
        (lambda: SQUARE.distance(jnp.zeros((4, 2), int)), "need real floating-point"),
        (lambda: SQUARE.boundary(np.zeros((4, 1)), "top"), "the sides are 0 'x-', 1 'x\\+'"),
        (lambda: SQUARE.boundary(np.zeros((4, 1)), 4), "there is no side 4"),
        (lambda: SQUARE.boundary(np.zeros((4, 1)), []), "there is no side"),
        (lambda: SQUARE.boundary(np.zeros((4, 1)), True), "there is no side True"),
    ],
)
def test_what_is_no_shape_and_no_point_is_an_error(make, message):
    with pytest.raises(CompileError, match=message) as caught:
        make()
    assert caught.value.code in (
        Code.E_GRAPH_INVALID,
        Code.E_SHAPE_MISMATCH,
        Code.E_TARGET_CODEGEN,
    )
