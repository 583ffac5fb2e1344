"""Trains the problems of `tessera.pinn` with their own recipes, and the peers for a minute or as long.

    python benchmarks/pinn/run.py                          every problem, three seeds, the peers with one
    python benchmarks/pinn/run.py kovasznay burgers --seeds 1 --no-peers
    python benchmarks/pinn/run.py "cavity reynolds=400"    with options of the problem

Writes a JSON file and figures for each to `benchmarks/results/pinn/`; `gallery.py` makes the page of them.
Seconds are those of the wall clock. Pin it to idle cores, `taskset -c 0 python ...`: steps of small networks
are slower on two cores of which one is busy than on one.
"""

import argparse
import ast
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import equations
import jax
import numpy as np
import peers

from tessera.pinn import plots
from tessera.pinn.evaluation import grid_points, relative
from tessera.pinn.problem import Problem
from tessera.pinn.problems import problem, viscosity
from tessera.pinn.training import Result, train

FOLDER = Path(__file__).resolve().parents[1] / "results" / "pinn"
EVERY = (
    "kovasznay",
    "taylor_green",
    "burgers",
    "helmholtz",
    "heat",
    "wave",
    "l_shape",
    "viscosity",
    "kolmogorov",
    "cavity",
    "cavity reynolds=400",
    "allen_cahn",
)
# What the peers get at least: a few seconds would be their compilation.
LEAST_SECONDS = 60.0
# Points of a curve that are kept.
CURVE = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("problems", nargs="*", default=EVERY)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for words in options.problems:
        run(words, options.seeds, with_peers=options.peers)


def run(words: str, seeds: int, *, with_peers: bool) -> None:
    """Trains one problem, given by its name and options, and writes what was found."""
    name, *settings = words.split()
    chosen = dict(setting.split("=", 1) for setting in settings)
    made = problem(name, **{key: ast.literal_eval(value) for key, value in chosen.items()})
    results = [train(made, seed=seed, progress=False) for seed in range(seeds)]
    stem = "_".join([name, *(f"{k}_{v}" for k, v in chosen.items())])
    found: dict[str, Any] = {
        "problem": name,
        "options": chosen,
        "title": made.title,
        "source": made.source,
        "targets": dict(made.targets),
        "environment": environment(),
        "seeds": [summary(result) for result in results],
        "median": medians([summary(result) for result in results]),
        "peers": {},
    }
    known = equations.equations()
    if with_peers and name in known and not chosen:
        for style in (peers.DEEPXDE, peers.JAXPI):
            seconds = max(found["median"]["seconds"], LEAST_SECONDS)
            found["peers"][style] = peer(made, known[name], style, seconds)
    if name == "viscosity":
        found["intervals"] = [interval(made, result) for result in results]
    (FOLDER / f"{stem}.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(made, results, FOLDER / stem)
    print(stem, json.dumps({"median": found["median"], "peers": found["peers"]}), flush=True)


def interval(made: Problem, result: Result) -> dict[str, float]:
    """Returns the viscosity that was found and its interval, over the true one."""
    known = viscosity.estimate(made, result.model, samples=result.samples)
    true = viscosity.reference.VISCOSITY
    return {word: vars(known)[word] / true for word in ("value", "lower", "upper")}


def peer(made: Problem, equation: peers.Equation, style: str, seconds: float) -> dict[str, Any]:
    """Trains a peer for so long, and takes its errors as the problem does."""
    points = grid_points(made)
    outcome = peers.solve(equation, style, 0, seconds, points)
    assert made.truth is not None
    truth = made.truth(points)
    errors = {
        field: relative(outcome.fields[field], truth[field], field in made.up_to_a_constant)
        for field in outcome.fields
        if field in truth
    }
    return {"errors": errors, "steps": outcome.steps, "seconds": outcome.seconds}


def summary(result: Result) -> dict[str, Any]:
    """Returns the errors of a run and a thinned history."""
    places = np.unique(np.linspace(0, len(result.history) - 1, CURVE).round().astype(int))
    return {
        "seed": result.seed,
        "errors": dict(result.errors),
        "seconds": result.seconds,
        "missed": list(result.missed),
        "history": [
            {
                "iteration": record.iteration,
                "seconds": round(record.seconds, 2),
                "loss": record.loss,
                "residuals": dict(record.residuals),
                "errors": dict(record.errors),
            }
            for record in (result.history[i] for i in places)
        ],
    }


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the median errors and seconds of runs."""
    names = runs[0]["errors"]
    return {
        "errors": {n: statistics.median(run["errors"][n] for run in runs) for n in names},
        "seconds": statistics.median(run["seconds"] for run in runs),
    }


def draw(made: Problem, results: list[Result], stem: Path) -> None:
    """Draws the fields of the first run and the history of all."""
    plots.fields(made, results[0].model).savefig(f"{stem}.png", dpi=65)
    plots.history(results, made.targets).savefig(f"{stem}_history.png", dpi=65)


def environment() -> str:
    """Returns what times depend on."""
    count = len(os.sched_getaffinity(0))
    cores = f"{count} core" if count == 1 else f"{count} cores"
    model = next(
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    date = time.strftime("%Y-%m-%d")
    return f"{date}, Python {platform.python_version()}, JAX {jax.__version__}, {model}, {cores}"


if __name__ == "__main__":
    main()
