"""Reference solutions of PINN problems, against laws, published numbers and other methods."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.sparse import identity, kron
from scipy.sparse.linalg import spsolve
from scipy.special import ive

from tessera.core.errors import Code, CompileError
from tessera.pinn.reference import allen_cahn, burgers, cavity, cavity_tables, exact, l_shape
from tessera.pinn.reference.checks import require_count, require_number, require_points

pytestmark = pytest.mark.newest

GENERATOR = np.random.default_rng(3)


def grid(*axes: np.ndarray) -> np.ndarray:
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


# --- Exact solutions -------------------------------------------------------------------------------------


def navier_stokes(f: dict, g: dict, h: dict, viscosity: float, axes: str, steady: bool) -> list:
    """Momentum and continuity from values, gradients and Hessians by name."""
    velocity = "uvw"[: len(axes)]
    momentum = [
        (0.0 if steady else g[c][-1])
        + sum(f[d] * g[c][k] for k, d in enumerate(velocity))
        + g["p"][i]
        - viscosity * sum(h[c][k][k] for k in range(len(axes)))
        for i, c in enumerate(velocity)
    ]
    return [*momentum, sum(g[c][k] for k, c in enumerate(velocity))]


# The solution, its number of coordinates, and the residuals of its equation.
EQUATIONS = {
    "kovasznay": (
        exact.kovasznay(40.0),
        2,
        lambda f, g, h: [
            *navier_stokes(f, g, h, 1 / 40, "xy", True),
            f["u"] - g["psi"][1],
            f["v"] + g["psi"][0],
        ],
    ),
    "taylor_green": (
        exact.taylor_green(0.03),
        3,
        lambda f, g, h: [
            *navier_stokes(f, g, h, 0.03, "xy", False),
            f["u"] - g["psi"][1],
            f["v"] + g["psi"][0],
            f["omega"] - g["v"][0] + g["u"][1],
        ],
    ),
    "poiseuille": (
        exact.poiseuille(0.1, 0.8, 1.5),
        2,
        lambda f, g, h: navier_stokes(f, g, h, 0.1, "xy", True),
    ),
    "couette": (
        exact.couette(1.5, 2.0),
        2,
        lambda f, g, h: navier_stokes(f, g, h, 0.7, "xy", True),
    ),
    "beltrami": (
        exact.beltrami(0.1, 0.9, 1.3),
        4,
        lambda f, g, h: navier_stokes(f, g, h, 0.1, "xyz", False),
    ),
    "heat": (exact.heat(0.05), 2, lambda f, g, h: [g["u"][1] - 0.05 * h["u"][0][0]]),
    "wave": (exact.wave(1.5), 2, lambda f, g, h: [h["u"][1][1] - 2.25 * h["u"][0][0]]),
    "pulse": (exact.pulse(1.5, 0.7), 2, lambda f, g, h: [h["u"][1][1] - 2.25 * h["u"][0][0]]),
    "helmholtz": (
        exact.helmholtz(1.0, 2.0, 3.0),
        2,
        lambda f, g, h: [h["u"][0][0] + h["u"][1][1] + 9 * f["u"] - f["q"]],
    ),
    "poisson": (exact.poisson(), 2, lambda f, g, h: [h["u"][0][0] + h["u"][1][1] - f["f"]]),
    "burgers_shock": (
        exact.burgers_shock(0.05),
        2,
        lambda f, g, h: [g["u"][1] + f["u"] * g["u"][0] - 0.05 * h["u"][0][0]],
    ),
    "burgers_wave": (
        exact.burgers_wave(0.05),
        2,
        lambda f, g, h: [g["u"][1] + f["u"] * g["u"][0] - 0.05 * h["u"][0][0]],
    ),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_an_exact_solution_solves_its_equation(name: str, x64: None, compiled_quickly: None):
    solution, d, residuals = EQUATIONS[name]
    points = jnp.asarray(GENERATOR.uniform(0, 1, (12, d)))

    def residual(point: jax.Array) -> jax.Array:
        parts = [
            f(point) for f in (solution, jax.jacfwd(solution), jax.jacfwd(jax.jacfwd(solution)))
        ]
        return jnp.stack(residuals(*parts))

    # Second derivatives are of order 1e2.
    assert float(jnp.abs(jax.jit(jax.vmap(residual))(points)).max()) < 1e-11


# Values to 40 digits, rounded once, from the project's golden file of exact solutions.
VALUES = {
    "kovasznay": (
        exact.kovasznay(40.0),
        [-0.25, 0.375],
        {"u": 1.8997498900433283, "v": -0.1380073014366779, "p": -0.3095498646329812},
    ),
    "taylor_green": (
        exact.taylor_green(0.01),
        [0.5, 1.25, 0.1],
        {"u": -0.8311483932565836, "v": 0.15087154838417358, "p": 0.06495000709775726},
    ),
    "poiseuille": (exact.poiseuille(0.1, 0.8), [0.75, 0.125], {"u": 0.4375, "v": 0.0, "p": -0.6}),
    "couette": (exact.couette(1.5), [0.5, 0.125], {"u": 0.1875, "v": 0.0, "p": 0.0}),
    "beltrami": (
        exact.beltrami(0.1),
        [0.5, -0.25, 0.75, 0.1],
        {
            "u": -2.3245587756648294,
            "v": -1.248017122794941,
            "w": -0.12283900726709167,
            "p": -3.4881048310080494,
        },
    ),
    "heat": (exact.heat(0.05), [0.9, 0.5], {"u": 0.28535276868680814}),
    "wave": (exact.wave(1.5), [0.5, 0.3], {"u": 0.15643446504023092}),
    "poisson": (
        exact.poisson(),
        [0.5, 0.7],
        {"u": -0.8635565162951535, "f": 47.6327578945568},
    ),
    "burgers_shock": (exact.burgers_shock(), [0.2, 0.75], {"u": 0.24594041904508504}),
    "burgers_wave": (exact.burgers_wave(), [-0.75, 0.0], {"u": -0.12316287303231405}),
}


@pytest.mark.parametrize("name", VALUES)
def test_an_exact_solution_has_the_known_value(name: str):
    solution, point, expected = VALUES[name]
    found = solution([point])
    for field, value in expected.items():
        assert found[field].dtype == np.float64
        # A few roundings of terms of the order of the largest value.
        np.testing.assert_allclose(found[field], [value], rtol=4e-15, atol=1e-15)


def test_jax_points_keep_their_dtype_and_numpy_points_get_float64():
    assert exact.kovasznay(40.0)(jnp.zeros((3, 2), jnp.float32))["u"].dtype == jnp.float32
    assert exact.kovasznay(40.0)(np.zeros((3, 2), np.float32))["u"].dtype == np.float64


def test_equal_parameters_give_the_same_function():
    assert exact.taylor_green(0.02) is exact.taylor_green(0.02)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: exact.kovasznay(0.0), "reynolds is 0; it must be above zero"),
        (lambda: exact.taylor_green(math.nan), "viscosity is nan"),
        (lambda: exact.burgers_wave(amplitude=1.0), "phi vanishes"),
        (lambda: exact.heat(modes=((1.5, 1.0),)), "the first a positive integer"),
        (lambda: exact.wave(modes=((1, 1.0),)), "each is 3 numbers"),
        (lambda: exact.kovasznay()(np.zeros((3, 3))), r"\(3, 3\), not \(\.\.\., 2\)"),
        (lambda: exact.kovasznay()(1.0), r"the shape \(\), not"),
        (lambda: exact.kovasznay()("x"), "real numbers"),
        (lambda: exact.kovasznay()([[None, 1]]), "real numbers"),
    ],
)
def test_bad_parameters_of_exact_solutions_are_errors(make, message):
    with pytest.raises(CompileError, match=message):
        make()


# --- Burgers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("viscosity", [0.05, 0.3, 2.0])
def test_burgers_is_its_series_of_bessel_functions(viscosity: float):
    # Cole (1951): the heat equation from exp(-cos(pi x) / (2 pi nu)), a series in modified Bessel functions.
    # For smaller viscosities the series cancels.
    at = grid(np.linspace(-1, 1, 21), np.array([0.01, 0.2, 1.0, 4.0]))
    x, t = at.T
    n = np.arange(1, 120)
    z = 1 / (2 * math.pi * viscosity)
    terms = 2.0 * (-1.0) ** n * ive(n, z) * np.exp(-(n**2) * math.pi**2 * viscosity * t[:, None])
    angle = math.pi * n * x[:, None]
    phi = ive(0, z) + (terms * np.cos(angle)).sum(axis=1)
    expected = 2 * viscosity * math.pi * (n * terms * np.sin(angle)).sum(axis=1) / phi
    found = burgers.solution(at, viscosity)["u"]
    # The series loses a few digits at the smallest viscosity.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 if viscosity > 0.1 else 1e-12)


def test_burgers_is_the_integral_of_cole_and_hopf_by_adaptive_quadrature():
    nu, t, x = burgers.VISCOSITY, 0.6, 0.13

    def weight(s: float) -> float:
        # 50 is the largest value of the exponent.
        return math.exp(
            -s * s / (4 * nu * t) - math.cos(math.pi * (x - s)) / (2 * math.pi * nu) - 50
        )

    def weighted(s: float) -> float:
        return math.sin(math.pi * (x - s)) * weight(s)

    parts = [
        sum(
            quad(f, a, a + 0.25, epsabs=0, epsrel=1e-13, limit=200)[0]
            for a in np.arange(-2, 2, 0.25)
        )
        for f in (weighted, weight)
    ]
    found = burgers.solution([[x, t]])["u"]
    np.testing.assert_allclose(found, [-parts[0] / parts[1]], rtol=0, atol=1e-11)


def slope_at_the_shock(t: float) -> float:
    h = 4e-4
    weights = np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280])
    x = h * np.arange(-4, 5)
    return float(weights @ burgers.solution(np.stack([x, 0 * x + t], axis=1))["u"]) / h


def test_the_steepest_slope_of_burgers_is_the_published_one():
    # C. Basdevant et al., Computers & Fluids 14 (1986) 23-41: |u_x| = 152.00516 at pi t = 1.6037.
    assert abs(slope_at_the_shock(1.6037 / math.pi) + 152.00516) < 1e-5
    assert slope_at_the_shock(1.58 / math.pi) > slope_at_the_shock(1.6037 / math.pi)
    assert slope_at_the_shock(1.63 / math.pi) > slope_at_the_shock(1.6037 / math.pi)


def test_burgers_is_odd_periodic_and_begins_as_a_sine():
    at = grid(np.linspace(-1, 1, 41), np.array([0.0, 1e-9, 0.3, 1.0]))
    u = burgers.solution(at)["u"].reshape(41, 4)
    np.testing.assert_allclose(u, -u[::-1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(u[[0, 20, -1]], 0, atol=1e-13)
    np.testing.assert_allclose(u[:, 0], -np.sin(math.pi * at[::4, 0]), rtol=0, atol=1e-15)


@pytest.mark.parametrize("viscosity", [1e-4, 1e-2, 1e3])
def test_burgers_stays_bounded_and_finite_for_any_time(viscosity: float):
    at = grid(np.linspace(-1, 1, 9), np.array([0.0, 1e-12, 1.0, 1e6]))
    u = burgers.solution(at, viscosity)["u"]
    assert np.isfinite(u).all()
    assert np.abs(u).max() <= 1


def test_many_points_are_taken_in_chunks(monkeypatch: pytest.MonkeyPatch):
    at = GENERATOR.uniform(0, 1, (300, 2))
    whole = burgers.solution(at)["u"]
    monkeypatch.setattr(burgers, "CHUNK", 2000)
    np.testing.assert_allclose(burgers.solution(at)["u"], whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("points", "viscosity", "message"),
    [
        ([[1.5, 0.0]], 0.01, r"x = 1.5 is outside \[-1, 1\]"),
        ([[0.0, -0.1]], 0.01, r"t = -0.1 is outside \[0, inf\]"),
        ([[0.0, 0.1]], 1e-5, "below 0.0001"),
        ([[0.0, 0.1]], -1.0, "above zero"),
        ([0.0, 0.1], 0.01, r"shape \(2,\), not \(n, 2\)"),
        ([[0.0, math.nan]], 0.01, "point 0 is not finite"),
        ([["a", "b"]], 0.01, "real numbers"),
        ([[0.0], [0.0, 1.0]], 0.01, "real numbers"),
    ],
)
def test_bad_points_are_errors(points, viscosity, message):
    with pytest.raises(CompileError, match=message):
        burgers.solution(points, viscosity)


def test_no_points_give_no_values():
    assert burgers.solution(np.zeros((0, 2)))["u"].shape == (0,)
    assert allen_cahn.solve(16, 20).at(np.zeros((0, 2)))["u"].shape == (0,)
    assert l_shape.solve(6, 3).at(np.zeros((0, 2)))["u_x"].shape == (0,)
    assert cavity.solve(1.0, 8).at(np.zeros((0, 2)))["psi"].shape == (0,)
    assert cavity.solve(1.0, 8).pressure(np.zeros((0, 2))).shape == (0,)


# --- Allen-Cahn ------------------------------------------------------------------------------------------


def test_allen_cahn_converges_fast_with_its_modes():
    at = grid(np.linspace(-1, 1, 101), np.array([0.05, 0.1037, 0.5, 1.0]))
    finest = allen_cahn.solve(512, 250).at(at)["u"]
    errors = [
        np.abs(allen_cahn.solve(modes, 250).at(at)["u"] - finest).max() for modes in (64, 128, 256)
    ]
    assert errors[1] < errors[0] / 8
    assert errors[2] < errors[1] / 100
    assert errors[2] < 1e-5


@pytest.mark.slow
def test_allen_cahn_is_as_accurate_as_it_says():
    x = np.linspace(-1, 1, 401)
    finest = allen_cahn.solve(8192, 2000)
    # The times are not stored ones.
    for t, error in (
        (1.1e-4, 5e-5),
        (1.1e-3, 2.5e-7),
        (5.1e-3, 1e-10),
        (1.02e-2, 2e-11),
        (1.0, 1e-11),
    ):
        at = np.stack([x, np.full_like(x, t)], axis=1)
        found = allen_cahn.solution(at)["u"]
        np.testing.assert_allclose(found, finest.at(at)["u"], rtol=0, atol=error)


def test_time_steps_of_allen_cahn_are_of_fourth_order():
    at = grid(np.linspace(-1, 1, 51), np.array([0.4, 1.0]))
    finest = allen_cahn.solve(256, 800).at(at)["u"]
    coarse, fine = (
        np.abs(allen_cahn.solve(256, steps).at(at)["u"] - finest).max() for steps in (50, 100)
    )
    assert 3.7 < math.log2(coarse / fine) < 4.6


def test_allen_cahn_is_its_difference_equation():
    # Second-order differences on [0, 1], with zero slope at both ends by symmetry; two grids, extrapolated.
    def differences(count: int) -> np.ndarray:
        x = np.linspace(0, 1, count)

        def slope(_t: float, u: np.ndarray) -> np.ndarray:
            padded = np.concatenate([u[1:2], u, u[-2:-1]])
            bend = (padded[2:] - 2 * u + padded[:-2]) * (count - 1) ** 2
            return 1e-4 * bend + 5 * u - 5 * u**3

        start = x * x * np.cos(math.pi * x)
        done = solve_ivp(
            slope, (0, 0.5), start, method="LSODA", rtol=1e-8, atol=1e-10, lband=1, uband=1
        )
        return done.y[:, -1]

    coarse, fine = differences(401), differences(801)[::2]
    expected = (4 * fine - coarse) / 3
    at = grid(np.linspace(0, 1, 401), np.array([0.5]))
    found = allen_cahn.solve(512, 250).at(at)["u"]
    # The fronts are ten spacings wide.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_allen_cahn_is_even_periodic_bounded_and_begins_as_given():
    flow = allen_cahn.solve(512, 250)
    at = grid(np.linspace(-1, 1, 33), np.array([0.0, 0.017, 0.61]))
    u = flow.at(at)["u"]
    np.testing.assert_allclose(u, flow.at(at * [-1, 1])["u"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(u, flow.at(at + np.array([2, 0]))["u"], rtol=0, atol=1e-12)
    assert np.abs(u).max() <= 1
    x = np.linspace(-1, 1, 33)
    np.testing.assert_allclose(u[::3], x * x * np.cos(math.pi * x), rtol=0, atol=1e-15)


def test_scattered_points_of_allen_cahn_agree_with_a_grid():
    flow = allen_cahn.solve(64, 50)
    at = grid(GENERATOR.uniform(-1, 1, 20), GENERATOR.uniform(0, 1, 20))
    together = flow.at(at)["u"]
    np.testing.assert_allclose(flow.at(at[::21])["u"], together[::21], rtol=0, atol=1e-13)


def test_times_of_allen_cahn_outside_the_solution_are_errors():
    with pytest.raises(CompileError, match=r"t = 1\.1 is outside"):
        allen_cahn.solve(16, 20).at([[0.0, 1.1]])
    with pytest.raises(CompileError, match="modes is 4"):
        allen_cahn.solve(4)


# --- The L -----------------------------------------------------------------------------------------------


def test_the_solution_on_the_l_is_zero_on_its_edge():
    # By the maximum principle this bounds the error everywhere.
    assert l_shape.solve().bound < 1e-12
    corners = np.array(l_shape.VERTICES)
    parts = GENERATOR.uniform(0, 1, (50, 1))
    edge = np.concatenate(
        [a + parts * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
    )
    assert np.abs(l_shape.solution(edge)["u"]).max() < 1e-12


def test_the_bound_holds_for_coarser_solutions():
    at = GENERATOR.uniform(-1, 1, (400, 2))
    at = at[l_shape.inside(at)]
    truth = l_shape.solution(at)["u"]
    for roots, degree in ((6, 3), (15, 8), (30, 20)):
        coarse = l_shape.solve(roots, degree)
        error = np.abs(coarse.at(at)["u"] - truth).max()
        assert 1e-3 * coarse.bound < error <= coarse.bound * 1.0001


def test_the_solution_on_the_l_satisfies_the_equation():
    at = np.array([[-0.5, 0.5], [0.4, 0.3], [-0.2, -0.7], [-0.1, 0.1], [-0.95, -0.95]])
    h = 5e-3
    weights = np.array([-1 / 12, 4 / 3, -5 / 2, 4 / 3, -1 / 12]) / h**2
    total = np.zeros(len(at))
    for axis in np.eye(2):
        for k, weight in zip(range(-2, 3), weights, strict=True):
            total += weight * l_shape.solution(at + k * h * axis)["u"]
    # Fourth-order differences next to the corners.
    np.testing.assert_allclose(total, -1, rtol=0, atol=2e-4)


def test_the_gradient_on_the_l_is_that_of_its_differences():
    at, h = np.array([[-0.5, 0.5], [0.4, 0.3], [-0.2, -0.7], [0.0, 0.3]]), 1e-5
    found = l_shape.solve().at(at)
    for name, axis in (("u_x", [h, 0]), ("u_y", [0, h])):
        ahead, behind = (l_shape.solution(at + s * np.array(axis))["u"] for s in (1, -1))
        # Rounding over h.
        np.testing.assert_allclose(found[name], (ahead - behind) / (2 * h), rtol=0, atol=1e-7)


def test_the_solution_on_the_l_is_symmetric_about_its_diagonal():
    at = GENERATOR.uniform(-1, 1, (100, 2))
    at = at[l_shape.inside(at)]
    found, mirrored = l_shape.solve().at(at), l_shape.solve().at(-at[:, ::-1])
    np.testing.assert_allclose(found["u"], mirrored["u"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["u_x"], -mirrored["u_y"], rtol=0, atol=1e-9)


def test_the_solution_on_the_l_is_that_of_differences():
    def differences(n: int) -> float:
        """u(-1/2, 1/2) by second-order differences with 2 n intervals along a side."""
        x = np.linspace(-1, 1, 2 * n + 1)[1:-1]
        second = (np.eye(len(x), k=1) + np.eye(len(x), k=-1) - 2 * np.eye(len(x))) * n**2
        laplacian = kron(second, identity(len(x))) + kron(identity(len(x)), second)
        at = grid(x, x)
        keep = (at[:, 0] < -1e-9) | (at[:, 1] > 1e-9)
        u = spsolve(-laplacian.tocsr()[keep][:, keep].tocsc(), np.ones(keep.sum()))
        return float(u[np.flatnonzero(np.abs(at[keep] - [-0.5, 0.5]).max(axis=1) < 1e-9)[0]])

    # The inner corner makes the error of order 4/3.
    coarse, fine = differences(16), differences(32)
    factor = 2 ** (4 / 3)
    found = l_shape.solution([[-0.5, 0.5]])["u"]
    np.testing.assert_allclose(found, (factor * fine - coarse) / (factor - 1), rtol=0, atol=1e-4)


def test_points_outside_the_l_are_errors():
    with pytest.raises(CompileError, match=r"\(0.5, -0.5\) is outside the L"):
        l_shape.solution([[-0.5, 0.5], [0.5, -0.5]])
    corner = l_shape.solve().at([[0.0, 0.0]])
    assert (corner["u_x"], corner["u_y"]) == ([math.inf], [-math.inf])


# --- The cavity ------------------------------------------------------------------------------------------

# Published extremes of the velocity on the middle lines. Re = 100: C. H. Marchi, R. Suero and L. K. Araki,
# J. Braz. Soc. Mech. Sci. Eng. 31 (2009) 186-198. Re = 1000: O. Botella and R. Peyret, Computers & Fluids 27
# (1998) 421-433.
EXTREMES = {
    100.0: (-0.2140417, 0.1795728, -0.2538030),
    1000.0: (-0.3885698, 0.3769447, -0.5270771),
}


def middle_lines(flow: cavity.Cavity, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = np.full_like(s, 0.5)
    return (
        flow.at(np.stack([middle, s], axis=1))["u"],
        flow.at(np.stack([s, middle], axis=1))["v"],
    )


@pytest.mark.parametrize(("reynolds", "tolerance"), [(100.0, 2e-6), (1000.0, 1.5e-5)])
def test_the_cavity_has_the_published_extremes(reynolds: float, tolerance: float):
    u, v = middle_lines(cavity.solve(reynolds, 32), np.linspace(0.02, 0.98, 4001))
    np.testing.assert_allclose(
        (u.min(), v.max(), v.min()), EXTREMES[reynolds], rtol=0, atol=tolerance
    )


# Stations of the tables below, and the velocity there by second-order differences and Newton's method,
# extrapolated from 129 x 129 and 257 x 257 points: changes from 97 and 193 points are up to 2e-5 and 8e-5.
DIFFERENCES_U = {
    100: (0.84372, 0.69101, 0.00418, -0.20914, -0.15767, -0.03723),
    400: (0.76058, 0.56149, 0.16256, -0.11504, -0.32870, -0.08181),
}
DIFFERENCES_V = {
    100: (-0.06219, -0.10853, -0.23368, 0.05754, 0.17935, 0.09480),
    400: (-0.12513, -0.23470, -0.45381, 0.05206, 0.30380, 0.18510),
}
ROWS = [1, 4, 6, 8, 10, 15]


@pytest.mark.parametrize("reynolds", [100, 400])
def test_the_cavity_agrees_with_differences_and_with_the_tables_of_ghia(reynolds: int):
    flow = cavity.solve(float(reynolds), 32)
    u, v = middle_lines(flow, cavity_tables.Y)[0], middle_lines(flow, cavity_tables.X)[1]
    tolerance = {100: 4e-5, 400: 2e-4}[reynolds]
    np.testing.assert_allclose(u[ROWS], DIFFERENCES_U[reynolds], rtol=0, atol=tolerance)
    np.testing.assert_allclose(v[ROWS], DIFFERENCES_V[reynolds], rtol=0, atol=tolerance)
    # The tables' own error.
    assert np.abs(u - cavity_tables.U[reynolds]).max() < 0.006
    right = ~cavity_tables.MISPRINTS[reynolds]
    assert np.abs(v - cavity_tables.V[reynolds])[right].max() < 0.01
    assert right.all() or np.abs(v - cavity_tables.V[reynolds])[~right].min() > 0.1


def test_the_cavity_converges_fast_with_its_modes():
    x = np.linspace(0.05, 0.95, 13)
    at = grid(x, x)
    finest = cavity.solve(100.0, 32).at(at)
    errors = [
        np.abs(cavity.solve(100.0, modes).at(at)["psi"] - finest["psi"]).max()
        for modes in (8, 16, 24)
    ]
    # At least of order 5.
    assert errors[1] < errors[0] / 2**5
    assert errors[2] < errors[1] / 1.5**5
    assert errors[2] < 1e-6


def test_the_cavity_keeps_to_its_walls():
    flow = cavity.solve(100.0, 24)
    s = np.linspace(0, 1, 41)[1:-1]
    walls = {
        (0, 0): np.stack([0 * s, s], axis=1),
        (1, 0): np.stack([0 * s + 1, s], axis=1),
        (0, 1): np.stack([s, 0 * s], axis=1),
        (1, 1): np.stack([s, 0 * s + 1], axis=1),
    }
    for (x, y), points in walls.items():
        found = flow.at(points)
        # The corner terms are up to 1e3 there and their expansion in Chebyshev polynomials is rounded.
        np.testing.assert_allclose(found["u"], float((x, y) == (1, 1)), rtol=0, atol=1e-9)
        np.testing.assert_allclose(found["v"], 0, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found["psi"], 0, rtol=0, atol=1e-9)
    corners = flow.at([[0.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(corners["u"], 1, rtol=0, atol=1e-9)
    assert np.isneginf(corners["omega"]).all()


def test_the_pressure_of_the_cavity_does_not_depend_on_the_path():
    flow = cavity.solve(100.0, 32)
    at, h = np.array([[0.2, 0.3], [0.5, 0.9], [0.8, 0.2], [0.1, 0.8]]), 1e-4
    psi_x, psi_y, xx, xy, yy, lx, ly = flow.derivatives(at, "x", "y", "xx", "xy", "yy", "Lx", "Ly")
    expected = (ly / 100 - psi_y * xy + psi_x * yy, -lx / 100 + psi_y * xx - psi_x * xy)
    for axis, along in zip(np.eye(2), expected, strict=True):
        found = (flow.pressure(at + h * axis) - flow.pressure(at - h * axis)) / (2 * h)
        # The equation holds to the error of third derivatives.
        np.testing.assert_allclose(found, along, rtol=0, atol=1e-3)
    np.testing.assert_allclose(flow.pressure([[0.5, 0.5]]), 0, atol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cavity.solve(0.0), "above zero"),
        (lambda: cavity.solve(5000.0), "above 2000"),
        (lambda: cavity.solve(100.0, 4), "modes is 4"),
        (lambda: cavity.solve(1.0, 8).at([[0.5, 1.5]]), "y = 1.5 is outside"),
    ],
)
def test_bad_parameters_of_the_cavity_are_errors(make, message):
    with pytest.raises(CompileError, match=message) as caught:
        make()
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_numbers_must_be_numbers():
    for value in (True, "1", None, math.inf):
        with pytest.raises(CompileError, match="must be a finite number"):
            require_number("op", "value", value)
    with pytest.raises(CompileError, match="integer from 1 to 9"):
        require_count("op", "value", 2.0, least=1, most=9)
    assert require_points("op", np.zeros((0, 2), int), ("x", "y")).dtype == np.float64
