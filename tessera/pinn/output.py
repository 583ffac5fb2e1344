"""What a training run leaves behind: its errors as a table, its history as JSON, its model, its figures."""

import json
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from rich.table import Table

from tessera.core.errors import Code, CompileError
from tessera.pinn import parameters, plots
from tessera.pinn.problem import Model, Problem
from tessera.pinn.training import Record, Result


def errors_table(results: Sequence[Result], bounded: bool = True) -> Table:
    """Returns a table of the errors of each seed and, if they are to count, of their targets below."""
    table = Table(
        box=None, padding=(0, 1), header_style="dim", show_footer=bounded, footer_style="dim"
    )
    table.add_column("error", "target", no_wrap=True)
    targets = results[0].targets if bounded else {}
    names = list(dict.fromkeys([*targets, *results[0].errors]))
    for name in names:
        bound = f"{targets[name]:.0e}" if name in targets else ""
        table.add_column(name, bound, justify="right", no_wrap=True)
    for heading in ("loss", "steps", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        last = result.history[-1]
        cells = [_judged(result.errors.get(name), targets.get(name)) for name in names]
        ends = (f"{last.loss:.1e}", str(last.iteration), f"{last.seconds:.1f}")
        table.add_row(f"seed {result.seed}", *cells, *ends)
    return table


def misses(result: Result) -> list[str]:
    """Returns one line for each target that was missed, errors that are not finite among them.

    >>> record = Record(7, 0.5, {}, {"u": 0.02}, 1.0)
    >>> misses(Result("wave", 4, None, (record,), {"u": 0.01}, {}))
    ['seed 4: u is 2.0e-02 but must not exceed 1.0e-02 (loss 5.0e-01 after 7 iterations)']
    """
    last = result.history[-1]
    end = f"(loss {last.loss:.1e} after {last.iteration} iterations)"
    return [
        f"seed {result.seed}: {name} is {_number(result.errors.get(name))} but must not exceed "
        f"{result.targets[name]:.1e} {end}"
        for name in result.missed
    ]


def summary_of(result: Result) -> dict[str, Any]:
    """Returns the errors and the history of a result as JSON has it."""
    return {
        "seed": result.seed,
        "errors": dict(result.errors),
        "missed": list(result.missed),
        "seconds": result.seconds,
        "history": [_as_json(record) for record in result.history],
    }


def write(folder: Path, problem: Problem, results: Sequence[Result]) -> list[Path]:
    """Writes figures, history.json and models into a directory; returns the paths.

    Figures of fields are those of the first result; those that do not apply to the problem are left out. One
    model is written as model.eqx, several as model-seed0.eqx and so on.

    Raises `ImportError`, naming the extra, without matplotlib.
    """
    first = results[0]
    figures = {
        "history.png": plots.history(results),
        "fields.png": plots.fields(problem, first.model),
    }
    for name, draw in (
        ("residuals.png", plots.residuals),
        ("spectra.png", plots.spectra),
        ("flow.png", plots.flow),
    ):
        try:
            figures[name] = draw(problem, first.model)
        except CompileError as error:
            if error.code is not Code.E_GRAPH_INVALID:
                raise
    written = [plots.save(figure, folder / name) for name, figure in figures.items()]
    written.append(write_history(folder / "history.json", results))
    for result in results:
        name = "model.eqx" if len(results) == 1 else f"model-seed{result.seed}.eqx"
        written.append(save_model(folder / name, result.model))
    return written


def write_history(path: Path, results: Sequence[Result]) -> Path:
    """Writes targets, units and all records of results of one problem to a JSON file; returns the path."""
    first = results[0]
    summary = {
        "problem": first.problem,
        "targets": dict(first.targets),
        "units": dict(first.units),
        "versions": versions(),
        "seeds": [summary_of(result) for result in results],
    }
    path.write_text(json.dumps(summary, indent=2) + "\n")
    return path


def versions() -> dict[str, str]:
    """Returns the versions that numbers may depend on."""
    return {"python": platform.python_version(), "jax": jax.__version__}


def save_model(path: Path, model: Model) -> Path:
    """Writes the arrays of a model to a file, as Equinox serialises leaves; returns the path."""
    eqx.tree_serialise_leaves(path, model)
    return path


def load_model(path: str | Path, problem: Problem, dtype: str = "float64") -> Model:
    """Returns the model that `save_model` has written; `problem` has the options it was trained with.

    `dtype` is the one it was trained in. Raises `E_CACHE_IO` for a file that does not fit.

    >>> from tessera.pinn.problems import kovasznay
    >>> problem = kovasznay.problem(widths=(4,))
    >>> model = parameters.cast(problem.network(jax.random.key(0)), "float32")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_model(Path(folder) / "model.eqx", model)
    ...     eqx.tree_equal(load_model(path, problem, "float32"), model)
    Array(True, dtype=bool)
    """
    with jax.enable_x64(dtype == "float64"):
        like = parameters.cast(problem.network(jax.random.key(0)), dtype)
        try:
            return eqx.tree_deserialise_leaves(path, like)
        except (RuntimeError, ValueError, EOFError) as error:
            raise CompileError(
                Code.E_CACHE_IO,
                f"load_model: {path} does not hold a {dtype} model of {problem.name!r}.",
                hints="give the problem the options, and the dtype, that the model was trained with",
            ) from error


def require_writable(folder: Path) -> None:
    """Makes a directory and writes a file there that is gone at once; raises `OSError` where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except FileExistsError as error:
        raise OSError(f"{folder} is a file, not a directory") from error
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror}") from error


def _as_json(record: Record) -> dict[str, Any]:
    return {
        "iteration": record.iteration,
        "loss": record.loss,
        "residuals": dict(record.residuals),
        "errors": dict(record.errors),
        "seconds": record.seconds,
    }


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1e}"


def _judged(value: float | None, bound: float | None) -> str:
    if bound is None or value is None:
        return _number(value)
    colour = "green" if value <= bound else "red"
    return f"[{colour}]{_number(value)}[/]"
