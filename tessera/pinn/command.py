"""What `tessera train pinn` does: its words into arguments of `train`, and the results onto the screen.

REQUEST ──▶ problem(**options), optimizer, weighting ──▶ train, for each seed ──▶ table, files, status
"""

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tessera.core.errors import Code, CompileError
from tessera.pinn import optimizers, output, problems, weighting
from tessera.pinn.checkpoint import Checkpoint
from tessera.pinn.optimizers import Optimizer
from tessera.pinn.plots.style import load
from tessera.pinn.problem import Problem
from tessera.pinn.training import Result, train

# Each with the iterations it takes where none are given.
OPTIMIZERS: Mapping[str, tuple[Callable[..., Any], int]] = {
    "adam": (optimizers.Adam, 20000),
    "adamw": (optimizers.AdamW, 20000),
    "soap": (optimizers.SOAP, 5000),
    "lbfgs": (optimizers.LBFGS, 2000),
    "lm": (optimizers.LevenbergMarquardt, 100),
    "gauss-newton": (optimizers.GaussNewton, 100),
}
WEIGHTINGS: Mapping[str, Callable[[], Any]] = {
    "none": lambda: None,
    "ntk": weighting.NTK,
    "gradient-norm": weighting.GradientNorm,
    "self-adaptive": weighting.SelfAdaptive,
    "causal": weighting.Causal,
}


@dataclass(frozen=True)
class Request:
    """What was asked for, in words; None and empty where the problem's recipe is to decide.

    `options` are `name=value` with Python literals, `seeds` counts up from the one seed that is given.
    """

    problem: str
    seed: Sequence[int] = ()
    seeds: int | None = None
    optimizer: str | None = None
    iterations: int | None = None
    learning_rate: float | None = None
    weighting: str | None = None
    resample: int | None = None
    dtype: str = "float64"
    chunk_size: int | None = None
    max_seconds: float | None = None
    checkpoint: Path | None = None
    resume: bool = True
    output: Path | None = None
    options: Sequence[str] = ()
    quiet: bool = False

    @property
    def is_recipe(self) -> bool:
        """Whether nothing that acts on the errors differs from the problem's own recipe."""
        own = Request(self.problem)
        words = ("optimizer", "iterations", "learning_rate", "weighting", "resample")
        more = ("dtype", "max_seconds", "options")
        return all(vars(self)[word] == vars(own)[word] for word in (*words, *more))


def perform(request: Request, console: Console) -> list[str]:
    """Trains what is asked for, prints the errors and writes the files; returns the targets that were missed.

    Targets are those of the problem's own recipe: with another one nothing counts as missed. Raises
    `E_GRAPH_INVALID` for words that name nothing, `ImportError` for an extra that is not installed, `OSError`
    for a directory that cannot be written to, before any work, and what `train` raises.
    """
    seeds = seeds_of(request)
    problem = problems.problem(request.problem, **options_of(request.problem, request.options))
    stages = optimizer_of(request, problem)
    rule = _of_table("weighting", WEIGHTINGS, request.weighting or "none")()
    if request.output is not None:
        load()
        output.require_writable(request.output)
    results = [_trained(request, problem, seed, stages, rule) for seed in seeds]
    console.print(f"[bold]{escape(problem.title)}[/]")
    console.print(output.errors_table(results, bounded=request.is_recipe))
    if request.output is not None:
        written = output.write(request.output, problem, results)
        names = ", ".join(path.name for path in written)
        console.print(f"Written to {escape(str(request.output))}/: {names}", soft_wrap=True)
    return [line for result in results for line in output.misses(result) if request.is_recipe]


def _trained(
    request: Request, problem: Problem, seed: int, stages: Sequence[Optimizer], rule: Any
) -> Result:
    kept = request.checkpoint
    own = problem.resample if request.optimizer is None else None
    return train(
        problem,
        seed=seed,
        optimizer=stages,
        weighting=rule,
        resample=own if request.resample is None else request.resample,
        dtype=request.dtype,
        chunk_size=request.chunk_size,
        max_seconds=request.max_seconds,
        checkpoint=None if kept is None else Checkpoint(kept / f"{problem.name}-seed{seed}"),
        resume=request.resume,
        progress=not request.quiet,
    )


# ---- what there is ---------------------------------------------------------------------------------------


def list_problems() -> Table:
    """Returns a table of the problems with what each is."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("problem", no_wrap=True)
    table.add_column("what it is")
    for name in problems.NAMES:
        table.add_row(name, escape(problems.module(name).__doc__.partition("\n")[0]))
    return table


def list_options(name: str) -> Table:
    """Returns a table of the options of a problem with their defaults."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for heading in ("--set", "default", "type"):
        table.add_column(heading)
    for word, parameter in _parameters(name).items():
        kind = inspect.formatannotation(parameter.annotation)
        table.add_row(word, escape(repr(parameter.default)), escape(kind))
    return table


# ---- words -----------------------------------------------------------------------------------------------


def seeds_of(request: Request) -> list[int]:
    """Returns the seeds: those given, or so many from the one given, or 0.

    >>> seeds_of(Request("heat", seed=(4,), seeds=3))
    [4, 5, 6]
    """
    if request.seeds is None:
        return list(dict.fromkeys(request.seed or (0,)))
    if len(request.seed) > 1:
        raise _invalid(
            f"--seeds {request.seeds} counts from one seed, but {len(request.seed)} are given",
            "--seed once, or --seed for each without --seeds",
        )
    first = request.seed[0] if request.seed else 0
    return list(range(first, first + request.seeds))


def options_of(name: str, words: Sequence[str]) -> dict[str, Any]:
    """Returns the options of a problem that words `name=value` give; values are Python literals.

    Raises `E_GRAPH_INVALID` for a word without a value, a name that is no option, a value that is no
    literal.

    >>> options_of("kovasznay", ["reynolds=20.0", "widths=(8, 8)"])
    {'reynolds': 20.0, 'widths': (8, 8)}
    """
    parameters = _parameters(name)
    found: dict[str, Any] = {}
    for word in words:
        option, equals, text = (part.strip() for part in word.partition("="))
        if not equals:
            raise _invalid(f"--set {word!r} has no value", "--set name=value")
        if option not in parameters:
            there = ", ".join(f"{p.name}={p.default!r}" for p in parameters.values())
            raise _invalid(f"{name} has no option {option!r}", f"options: {there}")
        if option in found:
            raise _invalid(f"--set gives {option!r} twice")
        try:
            found[option] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            fix = "a number, True, (1, 2) or, with its quotes, a 'word'"
            raise _invalid(f"--set {option}: {text!r} is no Python literal", fix) from error
    return found


def optimizer_of(request: Request, problem: Problem) -> tuple[Optimizer, ...]:
    """Returns the optimizer that is asked for, by default the problem's; `iterations` end it or add to it.

    Raises `E_GRAPH_INVALID` for an unknown name, and for a learning rate where the optimizer has none.
    """
    if request.optimizer is None:
        stages = tuple(problem.optimizer)
    else:
        make, iterations = _of_table("optimizer", OPTIMIZERS, request.optimizer)
        stages = (make(iterations),)
    if request.iterations is not None:
        stages = _lasting(stages, request.iterations)
    if request.learning_rate is not None:
        stages = tuple(_with_rate(stage, request.learning_rate) for stage in stages)
    return stages


def _lasting(stages: tuple[Any, ...], iterations: int) -> tuple[Any, ...]:
    """Stages in turn up to so many iterations in all; the last goes on if they are fewer."""
    left, found = iterations, []
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        own = left if last else min(left, stage.iterations)
        found.append(replace(stage, iterations=own))
        left -= own
    return tuple(found)


def _with_rate(stage: Any, rate: float) -> Any:
    if all(field.name != "learning_rate" for field in fields(stage)):
        raise _invalid(
            f"{type(stage).__name__} has no learning rate",
            "--optimizer adam, adamw or soap has one",
        )
    return replace(stage, learning_rate=rate)


def _of_table(what: str, table: Mapping[str, Any], word: str) -> Any:
    if word not in table:
        raise _invalid(f"there is no {what} {word!r}", f"--{what}: {', '.join(table)}")
    return table[word]


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(problems.module(name).problem).parameters


def _invalid(problem: str, fix: str = "") -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"train pinn: {problem}.", hints=fix or ())
