"""`train`: from a problem to a trained network, its history and its true errors."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.core.errors import Code, NumericsError
from tessera.dist import Mesh
from tessera.pinn import checkpoint as files
from tessera.pinn import parameters, residuals
from tessera.pinn.checkpoint import Checkpoint
from tessera.pinn.evaluation import Judge
from tessera.pinn.optimizers.protocol import Optimizer
from tessera.pinn.placement import place_batch, replicate
from tessera.pinn.problem import Model, Problem, Sample
from tessera.pinn.progress import reporter
from tessera.pinn.resampling import Resample, draw, redraw
from tessera.pinn.residuals import Batch, Objective
from tessera.pinn.settings import (
    checkpoint_of,
    count,
    known_dtype,
    resample_of,
    seconds_of,
    stages_of,
)
from tessera.pinn.weighting import Weighting


@dataclass(frozen=True)
class Record:
    """One point of the history: after `iteration`, `seconds` from the start.

    `residuals` has for each term the unweighted root mean square of the residual on the training points, in
    the term's unit; `errors` are true ones, empty where they are not known or were not taken.
    """

    iteration: int
    loss: float
    residuals: Mapping[str, float]
    errors: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Result:
    """A trained model, its history, and the errors at its end.

    `samples` are the points of the last iteration, by the names of samplers; `units` are those of the
    residuals.
    """

    problem: str
    seed: int
    model: Model
    history: tuple[Record, ...]
    targets: Mapping[str, float]
    units: Mapping[str, str]
    samples: Mapping[str, Sample] = field(default_factory=dict)

    @property
    def errors(self) -> Mapping[str, float]:
        """The true errors at the end, by name."""
        return self.history[-1].errors

    @property
    def loss(self) -> float:
        """The loss at the end."""
        return self.history[-1].loss

    @property
    def seconds(self) -> float:
        """Wall-clock seconds, compilation included; of a run that was resumed, of all its parts."""
        return self.history[-1].seconds

    @property
    def missed(self) -> tuple[str, ...]:
        """The names of targets that were not reached, errors that are not finite among them."""
        return tuple(
            name
            for name, bound in self.targets.items()
            if not self.errors.get(name, math.inf) <= bound
        )


def train(
    problem: Problem,
    *,
    seed: int = 0,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    weighting: Weighting | None = None,
    resample: int | Resample | None = None,
    dtype: str = "float64",
    chunk_size: int | None = None,
    max_seconds: float | None = None,
    errors_every: int | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    resume: bool = True,
    progress: bool | Callable[[Record], None] = True,
    mesh: Mesh | None = None,
) -> Result:
    """Returns a network trained on a problem.

    `seed` fixes the points, the network to begin with and everything drawn later. `optimizer` is one or a
    sequence to run in turn, the problem's own by default. `weighting` changes the weights of terms or points
    as it goes. `resample` draws new points every so many iterations, 0 never; the default is the problem's
    with its own optimizer, and never with another. `chunk_size` points go through at once (None: as many as
    suit the platform). Errors are taken with every record of the history whose iteration `errors_every`
    divides, by default all. Training ends early after `max_seconds`.

    With `checkpoint`, a path or a `Checkpoint`, the run is kept in a file, and if the file exists the run
    goes on from it, bit for bit, unless `resume` is False; a run that had ended goes on if the optimizer has
    more iterations. `progress` shows a line, or is called with every `Record`. With a `mesh` the points are
    spread over its devices, in equal parts.

    Runs in `dtype`, float64 or float32, and leaves the process's default alone. Raises `NumericsError`
    (E_NAN_INF), naming the term, if the loss or its derivatives are not finite, and `CompileError` for
    arguments that do not fit the problem or each other.
    """
    own = problem.resample if optimizer is None else None
    run = _Run(
        problem=problem,
        seed=count("seed", seed, least=0),
        stages=stages_of(problem.optimizer if optimizer is None else optimizer),
        objective=Objective.of(problem, chunk_size),
        weighting=weighting,
        resample=resample_of(problem, own if resample is None else resample, weighting),
        dtype=known_dtype(dtype),
        errors_every=None if errors_every is None else count("errors_every", errors_every, 1),
        checkpoint=checkpoint_of(checkpoint),
        mesh=mesh,
        judge=Judge.of(problem),
    )
    start = time.perf_counter()
    title = f"{problem.name}, seed {seed}"
    with (
        jax.enable_x64(dtype == "float64"),
        reporter(progress, title, sum(stage.iterations for stage in run.stages)) as show,
    ):
        state = _begin(run, resume)
        clock = _Clock(start - state.seconds, start + seconds_of(max_seconds))
        if not state.history:
            state = _recorded(run, state, clock, with_errors=True)
        show(state.history[-1])
        for reached in _states(run, state, clock):
            state = reached
            if state.history[-1].iteration == state.iteration:
                show(state.history[-1])
    units = {term.name: term.unit for term in problem.terms}
    return Result(
        problem.name,
        seed,
        state.model,
        state.history,
        problem.targets,
        units,
        state.batch.samples,
    )


@dataclass(frozen=True)
class _Run:
    """What does not change while a run lasts."""

    problem: Problem
    seed: int
    stages: tuple[Optimizer, ...]
    objective: Objective
    weighting: Weighting | None
    resample: Resample | None
    dtype: str
    errors_every: int | None
    checkpoint: Checkpoint | None
    mesh: Mesh | None
    judge: Judge

    def key(self, *path: int) -> jax.Array:
        """The key of what is drawn at a place of the run."""
        key = jax.random.key(self.seed)
        for number in path:
            key = jax.random.fold_in(key, number)
        return key


@dataclass(frozen=True)
class _State:
    """Where a run stands: in `stage`, `done` of its iterations; `ended` if it has no more to do there."""

    model: Model
    optimizer: Any
    weighting: Any
    batch: Batch
    generator: np.random.Generator
    history: tuple[Record, ...] = ()
    stage: int = 0
    done: int = 0
    ended: bool = False
    iteration: int = 0
    seconds: float = 0.0

    @property
    def arrays(self) -> Any:
        return self.model, self.optimizer, self.weighting, self.batch


@dataclass(frozen=True)
class _Clock:
    """When the run began, were it in one piece, and when it must end."""

    start: float
    end: float

    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def is_late(self) -> bool:
        return time.perf_counter() > self.end


# ---- the loop --------------------------------------------------------------------------------------------


def _states(run: _Run, state: _State, clock: _Clock) -> Iterator[_State]:
    """The state after every iteration, to the end of the last stage or of the time."""
    for stage in range(state.stage, len(run.stages)):
        if stage > state.stage:
            state = _entered(run, state, stage)
        optimizer = run.stages[stage]
        while not state.ended and state.done < optimizer.iterations:
            state = _iterated(run, optimizer, _renewed(run, state))
            late = clock.is_late()
            last = late or state.ended or state.done == optimizer.iterations
            if last or state.done % optimizer.every == 0:
                every = run.errors_every or 1
                state = _recorded(run, state, clock, last or state.iteration % every == 0)
            _keep(run, state, clock, last)
            yield state
            if late:
                return


def _iterated(run: _Run, optimizer: Optimizer, state: _State) -> _State:
    model, inner, info = optimizer.step(run.objective, state.model, state.batch, state.optimizer)
    if not info.finite:
        raise _not_finite(run, state)
    return replace(
        state,
        model=model,
        optimizer=inner,
        done=state.done + 1,
        ended=info.done,
        iteration=state.iteration + 1,
    )


def _entered(run: _Run, state: _State, stage: int) -> _State:
    """The state at the beginning of a stage."""
    inner = run.stages[stage].init(run.objective, state.model, state.batch, run.key(1, stage))
    return replace(state, optimizer=inner, stage=stage, done=0, ended=False)


def _renewed(run: _Run, state: _State) -> _State:
    """The state with new points and new weights, where they are due."""
    batch = _resampled(run, state)
    drawn = batch is not state.batch
    by_point = any(jnp.ndim(weight) > 0 for weight in batch.weights)
    weighting, weighted = run.weighting, state.weighting
    if weighting and (state.iteration % weighting.every == 0 or (drawn and by_point)):
        weights, weighted = weighting.update(run.objective, state.model, batch, weighted)
        batch = replace(batch, weights=place_batch(run.mesh, weights))
    if batch is state.batch:
        return state
    inner = run.stages[state.stage].refresh(state.optimizer)
    return replace(state, batch=batch, weighting=weighted, optimizer=inner)


def _resampled(run: _Run, state: _State) -> Batch:
    resample = run.resample
    if resample is None or state.iteration == 0 or state.iteration % resample.every:
        return state.batch
    samples = redraw(run.problem, run.objective, resample, state.model, state.generator, run.dtype)
    return Batch(place_batch(run.mesh, samples), state.batch.weights)


def _recorded(run: _Run, state: _State, clock: _Clock, with_errors: bool) -> _State:
    loss, means = residuals.mean_squares(run.objective, state.model, state.batch)
    if not math.isfinite(float(loss)):
        raise _not_finite(run, state)
    names = run.objective.names
    record = Record(
        state.iteration,
        float(loss),
        {name: math.sqrt(float(mean)) for name, mean in zip(names, means, strict=True)},
        run.judge.errors(state.model) if with_errors else {},
        clock.seconds(),
    )
    return replace(state, history=(*state.history, record))


def _not_finite(run: _Run, state: _State) -> NumericsError:
    loss, means = residuals.mean_squares(run.objective, state.model, state.batch)
    names = run.objective.names
    of_loss = [name for name, x in zip(names, means, strict=True) if not jnp.isfinite(x)]
    finite = bool(jnp.isfinite(loss))
    what = "gradient is not finite" if finite else f"loss is {float(loss)}"
    # Without a term to blame it is the weights, or the sum of all terms, that overflows.
    terms = ", ".join(of_loss or (_with_bad_gradients(run, state) if finite else ()) or names)
    return NumericsError(
        Code.E_NAN_INF,
        f"train: the {what} at iteration {state.iteration}, by the residual of: {terms}.",
        hints="check the residual and the points for poles and overflow, or take smaller steps",
    )


def _with_bad_gradients(run: _Run, state: _State) -> list[str]:
    found = []
    for term, weight in zip(run.objective.terms, state.batch.weights, strict=True):
        # Alone: in a sum, zero times what is not finite is not finite.
        own = replace(run.objective, terms=(term,))
        batch = replace(state.batch, weights=(weight,))
        _, gradient = residuals.loss_and_gradient(own, state.model, batch)
        if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(gradient)):
            found.append(term.name)
    return found


# ---- the beginning, and what is kept ---------------------------------------------------------------------


def _begin(run: _Run, resume: bool) -> _State:
    generator = np.random.default_rng(run.seed)
    model = parameters.cast(run.problem.network(run.key(0)), run.dtype)
    samples = place_batch(run.mesh, draw(run.problem, generator, run.dtype))
    weights = run.objective.weights(run.dtype)
    batch = Batch(samples, replicate(run.mesh, weights))
    weighted = () if run.weighting is None else run.weighting.init(run.objective, batch)
    state = _State(replicate(run.mesh, model), (), weighted, batch, generator)
    state = _entered(run, state, 0)
    if run.checkpoint is None or not resume or not Path(run.checkpoint.path).exists():
        return state
    return _resumed(run, run.checkpoint, state)


def _keep(run: _Run, state: _State, clock: _Clock, last: bool) -> None:
    """Writes the checkpoint where it is due."""
    kept = run.checkpoint
    if kept is None or not (last or state.iteration % kept.every == 0):
        return
    place = {
        "generator": state.generator.bit_generator.state,
        "history": [asdict(record) for record in state.history],
        "stage": state.stage,
        "done": state.done,
        "ended": state.ended,
        "iteration": state.iteration,
        "seconds": clock.seconds(),
        "weights": [list(jnp.shape(weight)) for weight in state.batch.weights],
    }
    files.save(kept.path, _identity(run, state), place, state.arrays)


def _resumed(run: _Run, kept: Checkpoint, fresh: _State) -> _State:
    """The state in a checkpoint; `fresh` is that at the beginning of the run."""
    with files.opened(kept.path, _identity(run, fresh)) as file:
        place = file.place
        state = _entered(run, fresh, place["stage"])
        weights = tuple(jnp.zeros(tuple(shape), run.dtype) for shape in place["weights"])
        state = replace(state, batch=replace(state.batch, weights=weights))
        model, optimizer, weighted, batch = file.arrays(state.arrays)
    state.generator.bit_generator.state = place["generator"]
    return replace(
        state,
        model=replicate(run.mesh, model),
        optimizer=replicate(run.mesh, optimizer),
        weighting=weighted,
        batch=place_batch(run.mesh, batch),
        history=tuple(Record(**record) for record in place["history"]),
        done=place["done"],
        ended=place["ended"],
        iteration=place["iteration"],
        seconds=place["seconds"],
    )


def _identity(run: _Run, state: _State) -> dict[str, str]:
    return {
        "problem": run.problem.name,
        "seed": str(run.seed),
        "dtype": run.dtype,
        "terms": files.described(tuple(replace(t, residual=t.name) for t in run.objective.terms)),
        "network": files.shape_of(state.model),
        "optimizer": files.described(run.stages),
        "weighting": files.described(run.weighting),
        "resampling": files.described(run.resample),
    }
