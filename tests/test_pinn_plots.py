"""Figures of training: what is in them is what the model, the truth and the history say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.image import imread
from pinn_cases import Points, problem_of

from tessera import pde
from tessera.core.errors import Code, CompileError
from tessera.pinn import plots
from tessera.pinn.plots import style, wave_numbers
from tessera.pinn.problem import Term
from tessera.pinn.training import Record, Result

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("compiled_quickly")]


class Scaled(eqx.Module):
    """The truth of a problem times a number."""

    factor: Any
    truth: Any = eqx.field(static=True)

    def __call__(self, at: pde.Field) -> pde.Field:
        return at.apply(lambda points: self.factor * self.truth(points, jnp))


def wave(points: Any, xp: Any) -> Any:
    return xp.sin(2 * xp.pi * points[..., 0]) * xp.exp(points[..., -1])


def steep(model: Any, at: pde.Field) -> pde.Field:
    return pde.grad(model(at), "x")


def case(names: str = "xt", truth: Any = wave, factor: float = 1.5, **more: Any) -> tuple[Any, Any]:
    """Returns a problem over the unit cube and a model that is `factor` times its truth."""
    problem = problem_of(
        (Term("steepness", steep, unit="K/m"),),
        {"interior": Points([[0.5] * len(names)])},
        lambda key: None,
        names=tuple(names),
        fields=lambda model, at: {"u": model(at)},
        truth=lambda points: {"u": truth(points, np)},
        **(
            {
                "grid": (np.linspace(0, 1, 9), np.linspace(0, 1, 5), np.linspace(0, 1, 4))[
                    : len(names)
                ]
            }
            | more
        ),
    )
    with jax.enable_x64(True):
        return problem, Scaled(jnp.asarray(factor, jnp.float64), truth)


def meshes(figure: Any) -> list[Any]:
    """Returns the images of a figure in order, those of colour bars left out."""
    images = [
        mesh
        for axes in figure.axes
        for mesh in axes.collections
        if hasattr(mesh, "get_coordinates")
    ]
    return [mesh for mesh in images if mesh.axes.get_label() != "<colorbar>"]


def labels(figure: Any) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes if axes.get_label() == "<colorbar>"]


def records(count: int = 3) -> tuple[Record, ...]:
    return tuple(
        Record(n, 10.0**-n, {"wave": 2.0**-n}, {"u": 5.0**-n} if n % 2 == 0 else {}, n / 4)
        for n in range(count)
    )


def result(seed: int = 0, **change: Any) -> Result:
    return replace(Result("case", seed, None, records(), {"u": 0.1}, {"wave": "m/s^2"}), **change)


# ---- fields ----------------------------------------------------------------------------------------------


def test_images_show_network_truth_and_difference():
    problem, model = case(units={"x": "m", "u": "K"})
    figure = plots.fields(problem, model)
    ours, true, difference = (np.asarray(mesh.get_array()) for mesh in meshes(figure))
    points = np.stack(np.meshgrid(*problem.grid, indexing="ij"), axis=-1)
    expected = wave(points, np)
    # Time runs to the right, so that rows of an image are places.
    np.testing.assert_allclose(true.reshape(9, 5), expected, rtol=1e-12)
    np.testing.assert_allclose(ours, 1.5 * true, rtol=1e-12)
    np.testing.assert_allclose(difference, ours - true, rtol=1e-12)
    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "network",
        "truth",
        "network $-$ truth",
    ]
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("$t$", "$x$ (m)")
    assert labels(figure) == ["$u$ (K)", "error of $u$ (K)"]
    notes = [text.get_text() for text in figure.axes[2].texts]
    assert notes == [r"relative $L_2$: $5.0\times 10^{-1}$"]


def test_of_three_coordinates_the_time_is_fixed_at_its_end_or_where_it_is_said():
    problem, model = case("xyt")
    for at, expected in ((None, 1.0), ({"t": 0.4}, 1 / 3)):
        figure = plots.fields(problem, model, at=at)
        image = np.asarray(meshes(figure)[1].get_array()).reshape(5, 9)
        np.testing.assert_allclose(
            image,
            np.tile(np.sin(2 * np.pi * problem.grid[0]) * np.exp(expected), (5, 1)),
            atol=1e-12,
        )
        assert f"$t$ = {expected:.3g}" in figure.get_suptitle()


def test_points_outside_of_the_domain_are_not_shown():
    def inside(points):
        return points[:, 0] + points[:, 1] < 1.2

    problem, model = case("xy", inside=inside)
    for mesh in meshes(plots.fields(problem, model)):
        x, y = np.meshgrid(*problem.grid)
        np.testing.assert_array_equal(
            np.ma.getmaskarray(mesh.get_array()).reshape(5, 9), x + y >= 1.2
        )


def test_along_one_coordinate_fields_are_lines():
    problem, model = case()
    figure = plots.fields(problem, model, at={"t": 0.5})
    ours, true = figure.axes[0].get_lines()
    np.testing.assert_allclose(ours.get_ydata(), 1.5 * true.get_ydata())
    np.testing.assert_allclose(figure.axes[1].get_lines()[1].get_ydata(), 0.5 * true.get_ydata())
    assert figure.axes[0].get_xlabel() == "$x$"


def test_slices_are_lines_across_the_images():
    problem, model = case()
    figure = plots.fields(problem, model, slices={"t": (0.2, 1.0)})
    lines = figure.axes[3].get_lines()
    assert len(lines) == 4
    np.testing.assert_allclose(
        lines[1].get_ydata(), np.sin(2 * np.pi * problem.grid[0]) * np.exp(0.25), atol=1e-12
    )
    assert [text.get_text() for text in figure.axes[3].get_legend().get_texts()] == [
        "$t$ = 0.25",
        "$t$ = 1",
    ]


def test_without_truth_only_the_network_is_shown():
    problem, model = case()
    figure = plots.fields(replace(problem, truth=None), model)
    assert len(meshes(figure)) == 1
    assert labels(figure) == ["$u$"]


def test_a_constant_that_is_not_known_is_taken_out():
    problem, model = case("xy", truth=lambda points, xp: points[..., 0] + 3.0, factor=1.0)
    moved = replace(
        problem, truth=lambda points: {"u": points[:, 0]}, up_to_a_constant=frozenset({"u"})
    )
    ours, true, difference = (np.asarray(m.get_array()) for m in meshes(plots.fields(moved, model)))
    np.testing.assert_allclose(ours.mean(), 0.0, atol=1e-12)
    np.testing.assert_allclose(difference, 0.0, atol=1e-12)
    np.testing.assert_allclose(ours, true, atol=1e-12)


@pytest.mark.parametrize("factor", [0.0, np.inf])
def test_values_that_have_no_scale_are_drawn_all_the_same(factor: float):
    problem, model = case(factor=factor)
    plots.fields(problem, model).draw_without_rendering()
    plots.spectra(problem, model).draw_without_rendering()
    plots.residuals(problem, model).draw_without_rendering()


def test_names_and_units_are_text_unless_they_are_symbols():
    problem, model = case(units={"u": "$ %_{^2", "x": "kg m^-3"})
    problem = replace(problem, title="a_b & 50 %")
    problem = replace(
        problem,
        fields=lambda model, at: {"omega": model(at), "x_$": model(at)},
        truth=None,
        terms=(replace(problem.terms[0], name="a_$b", unit="$"),),
    )
    plots.fields(problem, model).draw_without_rendering()
    plots.residuals(problem, model).draw_without_rendering()
    assert [
        style.label(*words) for words in (("omega", "1/s"), ("wall", "1"), ("u", "m^2/s^-1.5"))
    ] == [
        r"$\omega$ (1/s)",
        "wall",
        "$u$ (m$^{2}$/s$^{-1.5}$)",
    ]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"at": {"z": 1.0}}, r"no coordinate z; there are: x, t"),
        ({"at": {"x": 0.0, "t": 0.0}}, "all coordinates are fixed"),
        ({"slices": {"x": (0.0,), "t": (0.0,)}}, "one of x, t can be cut"),
        ({"slices": {"y": (0.0,)}}, "slices are across y"),
    ],
)
def test_names_that_are_no_coordinates_are_errors(options: dict[str, Any], match: str):
    with pytest.raises(CompileError, match=match) as caught:
        plots.fields(*case(), **options)
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_a_section_without_any_inside_is_an_error():
    problem, model = case(inside=lambda points: points[:, 1] > 0.9)
    with pytest.raises(CompileError, match="none of its points is inside"):
        plots.fields(problem, model, at={"t": 0.0})


# ---- residuals, spectra, flow ----------------------------------------------------------------------------


def test_residuals_are_magnitudes_with_their_unit():
    problem, model = case()
    figure = plots.residuals(problem, model)
    (mesh,) = meshes(figure)
    x, t = np.meshgrid(*problem.grid, indexing="ij")
    expected = np.abs(1.5 * 2 * np.pi * np.cos(2 * np.pi * x) * np.exp(t))
    np.testing.assert_allclose(
        np.asarray(mesh.get_array()).reshape(9, 5), expected, rtol=1e-9, atol=1e-9
    )
    assert labels(figure) == ["|residual|, steepness (K/m)"]


def test_terms_that_need_arrays_are_not_residuals_of_a_figure():
    problem, model = case()
    problem = replace(problem, terms=(replace(problem.terms[0], uses=("measured",)),))
    with pytest.raises(CompileError, match="no term on 'interior' without arrays"):
        plots.residuals(problem, model)


def test_a_sine_has_its_amplitude_at_its_wave_number():
    x = np.linspace(0, 2, 41)
    k, found = wave_numbers.amplitudes(3 * np.sin(5 * np.pi * x)[None], x[1], period=2.0)
    expected = np.where(np.isclose(k, 5 * np.pi), 3.0, 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    k, windowed = wave_numbers.amplitudes(3 * np.sin(5 * np.pi * x)[None] + 7.0, x[1])
    # The window's scalloping loss is at most 1.5 dB.
    assert 3.0 * 10 ** (-1.5 / 20) < windowed.max() <= 3.0
    assert abs(k[windowed.argmax()] - 5 * np.pi) < k[0]


def test_what_is_not_periodic_leaks_less_than_a_thousandth_beyond_seven_wave_numbers():
    x = np.linspace(0, 1, 201)
    for cycles in np.linspace(40, 41, 11):
        k, found = wave_numbers.amplitudes(np.sin(2 * np.pi * cycles * x)[None], x[1])
        far = np.abs(k / (2 * np.pi) * (201 / 200) - cycles * 201 / 200) > 7.0 * 201 / 200
        assert found[far].max() < 1e-3


def test_spectra_have_a_panel_for_each_spatial_coordinate_and_leave_out_uneven_ones():
    problem, model = case("xyt")
    grid = (problem.grid[0], np.linspace(0, 1, 10) ** 2, problem.grid[2])
    figure = plots.spectra(replace(problem, grid=grid), model, periods={"x": 1.0})
    (axes,) = figure.axes
    assert axes.get_xlabel() == "wave number along $x$ (rad)"
    truth, ours, error = axes.get_lines()
    np.testing.assert_allclose(ours.get_ydata()[0], 1.5 * np.e, rtol=1e-9)
    np.testing.assert_allclose(error.get_ydata()[0], 0.5 * np.e, rtol=1e-9)
    np.testing.assert_allclose(truth.get_xdata()[0], 2 * np.pi)
    with pytest.raises(CompileError, match="along none of x, y"):
        plots.spectra(replace(problem, grid=(grid[1], grid[1], grid[2])), model)


def test_streamlines_need_a_velocity_on_a_plane():
    problem, model = case("xy")
    with pytest.raises(
        CompileError, match="need fields u and v on a plane; 'case' has u over x, y"
    ):
        plots.flow(problem, model)


def test_a_flow_has_streamlines_and_with_a_pressure_isobars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(style, "DOTS_PER_INCH", 60)

    def fields(model: Any, at: pde.Field) -> dict[str, Any]:
        return {"u": model(at), "v": model(at) * 0.5, "p": at["x"]}

    problem, model = case("xy", inside=lambda points: points[:, 1] < 0.9)
    figure = plots.flow(replace(problem, fields=fields, truth=None), model)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["streamlines", "isobars"]
    speed = np.ma.compressed(meshes(figure)[0].get_array())
    ours = 1.5 * wave(np.stack(np.meshgrid(*problem.grid), axis=-1).reshape(-1, 2), np)[:36]
    np.testing.assert_allclose(speed, np.hypot(ours, 0.5 * ours), rtol=1e-9, atol=1e-12)
    image = imread(plots.save(figure, tmp_path / "flow.png"))[::2, ::2]
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 50


# ---- history ---------------------------------------------------------------------------------------------


def test_the_history_is_every_record_by_iteration_and_by_second():
    figure = plots.history(result())
    assert len(figure.axes) == 6
    assert [axes.get_xlabel() for axes in figure.axes] == ["iteration"] * 3 + ["seconds"] * 3
    loss, seconds = (figure.axes[i].get_lines()[0] for i in (0, 3))
    np.testing.assert_allclose(loss.get_xydata(), [[0, 1.0], [1, 0.1], [2, 0.01]])
    np.testing.assert_allclose(seconds.get_xdata(), [0, 0.25, 0.5])
    # An error that was not taken is no point of the line, and the target is a line of its own.
    error, target = figure.axes[2].get_lines()
    np.testing.assert_allclose(error.get_xydata(), [[0, 1.0], [2, 0.04]])
    assert set(target.get_ydata()) == {0.1}
    names = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert names == ["wave (m/s$^{2}$)"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_legend_tells_seeds_apart_only_if_there_are_several(seeds: int):
    figure = plots.history([result(seed) for seed in range(seeds)])
    for axes in figure.axes[:3]:
        names = [text.get_text() for text in axes.get_legend().get_texts()]
        assert [name for name in names if "seed" in name] == ["seed 0", "seed 1"][: 2 * (seeds - 1)]
    used = {line.get_linestyle() for line in figure.axes[0].get_lines()}
    assert used == {"-", "--"} if seeds == 2 else {"-"}


def test_a_history_of_one_record_without_errors_is_drawn():
    alone = replace(records(1)[0], errors={}, loss=0.0)
    figure = plots.history(result(history=(alone,)), targets={"u": 1.0})
    figure.draw_without_rendering()
    assert len(figure.axes) == 4


def test_no_result_is_an_error():
    with pytest.raises(CompileError, match="there is no result"):
        plots.history([])


def test_drawing_leaves_the_process_style_alone_and_needs_no_display():
    before = dict(mpl.rcParams)
    plots.history(result())
    assert dict(mpl.rcParams) == before


def test_a_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(style.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'tessera\[viz\]'"):
        plots.history(result())
