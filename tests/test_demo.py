"""The main job at a tiny size: what it writes, what it prints, and how it fails."""

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from tessera.demo import comparison, figures, main_job, report, training
from tessera.demo.comparison import HESSIAN, NESTED, OURS, Size
from tessera.demo.levenberg_marquardt import Term
from tessera.demo.main_job import FULL, QUICK, Settings
from tessera.demo.training import Errors, Outcome, Point

pytestmark = pytest.mark.newest

TINY = Settings(
    plan=replace(
        QUICK.plan,
        layers=(2, 10, 10, 2),
        interior=(8, 10),
        side=8,
        iterations=12,
        loss=0.0,
        targets=Errors(u=0.5, v=1.0, p=1.0, divergence=1e-12),
    ),
    seeds=2,
    sizes=(Size(2, 64, (8, 8), rounds=2),),
)
UNREACHABLE = replace(TINY.plan.targets, u=1e-15)


def perform(settings: Settings, output: Path, seed: int = 0) -> tuple[int, str, str]:
    """Returns the exit code and what went to the console and to stderr."""
    text, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(errors):
        code = main_job.perform(settings, True, seed, output, Console(file=text, width=80))
    return code, text.getvalue(), errors.getvalue()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    output = tmp_path_factory.mktemp("demo") / "made" / "here"
    code, text, errors = perform(TINY, output)
    assert errors == ""
    return code, text, output


def test_a_run_that_reaches_its_targets_ends_with_zero(tiny: tuple[int, str, Path]):
    code, text, _ = tiny
    assert code == 0, text


def test_the_figures_are_written_and_show_something(tiny: tuple[int, str, Path]):
    for name in ("flow.png", "fields.png", "training.png"):
        image = imread(tiny[2] / name)
        assert min(image.shape[:2]) > 500, name
        assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 100, name


def test_the_summary_tells_how_training_lowered_the_error(tiny: tuple[int, str, Path]):
    summary = json.loads((tiny[2] / "summary.json").read_text())
    assert summary["passed"] is True
    assert [seed["seed"] for seed in summary["kovasznay"]["seeds"]] == [0, 1]
    for seed in summary["kovasznay"]["seeds"]:
        first, last = seed["history"][0], seed["history"][-1]
        assert last["loss"] < 0.01 * first["loss"]
        assert last["errors"]["u"] < 0.2 * first["errors"]["u"]
        assert seed["errors"]["divergence"] < 1e-12


def test_no_line_is_wider_than_a_terminal(tiny: tuple[int, str, Path]):
    # The last line names the files and may be as long as the path it is given.
    lines = tiny[1].splitlines()[:-1]
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_the_example_is_checked_on_eight_devices(tiny: tuple[int, str, Path]):
    example = json.loads((tiny[2] / "summary.json").read_text())["quick_example"]
    assert example["devices"] == 8
    assert example["rows"][3] == [3, [384, 512], [384, 512]]
    assert example["difference"] <= example["allowed"]


def test_training_leaves_the_default_precision_alone(tiny: tuple[int, str, Path]):
    assert jnp.ones(1).dtype == jnp.float32


def test_a_missed_target_says_which_and_ends_with_one(tmp_path: Path):
    plan = replace(TINY.plan, targets=UNREACHABLE)
    code, text, errors = perform(replace(TINY, plan=plan, seeds=1, sizes=()), tmp_path)
    assert code == 1
    assert "demo failed" not in text
    assert errors.startswith("demo failed: seed 0: u is")
    assert "must be below 1.0e-15" in errors.splitlines()[0]
    assert json.loads((tmp_path / "summary.json").read_text())["passed"] is False


def test_training_that_meets_nan_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(seed: int, plan: training.Plan) -> list[Term]:
        return [
            Term(lambda params, x: x * params[0][0][0, 0] * jnp.nan, jnp.ones((3, 2), jnp.float64))
        ]

    monkeypatch.setattr(training, "_terms", broken)
    code, _, errors = perform(TINY, tmp_path)
    assert code == 1
    assert "the loss is nan at iteration 0" in errors
    assert errors.count("\n") == 1


def test_a_file_in_place_of_the_output_is_one_line_before_any_work(tmp_path: Path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    line = f"demo failed: {in_the_way} is a file, not a directory\n"
    assert perform(TINY, in_the_way) == (1, "", line)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_an_output_that_cannot_be_written_is_one_line_before_any_work():
    code, text, errors = perform(TINY, Path("/proc"))
    assert (code, text) == (1, "")
    assert errors.startswith("demo failed: cannot write to /proc: ")
    assert errors.count("\n") == 1


def test_trying_the_output_leaves_nothing_behind(tmp_path: Path):
    main_job._require_writable(tmp_path / "made")
    assert [path.name for path in tmp_path.rglob("*")] == ["made"]


def test_a_missing_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(main_job.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'tessera\[viz\]'"):
        perform(TINY, tmp_path)


def test_a_negative_seed_is_one_line(tmp_path: Path):
    code, _, errors = perform(TINY, tmp_path, seed=-1)
    assert code == 1
    assert errors.startswith("demo failed: seed is -1")


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_legend_tells_seeds_apart_only_if_there_are_several(seeds: int):
    error = Errors(u=0.1, v=0.1, p=0.1, divergence=0.1)
    history = (Point(0, 1.0, 1.0, error, 0.0), Point(1, 0.5, 0.5, error, 1.0))
    outcomes = [Outcome(seed, history, training.exact_fields()) for seed in range(seeds)]
    for axes in figures._draw_training(outcomes, FULL.plan.targets).axes:
        names = [text.get_text() for text in axes.get_legend().get_texts()]
        assert [name for name in names if "seed" in name] == ["seed 0", "seed 1"][: 2 * (seeds - 1)]


def test_the_comparison_says_what_its_ratios_are():
    assert "ratio: median over rounds" in str(report.comparison_table([]).caption)


def test_errors_that_are_not_numbers_miss_their_targets():
    nothing = Errors(u=np.nan, v=0.0, p=0.0, divergence=0.0)
    outcome = Outcome(4, (Point(7, np.nan, np.nan, nothing, 1.0),), training.exact_fields())
    lines = training.failures(outcome, FULL.plan.targets)
    assert len(lines) == 1
    assert lines[0].startswith("seed 4: u is nan")


def test_the_exact_fields_have_no_error_and_no_divergence():
    errors = training.measure(training.exact_fields())
    assert (errors.u, errors.v, errors.p) == (0.0, 0.0, 0.0)
    assert errors.divergence < 1e-13


def test_errors_are_relative_and_blind_to_a_constant_pressure():
    exact = training.exact_fields()
    scaled = replace(exact, u=1.01 * exact.u, v=0.9 * exact.v, p=exact.p + 3.0)
    errors = training.measure(scaled)
    np.testing.assert_allclose([errors.u, errors.v], [0.01, 0.1], rtol=1e-10)
    assert errors.p < 1e-14


def test_training_never_sees_the_points_it_is_judged_on():
    with jax.enable_x64(True):
        seen = np.concatenate([term.points for term in training._terms(0, FULL.plan)[:1]])
    judged = training._test_points()
    distances = np.abs(seen[:, None, :] - judged[None, :, :]).max(axis=-1)
    assert distances.min() > 0.0


def test_the_comparison_times_every_way_and_takes_ratios():
    rows = comparison.compare(Size(2, 32, (6,), rounds=3))
    assert [row.name.split(",")[0] for row in rows] == ["Laplacian", "training step"]
    for row in rows:
        assert set(row.seconds) == {OURS, HESSIAN, NESTED}
        assert all(seconds > 0 for seconds in row.seconds.values())
        assert all(row.speedup[other].lower > 0 for other in (HESSIAN, NESTED))
