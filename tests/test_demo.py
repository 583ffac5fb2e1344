"""The main job at a tiny size: what it writes, what it prints, and how it fails."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from tessera.demo import comparison, main_job, report, training
from tessera.demo.comparison import HESSIAN, NESTED, OURS, Size
from tessera.demo.settings import QUICK, Settings, flow
from tessera.pinn.optimizers import LevenbergMarquardt
from tessera.pinn.parameters import cast
from tessera.pinn.plots import style
from tessera.pinn.problem import Problem, Term
from tessera.pinn.training import Record, Result

pytestmark = pytest.mark.newest

TINY = Settings(
    problem=replace(
        flow({"u": 0.5, "p": 0.5}, widths=(8,), interior=8, boundary=8),
        grid=(np.linspace(-0.5, 1.0, 16), np.linspace(-0.5, 1.5, 21)),
    ),
    optimizer=LevenbergMarquardt(2),
    seeds=2,
    sizes=(),
)


def trained(problem: Problem, *, seed: int, optimizer: Any, progress: Any) -> Result:
    """Stands for `train`, which has tests of its own: an untrained network and what it might report."""
    with jax.enable_x64(True):
        model = cast(problem.network(jax.random.key(seed)), "float64")
    history = tuple(
        Record(n, 10.0**-n, {"momentum": 0.1, "velocity": 0.1}, {"u": 10.0**-n, "p": 0.1}, n / 2)
        for n in range(optimizer.iterations + 1)
    )
    for record in history:
        progress(record)
    units = {term.name: term.unit for term in problem.terms}
    return Result(problem.name, seed, model, history, problem.targets, units)


def perform(settings: Settings, output: Path, seed: int = 0) -> tuple[int, str, str]:
    """Returns the exit code and what went to the console and to stderr."""
    text, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(errors):
        code = main_job.perform(settings, True, seed, output, Console(file=text, width=80))
    return code, text.getvalue(), errors.getvalue()


@pytest.fixture(scope="module")
def quickly() -> Iterator[None]:
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def tiny(quickly: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    output = tmp_path_factory.mktemp("demo") / "made" / "here"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", trained)
        patch.setattr(style, "DOTS_PER_INCH", 70)
        code, text, errors = perform(TINY, output)
    assert errors == ""
    return code, text, output


def test_a_run_that_reaches_its_targets_ends_with_zero(tiny: tuple[int, str, Path]):
    code, text, _ = tiny
    assert code == 0, text


@pytest.mark.slow
def test_the_flow_is_learned_from_its_equations(tmp_path: Path):
    code, text, errors = perform(replace(QUICK, sizes=()), tmp_path)
    assert (code, errors) == (0, ""), text
    (seed,) = json.loads((tmp_path / "summary.json").read_text())["kovasznay"]["seeds"]
    losses = [record["loss"] for record in seed["history"]]
    assert losses == sorted(losses, reverse=True)
    assert seed["errors"]["divergence"] < 1e-12
    assert jnp.ones(1).dtype == jnp.float32


def test_the_figures_are_written_and_show_something(tiny: tuple[int, str, Path]):
    for name in ("flow.png", "fields.png", "training.png"):
        image = imread(tiny[2] / name)
        assert min(image.shape[:2]) > 200, name
        image = image[::3, ::3]
        assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 100, name


def test_the_summary_tells_every_record(tiny: tuple[int, str, Path]):
    summary = json.loads((tiny[2] / "summary.json").read_text())
    assert summary["passed"] is True
    assert summary["kovasznay"]["targets"] == {"u": 0.5, "p": 0.5}
    assert [seed["seed"] for seed in summary["kovasznay"]["seeds"]] == [0, 1]
    for seed in summary["kovasznay"]["seeds"]:
        assert [record["iteration"] for record in seed["history"]] == [0, 1, 2]
        assert seed["errors"] == seed["history"][-1]["errors"] == {"u": 0.01, "p": 0.1}


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


def test_a_missed_target_says_which_and_ends_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(training, "train", trained)
    monkeypatch.setattr(training, "draw", lambda problem, results, folder: [])
    problem = replace(TINY.problem, targets={"u": 1e-15})
    code, text, errors = perform(replace(TINY, problem=problem, seeds=1), tmp_path)
    assert code == 1
    assert "demo failed" not in text
    assert errors.startswith("demo failed: seed 0: u is")
    assert "must not exceed 1.0e-15" in errors.splitlines()[0]
    assert json.loads((tmp_path / "summary.json").read_text())["passed"] is False


def test_training_that_meets_nan_says_so_in_one_line(quickly: None, tmp_path: Path):
    broken = Term("broken", lambda model, at: model(at).array * jnp.nan)
    problem = replace(TINY.problem, terms=(broken,), truth=None, judge=None)
    code, _, errors = perform(replace(TINY, problem=problem), tmp_path)
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
    main_job.require_writable(tmp_path / "made")
    assert [path.name for path in tmp_path.rglob("*")] == ["made"]


def test_a_missing_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(style.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'tessera\[viz\]'"):
        perform(TINY, tmp_path)


def test_a_negative_seed_is_one_line(tmp_path: Path):
    code, _, errors = perform(TINY, tmp_path, seed=-1)
    assert code == 1
    assert errors.startswith("demo failed: seed is -1")


def test_the_comparison_says_what_its_ratios_are():
    assert "ratio: median over rounds" in str(report.comparison_table([]).caption)


def test_the_comparison_times_every_way_and_takes_ratios(quickly: None):
    rows = comparison.compare(Size(2, 32, (6,), rounds=3))
    assert [row.name.split(",")[0] for row in rows] == ["Laplacian", "training step"]
    for row in rows:
        assert set(row.seconds) == {OURS, HESSIAN, NESTED}
        assert all(seconds > 0 for seconds in row.seconds.values())
        assert all(row.speedup[other].lower > 0 for other in (HESSIAN, NESTED))
    text = io.StringIO()
    Console(file=text, width=80).print(report.comparison_table(rows))
    assert "nested jax.grad" in text.getvalue()
    assert "…" not in text.getvalue()
