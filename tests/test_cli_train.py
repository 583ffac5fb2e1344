"""`tessera train pinn`: what it lists, what it passes on, what it prints and leaves behind, how it fails."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import pytest
from pinn_cases import decay
from typer.testing import CliRunner

from tessera import cli
from tessera.core.errors import CompileError
from tessera.pinn import command, output, problems
from tessera.pinn.command import Request, optimizer_of, options_of, seeds_of
from tessera.pinn.evaluation import evaluate
from tessera.pinn.optimizers import LBFGS, SOAP, Adam, LevenbergMarquardt
from tessera.pinn.plots import style
from tessera.pinn.problem import Problem
from tessera.pinn.training import Record, Result

pytestmark = [pytest.mark.newest, pytest.mark.usefixtures("compiled_quickly")]


def heat(*, target: float = 1e-3, iterations: int = 30) -> Problem:
    """Stands for a problem of the package: the decay of an exponential, which takes less time."""
    return decay(optimizer=(LevenbergMarquardt(iterations),), targets={"u": target})


@pytest.fixture(autouse=True)
def short_problem(monkeypatch: pytest.MonkeyPatch):
    module = ModuleType("tessera.pinn.problems.heat", "Heat in a rod.\n\nMore of it.")
    vars(module)["problem"] = heat
    monkeypatch.setitem(sys.modules, module.__name__, module)
    # A terminal narrower than a table would fold its words.
    monkeypatch.setattr(cli, "PIPED_WIDTH", 140)
    monkeypatch.setattr(style, "DOTS_PER_INCH", 40)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Puts a function that only notes its arguments in the place of `train`."""
    found: list[dict[str, Any]] = []

    def train(problem: Problem, **options: Any) -> Result:
        found.append(options)
        record = Record(3, 0.5, {"decay": 0.1}, {"u": 0.02}, 1.0)
        return Result(problem.name, options["seed"], None, (record,), problem.targets, {})

    monkeypatch.setattr(command, "train", train)
    return found


def invoke(*words: str):
    """Returns the result of the command, run in this process."""
    return CliRunner().invoke(cli.app, ["train", "pinn", *words])


def complaint(monkeypatch: pytest.MonkeyPatch, capsys: Any, *words: str) -> str:
    """Returns the one line on stderr of a command that fails."""
    monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "argv", ["tessera", "train", "pinn", *words])
    with pytest.raises(SystemExit) as exit_status:
        cli.main()
    assert exit_status.value.code == 1
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


class TestLists:
    @pytest.mark.parametrize("words", [(), ("--list",)])
    def test_without_a_problem_all_are_listed(self, words: tuple[str, ...]):
        result = invoke(*words)
        assert result.exit_code == 0
        assert all(name in result.output for name in problems.NAMES)
        assert "Heat in a rod." in result.output

    def test_the_options_of_a_problem_are_listed_with_their_defaults(self):
        lines = invoke("heat", "--list").output.splitlines()
        assert any(line.split() == ["target", "0.001", "float"] for line in lines)


class TestRuns:
    def test_a_run_ends_with_errors_files_and_status_zero(self, tmp_path: Path):
        result = invoke("heat", "--quiet", "--output", str(tmp_path / "made"))
        assert (result.exit_code, result.stderr) == (0, "")
        assert "A case" in result.output
        row = next(line.split() for line in result.output.splitlines() if "seed 0" in line)
        history = json.loads((tmp_path / "made" / "history.json").read_text())
        (seed,) = history["seeds"]
        assert row[2] == f"{seed['errors']['u']:.1e}"
        assert seed["errors"]["u"] < 1e-3
        assert history["units"] == {"decay": "1/s", "start": "1"}
        names = {path.name for path in (tmp_path / "made").iterdir()}
        figures = {"history.png", "fields.png", "residuals.png", "spectra.png"}
        # No spatial coordinate: no spectra.
        assert names == figures - {"spectra.png"} | {"history.json", "model.eqx"}
        model = output.load_model(tmp_path / "made" / "model.eqx", heat())
        assert evaluate(heat(), model) == seed["errors"]

    def test_a_target_that_is_missed_is_a_line_and_status_one(self, calls: list[Any]):
        result = invoke("heat", "--seeds", "2")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            f"tessera: train pinn: heat, seed {seed}: u is 2.0e-02 but must not exceed 1.0e-03 "
            "(loss 5.0e-01 after 3 iterations)"
            for seed in (0, 1)
        ]
        assert "target" in result.output

    @pytest.mark.parametrize(
        "words",
        [
            ("--iterations", "3"),
            ("--optimizer", "lm"),
            ("--set", "target=1e-4"),
            ("--dtype", "float32"),
            ("--max-seconds", "1"),
        ],
    )
    def test_targets_are_those_of_the_recipe_alone(self, calls: list[Any], words: tuple[str, ...]):
        result = invoke("heat", *words)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "target" not in result.output

    def test_words_become_arguments(self, calls: list[Any], tmp_path: Path):
        words = (
            "heat --seed 4 --seed 2 --optimizer soap --iterations 9 --learning-rate 0.01 --weighting ntk "
            f"--resample 5 --dtype float32 --chunk-size 64 --max-seconds 2.5 --checkpoint {tmp_path} "
            "--no-resume --quiet"
        )
        assert invoke(*words.split()).exit_code == 0
        assert [call.pop("seed") for call in calls] == [4, 2]
        kept = [call.pop("checkpoint") for call in calls]
        assert [Path(c.path).relative_to(tmp_path).name for c in kept] == [
            "case-seed4",
            "case-seed2",
        ]
        assert (
            calls[0]
            == calls[1]
            == {
                "optimizer": (SOAP(9, 0.01),),
                "weighting": command.WEIGHTINGS["ntk"](),
                "resample": 5,
                "dtype": "float32",
                "chunk_size": 64,
                "max_seconds": 2.5,
                "resume": False,
                "progress": False,
            }
        )

    def test_a_run_that_was_kept_goes_on(self, tmp_path: Path):
        first = invoke("heat", "--iterations", "2", "--checkpoint", str(tmp_path), "--quiet")
        more = invoke("heat", "--iterations", "4", "--checkpoint", str(tmp_path), "--quiet")
        whole = invoke("heat", "--iterations", "4", "--quiet")
        assert [first.exit_code, more.exit_code, whole.exit_code] == [0, 0, 0]
        rows = [
            next(w for w in r.output.splitlines() if "seed 0" in w).split() for r in (more, whole)
        ]
        # All but the seconds.
        assert rows[0][:-1] == rows[1][:-1]


class TestFailures:
    @pytest.mark.parametrize(
        ("words", "line"),
        [
            (("froth",), "there is no problem 'froth'. (problems: allen_cahn, burgers,"),
            (
                ("heat", "--optimizer", "sgd"),
                "there is no optimizer 'sgd'. (--optimizer: adam, adamw,",
            ),
            (("heat", "--weighting", "x"), "there is no weighting 'x'. (--weighting: none, ntk,"),
            (("heat", "--dtype", "int8"), "dtype is 'int8'; it must be one of float64, float32"),
            (("heat", "--learning-rate", "1"), "LevenbergMarquardt has no learning rate"),
            (("heat", "--set", "speed=1"), "heat has no option 'speed'. (options: target=0.001,"),
            (("heat", "--set", "target"), "--set 'target' has no value"),
            (("heat", "--set", "target=fast"), "--set target: 'fast' is no Python literal"),
            (("heat", "--set", "target="), "--set target: '' is no Python literal"),
            (("heat", "--set", "target=1", "--set", "target=2"), "--set gives 'target' twice"),
            (
                ("heat", "--seed", "1", "--seed", "2", "--seeds", "2"),
                "--seeds 2 counts from one seed",
            ),
        ],
    )
    def test_words_that_name_nothing_are_one_line(self, monkeypatch, capsys, words, line):
        assert line in complaint(monkeypatch, capsys, *words)

    @pytest.mark.parametrize("words", [("--seeds", "0"), ("--seed", "-1"), ("--iterations", "x")])
    def test_numbers_out_of_range_are_refused(self, words: tuple[str, ...]):
        assert invoke("heat", *words).exit_code == 2

    def test_a_file_in_place_of_the_output_is_one_line_before_any_work(
        self, monkeypatch, capsys, calls: list[Any], tmp_path: Path
    ):
        in_the_way = tmp_path / "file"
        in_the_way.write_text("")
        line = complaint(monkeypatch, capsys, "heat", "--output", str(in_the_way))
        assert f"{in_the_way} is a file, not a directory" in line
        assert calls == []

    def test_a_model_of_other_sizes_is_not_loaded(self, tmp_path: Path):
        with jax.enable_x64(True):
            small = heat().network(jax.random.key(0))
        path = output.save_model(tmp_path / "model.eqx", eqx.filter(small, lambda x: False))
        with pytest.raises(CompileError, match="does not hold a float64 model of 'case'"):
            output.load_model(path, heat())


class TestWords:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, [0]),
            ({"seed": (3, 1, 3)}, [3, 1]),
            ({"seeds": 3}, [0, 1, 2]),
            ({"seed": (5,), "seeds": 2}, [5, 6]),
        ],
    )
    def test_seeds_are_given_or_counted(self, given: dict[str, Any], expected: list[int]):
        assert seeds_of(Request("heat", **given)) == expected

    @pytest.mark.parametrize(
        ("iterations", "expected"), [(0, (0, 0)), (7, (7, 0)), (12, (10, 2)), (40, (10, 30))]
    )
    def test_iterations_end_the_stages_of_a_recipe_or_add_to_the_last(
        self, iterations: int, expected: tuple[int, ...]
    ):
        problem = replace(heat(), optimizer=(Adam(10), LBFGS(5)))
        stages = optimizer_of(Request("heat", iterations=iterations), problem)
        assert tuple(stage.iterations for stage in stages) == expected

    def test_every_optimizer_and_weighting_has_a_name(self):
        for name in command.OPTIMIZERS:
            (stage,) = optimizer_of(Request("heat", optimizer=name, iterations=2), heat())
            assert stage.iterations == 2
        assert all(command.WEIGHTINGS[name]() for name in command.WEIGHTINGS if name != "none")

    def test_values_are_python_literals(self):
        words = ["target = 2e-3", "iterations=4"]
        assert options_of("heat", words) == {"target": 2e-3, "iterations": 4}
