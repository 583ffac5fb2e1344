"""The `tessera` command: demo, training, compiler, a look at this machine, a faster start of programs."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import tessera
from tessera.core.errors import TesseraError
from tessera.runtime import allocator

DEBUG_VARIABLE = "TESSERA_DEBUG"
PIPED_WIDTH = 140  # columns, where no terminal sets a limit

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
train = typer.Typer(no_args_is_help=True, help="Trains networks on problems with known solutions.")
app.add_typer(train, name="train")


def main() -> None:
    """Runs the command line; a failure is one line on stderr and a non-zero exit status.

    `tessera --debug ...` or `TESSERA_DEBUG=1` shows the traceback instead.
    """
    try:
        app()
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        complain(one_line(error))
        sys.exit(1)


def show_version(asked: bool) -> None:
    """Prints the version and ends the command line, if asked."""
    if asked:
        typer.echo(tessera.__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """Fused JAX ops and their compiler: levels of a function, demo, training, a look at this machine."""
    del version  # its callback has acted already
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


# Each command imports what it runs: `tessera run` must not add JAX's start-up to the program's own.


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Looser targets, under 40 s.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the network and its points.")] = 0,
    output: Annotated[Path, typer.Option(help="Directory of the figures.")] = Path("demo-output"),
) -> None:
    """Solves a flow with a physics-informed network and checks it against the exact solution."""
    from tessera.demo import run as run_demo

    raise typer.Exit(run_demo(quick=quick, seed=seed, output=output))


@app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
def run(
    script: Annotated[Path, typer.Argument(help="A Python program.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Its arguments.")] = None,
) -> None:
    """Starts a Python program with the allocator setting on: faster large temporaries on CPU."""
    if not script.exists():
        complain(f"run: there is no file {script}")
        raise typer.Exit(2)
    environment = allocator.turned_on(os.environ)
    state = allocator.describe(environment, allocator.c_library())
    if not state.on:
        complain(f"run: starting {script} without the allocator setting: {state.reason}")
    # The program takes over this process, so its signals and exit status need no forwarding.
    command = [sys.executable, str(script), *(arguments or [])]
    os.execve(sys.executable, command, environment)


@app.command(name="inspect")
def inspect_function(
    function: Annotated[str, typer.Argument(help="module:function, or file.py:function.")],
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape", help="Type of one argument, as 8x128, 8x128:bf16 or 'scalar'; repeat."
        ),
    ] = None,
    emit: Annotated[str, typer.Option("--emit", help="The level to print.")] = "graph",
    target: Annotated[
        str | None, typer.Option(help="The platform to plan for, or sm_80, sm_90, sm_100, gfx942.")
    ] = None,
    generic: Annotated[bool, typer.Option("--generic", help="MLIR's generic form.")] = False,
) -> None:
    """Prints one level of a function.

    Levels: jaxpr, captured, graph, schedule, tile, stablehlo, hlo, explain; for a GPU also triton, ttir,
    ttgir, llvm, ptx, amdgcn.
    """
    from tessera import api, ir
    from tessera.command import find_function, types_of

    found = find_function(function)
    types = types_of(found, shape or [])
    if emit == "explain":
        terminal().print(api.explain(found, target=target)(*types))
        return
    text = api.inspect(found, emit, *types, target=target)
    typer.echo(ir.to_text(ir.parse(text), generic=True) if generic else text)


@app.command()
def opt(
    file: Annotated[Path, typer.Argument(help="IR text of any level; - reads standard input.")],
    passes: Annotated[
        str,
        typer.Option(
            "-p",
            "--passes",
            help="Comma-separated: cse, dce, fuse, choose-configs, pipeline, check-tiles.",
        ),
    ] = "",
    generic: Annotated[bool, typer.Option("--generic", help="MLIR's generic form.")] = False,
) -> None:
    """Runs passes over IR text, verifies it and prints the result."""
    from tessera.command import run_passes_on_text

    if str(file) != "-" and not file.exists():
        complain(f"opt: there is no file {file}")
        raise typer.Exit(2)
    text = sys.stdin.read() if str(file) == "-" else file.read_text()
    names = [name.strip() for name in passes.split(",") if name.strip()]
    typer.echo(run_passes_on_text(text, str(file), names, generic=generic))


@train.command()
def pinn(
    problem: Annotated[
        str | None, typer.Argument(help="Its name; without one, lists them.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Seed; repeat for more.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="So many seeds from --seed.")] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="adam, adamw, soap, lbfgs, lm or gauss-newton; else the recipe's."),
    ] = None,
    iterations: Annotated[int | None, typer.Option(min=0, help="Iterations in all.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of adam, adamw, soap.")] = None,
    weighting: Annotated[
        str | None, typer.Option(help="none, ntk, gradient-norm, self-adaptive or causal.")
    ] = None,
    resample: Annotated[
        int | None, typer.Option(min=0, help="New points every so many iterations; 0 never.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float64 or float32.")] = "float64",
    chunk_size: Annotated[int | None, typer.Option(min=1, help="Points at once.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="Ends each seed after these.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Directory to keep the runs in, and to go on from.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from a checkpoint that is there.")] = True,
    output: Annotated[
        Path | None, typer.Option(help="Directory for figures, history.json and model.eqx.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="name=value, an option of the problem; repeat for more."),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Lists the problems, or the options of one.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:
    """Trains a network on a differential equation and compares it with the true solution.

    Ends with status 1 if the problem's own recipe misses one of its targets.
    """
    from tessera.pinn import command

    console = terminal()
    if problem is None or listing:
        found = command.list_problems() if problem is None else command.list_options(problem)
        console.print(found)
        return
    request = command.Request(
        problem,
        seed=seed or (),
        seeds=seeds,
        optimizer=optimizer,
        iterations=iterations,
        learning_rate=learning_rate,
        weighting=weighting,
        resample=resample,
        dtype=dtype,
        chunk_size=chunk_size,
        max_seconds=max_seconds,
        checkpoint=checkpoint,
        resume=resume,
        output=output,
        options=tuple(settings or ()),
        quiet=quiet,
    )
    missed = command.perform(request, console)
    for line in missed:
        complain(f"train pinn: {problem}, {line}")
    raise typer.Exit(1 if missed else 0)


@app.command()
def doctor() -> None:
    """Prints versions, devices, the allocator setting, and what each op runs on here and why."""
    from tessera import ops  # noqa: F401 - importing it registers every op
    from tessera.core.op import registered_ops
    from tessera.runtime import report

    console = terminal()
    for part in report.doctor(os.environ, registered_ops()):
        console.print(part)


def terminal() -> Console:
    """Returns the console to print on: as wide as the terminal, or wide enough where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)


def complain(message: str) -> None:
    """Prints one line on stderr."""
    typer.secho(f"tessera: {message}", err=True, fg=typer.colors.RED)


def one_line(error: Exception) -> str:
    """Returns an error on one line: message, code and hints of a Tessera error, else type and text."""
    if isinstance(error, TesseraError):
        hints = f" ({'; '.join(error.hints)})" if error.hints else ""
        text = f"{error.message}{hints} [{error.code.value}]"
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())


if __name__ == "__main__":
    main()
