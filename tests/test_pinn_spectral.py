"""Periodic Navier-Stokes flow, against exact flows and the laws of energy, enstrophy and symmetry."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from tessera.core.errors import Code, CompileError, NumericsError
from tessera.pinn.reference import exact, exponential, interpolation, spectral
from tessera.pinn.reference.periodic_flow import Flow, retained

pytestmark = pytest.mark.newest

GENERATOR = np.random.default_rng(5)
BOX = (2 * math.pi, 2 * math.pi)


def coordinates(
    n: int, m: int | None = None, lengths: tuple[float, float] = BOX
) -> list[np.ndarray]:
    x = np.arange(n) * lengths[0] / n
    y = np.arange(m or n) * lengths[1] / (m or n)
    return np.meshgrid(x, y)


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.cos(2 * x) * np.sin(y) + np.sin(x + 2 * y) + 0.5 * np.cos(3 * y - x)


def anywhere(count: int, start: float, end: float) -> np.ndarray:
    return np.concatenate(
        [GENERATOR.uniform(-4, 9, (count, 2)), GENERATOR.uniform(start, end, (count, 1))], axis=1
    )


def test_decaying_vortices_are_exact_on_the_grid_and_between_points_and_times():
    x, y = coordinates(16)
    flow = spectral.solve(2 * np.cos(x) * np.cos(y), viscosity=0.05, times=np.linspace(0, 2, 11))
    at = anywhere(200, 0, 2)
    found, expected = flow.at(at), exact.taylor_green(0.05)(at)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-12)
    last = exact.taylor_green(0.05)(np.stack([x, y, np.full_like(x, 2.0)], axis=-1))
    for values, name in (
        (flow.vorticity, "omega"),
        (flow.stream, "psi"),
        (flow.pressure, "p"),
        (flow.velocity[0], "u"),
        (flow.velocity[1], "v"),
    ):
        np.testing.assert_allclose(values[-1], last[name], rtol=0, atol=1e-13)


def test_a_mean_velocity_carries_decaying_vortices_along():
    x, y = coordinates(16)
    flow = spectral.solve(
        2 * np.cos(x) * np.cos(y),
        viscosity=0.05,
        times=[0.0, 0.5],
        mean_velocity=(0.7, -0.3),
        dt=0.1,
    )
    at = anywhere(50, 0.5, 0.5)
    found, expected = flow.at(at), exact.taylor_green(0.05)(at - np.array([0.35, -0.15, 0]))
    np.testing.assert_allclose(found["omega"], expected["omega"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["u"], expected["u"] + 0.7, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["p"], expected["p"], rtol=0, atol=1e-12)


def test_linear_drag_slows_vortices_like_viscosity():
    x, y = coordinates(16)
    start = 2 * np.cos(x) * np.cos(y)
    flow = spectral.solve(start, viscosity=0.05, times=[0.0, 1.0], drag=0.2)
    # Two for the Laplacian of this mode.
    np.testing.assert_allclose(flow.vorticity[-1], math.exp(-0.3) * start, rtol=0, atol=1e-13)


def test_a_box_of_other_lengths_is_the_flow_at_another_scale():
    # With lengths a times as long and times as long, vorticity falls and viscosity rises a-fold.
    x, y = coordinates(24)
    flow = spectral.solve(waves(x, y), viscosity=0.02, times=[0.0, 1.0], dt=0.05)
    scaled = spectral.solve(
        waves(x, y) / 3,
        viscosity=0.06,
        times=[0.0, 3.0],
        dt=0.15,
        lengths=(6 * math.pi, 6 * math.pi),
    )
    np.testing.assert_allclose(3 * scaled.vorticity[-1], flow.vorticity[-1], rtol=0, atol=1e-12)


def test_a_flow_that_varies_with_one_coordinate_only_decays_by_heat_conduction():
    # On a box and a grid that are not square.
    _, y = coordinates(12, 20, (3.0, 5.0))
    k = 2 * math.pi / 5
    flow = spectral.solve(np.cos(2 * k * y), viscosity=0.1, times=[0.0, 1.0], lengths=(3.0, 5.0))
    decay = math.exp(-0.1 * (2 * k) ** 2)
    np.testing.assert_allclose(flow.vorticity[-1], decay * np.cos(2 * k * y), rtol=0, atol=1e-13)
    u, v = flow.velocity
    np.testing.assert_allclose(u[-1], -decay * np.sin(2 * k * y) / (2 * k), rtol=0, atol=1e-13)
    np.testing.assert_allclose(v, 0, atol=1e-14)


def test_the_forced_laminar_flow_of_kolmogorov_stays_as_it_is():
    _, y = coordinates(16)
    laminar = -2 * np.cos(2 * y)
    flow = spectral.solve(laminar, viscosity=0.1, times=[0.0, 5.0], forcing=0.4 * laminar, dt=0.2)
    np.testing.assert_allclose(flow.vorticity[-1], laminar, rtol=0, atol=1e-13)


def test_a_force_in_time_accelerates_the_fluid_by_its_integral():
    def forcing(x: jnp.ndarray, y: jnp.ndarray, t: jnp.ndarray) -> jnp.ndarray:
        return jnp.cos(3 * t) * jnp.cos(2 * x) + 0 * y

    x, _ = coordinates(8)
    flow = spectral.solve(0 * x, viscosity=0.0, times=[0.0, 1.0], forcing=forcing, dt=0.02)
    # Simpson's rule of the steps.
    expected = math.sin(3.0) / 3 * np.cos(2 * x)
    np.testing.assert_allclose(flow.vorticity[-1], expected, rtol=0, atol=1e-7)


def test_time_steps_are_of_fourth_order():
    x, y = coordinates(24)
    last = {
        dt: spectral.solve(waves(x, y), viscosity=0.02, times=[0.0, 1.0], dt=dt).vorticity[-1]
        for dt in (0.1, 0.05, 0.0125)
    }
    coarse, fine = (np.abs(last[dt] - last[0.0125]).max() for dt in (0.1, 0.05))
    assert 3.8 < math.log2(coarse / fine) < 4.4


def test_space_converges_exponentially():
    at = anywhere(60, 1, 1)
    values = {
        n: spectral.solve(waves(*coordinates(n)), viscosity=0.1, times=[0.0, 1.0], dt=0.02).at(at)[
            "omega"
        ]
        for n in (16, 24, 32, 48)
    }
    errors = [np.abs(values[n] - values[48]).max() for n in (16, 24, 32)]
    # Modes up to 5, 7 and 10: at order four the factors would be 3.8 and 4.2.
    assert errors[1] < errors[0] / 8
    assert errors[2] < errors[1] / 20


def test_an_ideal_flow_keeps_its_energy_and_enstrophy():
    x, y = coordinates(24)
    flow = spectral.solve(waves(x, y), viscosity=0.0, times=np.linspace(0, 1, 3), dt=0.005)
    np.testing.assert_allclose(flow.energy, flow.energy[0], rtol=1e-10)
    np.testing.assert_allclose(flow.enstrophy, flow.enstrophy[0], rtol=1e-10)
    # The flow itself has changed.
    assert np.abs(flow.vorticity[-1] - flow.vorticity[0]).max() > 0.4


def test_energy_changes_by_dissipation_drag_and_the_work_of_the_force():
    x, y = coordinates(24)
    nu, drag, h = 0.03, 0.1, 0.05
    forcing = 0.5 * np.cos(2 * y)
    flow = spectral.solve(
        waves(x, y),
        viscosity=nu,
        times=[0, h, 2 * h, 3 * h, 4 * h],
        forcing=forcing,
        drag=drag,
        dt=0.01,
    )
    # The force has the curl -F_y along x.
    work = (-0.25 * np.sin(2 * y) * flow.velocity[0][2]).mean()
    expected = -2 * nu * flow.enstrophy[2] - 2 * drag * flow.energy[2] + work
    weights = np.array([1, -8, 0, 8, -1]) / (12 * h)
    np.testing.assert_allclose(weights @ flow.energy, expected, rtol=2e-5)


def test_a_shifted_start_gives_a_shifted_flow():
    x, y = coordinates(24)
    flow = spectral.solve(waves(x, y), viscosity=0.02, times=[0.0, 1.0], dt=0.05)
    shifted = spectral.solve(
        np.roll(waves(x, y), (3, 7), axis=(0, 1)), viscosity=0.02, times=[0.0, 1.0], dt=0.05
    )
    np.testing.assert_allclose(
        shifted.vorticity, np.roll(flow.vorticity, (3, 7), axis=(1, 2)), rtol=0, atol=1e-12
    )


def test_steps_follow_the_velocity_when_none_are_asked_for():
    x, y = coordinates(24)
    times = np.linspace(0, 1, 6)
    found = spectral.solve(waves(x, y), viscosity=0.02, times=times)
    finer = spectral.solve(waves(x, y), viscosity=0.02, times=times, dt=0.005)
    np.testing.assert_allclose(found.vorticity, finer.vorticity, rtol=0, atol=2e-5)


def test_values_between_times_are_of_high_order():
    x, y = coordinates(24)
    at = anywhere(60, 0, 1)
    errors = []
    exactly = spectral.solve(waves(x, y), viscosity=0.05, times=np.linspace(0, 1, 65), dt=0.1)
    for count in (9, 17):
        flow = spectral.solve(waves(x, y), viscosity=0.05, times=np.linspace(0, 1, count), dt=0.01)
        errors.append(np.abs(flow.at(at)["u"] - exactly.at(at)["u"]).max())
    assert errors[1] < errors[0] / 50


@pytest.mark.parametrize("shape", [(16, 16), (15, 9), (9, 14), (4, 5)])
def test_points_at_stored_times_are_the_grid(shape: tuple[int, int]):
    x, y = coordinates(shape[1], shape[0])
    spectra = [retained(shape) * np.fft.rfft2(waves(x + k, y)) for k in range(12)]
    flow = Flow(np.linspace(0, 1, 12), np.stack(spectra), shape, BOX, 0.05)
    at = np.stack([x.ravel(), y.ravel(), np.full(x.size, flow.times[4])], axis=1)
    found = flow.at(at)
    np.testing.assert_allclose(found["omega"], flow.vorticity[4].ravel(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(found["p"], flow.pressure[4].ravel(), rtol=0, atol=1e-13)
    assert all(values.shape == (0,) for values in flow.at(np.zeros((0, 3))).values())


def test_pressure_and_velocity_satisfy_the_momentum_equation():
    x, y = coordinates(24)
    h = 1e-3
    flow = spectral.solve(waves(x, y), viscosity=0.05, times=[0, h, 2 * h], dt=h)

    def along(values: np.ndarray, axis: int) -> np.ndarray:
        k = 1j * np.fft.fftfreq(24, 1 / 24)
        factor = k[None, :] if axis == 1 else k[:, None]
        return np.fft.ifft2(factor * np.fft.fft2(values)).real

    u, v = (part[1] for part in flow.velocity)
    for part, axis in ((flow.velocity[0], 1), (flow.velocity[1], 0)):
        slope = (part[2] - part[0]) / (2 * h)
        friction = along(along(part[1], 0), 0) + along(along(part[1], 1), 1)
        convection = u * along(part[1], 1) + v * along(part[1], 0)
        rest = slope + convection + along(flow.pressure[1], axis) - 0.05 * friction
        # Differences of second order in h; products beyond two thirds are left out of the flow, at 1e-6 here.
        assert np.abs(rest).max() < 1e-4


def test_one_stored_time_is_the_start():
    x, y = coordinates(16)
    flow = spectral.solve(waves(x, y), viscosity=0.05, times=[2.0])
    np.testing.assert_allclose(flow.vorticity[0], waves(x, y), rtol=0, atol=1e-13)
    at = np.array([[x[0, 3], y[2, 0], 2.0]])
    np.testing.assert_allclose(flow.at(at)["omega"], [waves(x, y)[2, 3]], rtol=0, atol=1e-13)


def test_a_flow_that_blows_up_is_an_error():
    x, y = coordinates(16)
    with pytest.raises(NumericsError, match="not finite at t = ") as caught:
        spectral.solve(100 * waves(x, y), viscosity=0.0, times=[0.0, 50.0, 100.0], dt=1.0)
    assert caught.value.code is Code.E_NAN_INF


START = np.cos(coordinates(8)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vorticity0": np.zeros(8)}, r"shape \(8,\)"),
        ({"vorticity0": np.zeros((2, 8))}, "at least 4 points"),
        ({"vorticity0": START * 1j}, "values of vorticity0 do not form an array"),
        ({"vorticity0": START + 1}, "has the mean 1"),
        ({"vorticity0": np.where(START > 0.9, np.nan, START)}, "8 values that are not finite"),
        ({"viscosity": -1.0}, "viscosity is -1"),
        ({"times": [0.0, 0.0]}, "ascend"),
        ({"times": []}, "ascend"),
        ({"times": [0.0, math.inf]}, "finite numbers"),
        ({"times": 1.0}, "ascend"),
        ({"lengths": (1.0,)}, "two finite numbers"),
        ({"mean_velocity": 3.0}, "two finite numbers"),
        ({"times": "soon"}, "times do not form"),
        ({"lengths": (1.0, 0.0)}, "above zero"),
        ({"dt": 0.0}, "dt is 0"),
        ({"forcing": np.zeros((4, 4))}, r"shape \(4, 4\)"),
        ({"forcing": lambda x, y, t: x[0]}, r"returns the shape \(8,\)"),
        ({"mean_velocity": (math.nan, 0.0)}, "two finite numbers"),
    ],
)
def test_bad_arguments_are_errors(changes: dict, message: str):
    arguments = {"vorticity0": START, "viscosity": 0.1, "times": [0.0, 1.0]} | changes
    with pytest.raises(CompileError, match=message):
        spectral.solve(arguments.pop("vorticity0"), **arguments)


def test_times_outside_the_stored_ones_are_errors():
    flow = Flow(np.array([0.0, 1.0]), np.zeros((2, 8, 5), complex), (8, 8), BOX, 0.1)
    with pytest.raises(CompileError, match=r"t = 2 is outside \[0, 1\]"):
        flow.at([[0.0, 0.0, 2.0]])


def test_exponential_steps_are_exact_for_linear_and_of_fourth_order_for_other_equations():
    linear = np.array([-300.0 + 0j, -1e-9 + 0j, 0.5j])
    c = exponential.coefficients(linear, 0.3)
    nothing = exponential.advance(c, lambda a, t: 0 * a, np.ones(3, complex), 0.0, 0.3)
    np.testing.assert_allclose(nothing, np.exp(0.3 * linear), rtol=1e-14)

    # da/dt = -a + a^2: the logistic equation, a = 1 / (1 + exp(t)) from 1/2.
    def error(steps: int) -> float:
        h = 1 / steps
        c = exponential.coefficients(np.array([-1.0 + 0j]), h)
        a = np.array([0.5 + 0j])
        for _ in range(steps):
            a = exponential.advance(c, lambda a, t: a * a, a, 0.0, h)
        return abs(a[0] - 1 / (1 + math.e))

    assert 3.8 < math.log2(error(8) / error(16)) < 4.2


def test_interpolation_is_exact_for_polynomials_of_its_degree():
    stored = np.sort(GENERATOR.uniform(0, 1, 12))
    wanted = np.concatenate([stored[[0, 5, -1]], GENERATOR.uniform(stored[0], stored[-1], 30)])
    found = np.full(len(wanted), np.nan)
    for members, where, weights in interpolation.windows(stored, wanted):
        found[members] = weights @ (stored[where] - 0.5) ** 7
        assert weights.shape == (len(members), interpolation.NODES)
    # Uneven nodes make large weights.
    np.testing.assert_allclose(found, (wanted - 0.5) ** 7, rtol=0, atol=1e-9)
