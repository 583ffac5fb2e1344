"""`@graph.training_step`: from a loss to a compiled function that returns gradients and metrics."""

import functools
import inspect as python_inspect
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, overload

import jax

from tessera import api
from tessera.core.errors import Code, CompileError
from tessera.graph.backward import BackwardInsideGradient, Run, Whole, backward, check_loss
from tessera.graph.captured import (
    WRAPPERS,
    Wrapper,
    captured_modules,
    named_like,
    with_captured,
    wrapped_in,
)
from tessera.graph.drawing import write
from tessera.graph.module import Module
from tessera.graph.parameters import combine, split
from tessera.graph.points import with_names
from tessera.graph.recording import record


class TrainingStep:
    """A compiled training step: call it, look at its levels, ask for the parameters it captures."""

    __name__: str

    def __init__(self, function: Callable[..., Any], module: str | None = None):
        functools.update_wrapper(self, function)
        self.function = function
        self.module = module
        self.signature = python_inspect.signature(function)
        self.captures = module is not None or _positional(self.signature) == 1
        # A guess that saves a trace; a body that does otherwise is noticed.
        self._calls_backward = _names_backward(function)
        self._compiled = api.compile(self._as_pure_function())

    def __repr__(self) -> str:
        return f"<training step {self.__name__}{self.signature}>"

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Returns (gradients, metrics); `metrics["loss"]` is the loss."""
        bound = self.signature.bind(*args, **kwargs)
        captured = [self._captured()] if self.captures else []
        result = self._compiled(*captured, *bound.args, **bound.kwargs)
        record(self, bound.arguments, result)
        return result

    @property
    def trace_count(self) -> int:
        """How often the body was traced for compilation."""
        return self._compiled.trace_count

    def parameters(self) -> Any:
        """Returns the parameters the step captures, by name; without captured modules an empty dict."""
        return split(self._captured()).parameters if self.captures else {}

    def inspect(self, level: str, *args: Any, **options: Any) -> str:
        """Returns the text of a level for arguments, arrays or their types, or for the last call."""
        return self._compiled.inspect(level, *self._operands(args), **options)

    def explain(self, *args: Any) -> Any:
        """Returns what was fused, where and why, for arguments or for the last call."""
        return self._compiled.explain(*self._operands(args))

    def export(self, path: str | Path, *args: Any, ir: str = "graph") -> Path:
        """Writes a level as a picture (`.dot`) or as data (`.json`), as `graph.module` does."""
        return write(lambda level: self.inspect(level, *args), Path(path), ir, self.__name__)

    def _operands(self, args: Sequence[Any]) -> list[Any]:
        """Returns what the compiled step is called with: captured modules come first."""
        return [self._captured(), *args] if self.captures and args else list(args)

    def _captured(self) -> dict[str, Any]:
        found = captured_modules(self.function)
        if self.module is not None:
            found = self._only(self.module, found)
        if not found:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"training step {self.__name__!r}: takes no parameters and captures no Equinox module.",
                hints="take parameters first: def step(params, batch): ... return loss",
            )
        return found

    def _only(self, module: str, found: dict[str, Any]) -> dict[str, Any]:
        """Returns those of the captured modules that belong to the graph module, or have the name."""
        named = [part for part in wrapped_in(self.function) if isinstance(part, Module)]
        for part in named:
            if part.name == module:
                inside = {id(x) for x in captured_modules(part.function).values()}
                return {name: x for name, x in found.items() if id(x) in inside}
        if module in found:
            return {module: found[module]}
        known = ", ".join([*(part.name for part in named), *found]) or "none"
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"training step {self.__name__!r}: captures no module named {module!r}.",
            hints=f"captured: {known}",
        )

    def _as_pure_function(self) -> Callable[..., Any]:
        """Returns the step as a function of what is trained and the other arguments."""

        def step(trained: Any, /, *rest: Any, **keywords: Any) -> Any:
            parts = split(trained)

            def body(parameters: Any) -> Any:
                owner = combine(parameters, parts.rest)
                given, named = with_names(self.module, (rest, keywords))
                if self.captures:
                    return with_captured(self.function, owner)(*given, **named)
                return self.function(owner, *given, **named)

            run = Run(body, parts.parameters)
            if self._calls_backward:
                returned = run()
                if run.losses:
                    return self._piecewise(run, returned)
            try:
                return self._whole(body, parts.parameters)
            except BackwardInsideGradient:
                self._calls_backward = True
            return self._piecewise(run, run())

        own = next(iter(self.signature.parameters))
        return named_like(step, self.function, "modules" if self.captures else own)

    def _whole(self, body: Callable[[Any], Any], parameters: Any) -> Any:
        """Differentiates a body that returns its loss."""

        def loss_and_metrics(trained: Any) -> tuple[Any, dict[str, Any]]:
            return self._loss_and_metrics(Whole()(functools.partial(body, trained)))

        (loss, metrics), gradients = jax.value_and_grad(loss_and_metrics, has_aux=True)(parameters)
        return gradients, {"loss": loss, **metrics}

    def _piecewise(self, run: Run, returned: Any) -> Any:
        """Returns gradients and metrics of a body that has called `backward`."""
        if not run.losses:
            raise self._invalid("calls backward in some runs and not in others")
        match returned:
            case (gradients, dict(metrics)):
                pass
            case tuple() | list() | dict() | None:
                raise self._invalid(f"calls backward and returns a {type(returned).__name__}")
            case _:
                check_loss(f"training step {self.__name__!r}", returned)
                gradients, metrics = run.gradients[-1], {"loss": returned}
        return gradients, {"loss": run.losses[-1], **metrics}

    def _loss_and_metrics(self, returned: Any) -> tuple[Any, dict[str, Any]]:
        match returned:
            case (loss, dict(metrics)):
                pass
            case tuple() | list() | dict() | None:
                raise self._invalid(f"returns a {type(returned).__name__}")
            case _:
                loss, metrics = returned, {}
        check_loss(f"training step {self.__name__!r}", loss)
        return loss, metrics

    def _invalid(self, problem: str) -> CompileError:
        return CompileError(
            Code.E_GRAPH_INVALID,
            f"training step {self.__name__!r}: {problem}.",
            hints="return loss, (loss, metrics), or after graph.backward (gradients, metrics); "
            "metrics is a dict",
        )


@overload
def training_step(function: Callable[..., Any], /) -> TrainingStep: ...
@overload
def training_step(*, module: str | None = None) -> Callable[[Callable[..., Any]], TrainingStep]: ...
def training_step(function: Any = None, /, *, module: str | None = None) -> Any:
    """Returns a compiled step that gives `(gradients, metrics)`, with the loss in `metrics["loss"]`.

    The body takes `(params, batch)`, and more if it likes, such as a key, and returns a scalar loss
    or `(loss, metrics)`, metrics a dict of arrays. Parameters are any pytree, Equinox modules included;
    gradients have its structure, with None where there is no real or complex array.

    A body of one positional parameter, `(batch)`, trains the Equinox modules it captures, from its
    closure or the globals it names, looked up at each call; gradients are a dict by name, in the
    structure of each module. `module` limits them to the modules of the `graph.module` of that
    name, or to the captured module of that name. Either body may call `graph.backward(loss)`, go on
    with the gradients and return `(gradients, metrics)`. A metric "loss" of the body's own is kept.

    The step is a function like another: `jit` it, compose it with Optax, look at `.inspect(level)`
    and `.explain()`; `.parameters()` gives the captured parameters and `.trace_count` the traces.

    Captured modules are found by name, in lists, tuples and dicts, and through functions; one that
    is an attribute of some other object is a constant.

    Raises `E_GRAPH_INVALID` where the body returns something else, captures nothing to train, or
    reaches a module through a function that `jax.jit` has compiled, and `E_SHAPE_MISMATCH` for a loss
    that is not a scalar.

    >>> import jax.numpy as jnp
    >>> @training_step
    ... def step(params, batch):
    ...     return jnp.mean((params["w"] * batch - 1.0) ** 2)
    >>> gradients, metrics = step({"w": jnp.array(0.0)}, jnp.array([1.0, 3.0]))
    >>> gradients["w"].item(), metrics["loss"].item()
    (-4.0, 1.0)
    """
    if function is None:
        return functools.partial(_decorate, module=module)
    return _decorate(function, module)


backward_step = training_step


def _decorate(function: Any, module: str | None) -> TrainingStep:
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"training_step: got a {type(function).__name__}, not a function.",
            hints="@graph.training_step above a def",
        )
    if _positional(python_inspect.signature(function)) == 0:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            "training_step: the body takes no arguments.",
            hints="(params, batch) or (batch)",
        )
    return TrainingStep(function, module)


class Loss:
    """A function marked as a loss: its result is checked to be one real number."""

    __name__: str

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self.function = function

    def __repr__(self) -> str:
        return f"<loss {self.__name__}{python_inspect.signature(self.function)}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the loss.

        Raises `E_SHAPE_MISMATCH` if it is not a scalar, `E_GRAPH_INVALID` if it is not real.
        """
        with jax.named_scope(self.__name__):
            value = self.function(*args, **kwargs)
        check_loss(f"loss {self.__name__!r}", value)
        return value


def loss(function: Callable[..., Any]) -> Loss:
    """Returns the function marked as a loss: a result that is not one real number is an error.

    It stays a plain function for every transformation and can be given to `graph.training_step`.
    Raises `E_SHAPE_MISMATCH` at the call if the result is not a scalar and `E_GRAPH_INVALID` if it
    is not real.

    >>> import jax, jax.numpy as jnp
    >>> @loss
    ... def squares(w, x):
    ...     return jnp.sum((w * x) ** 2)
    >>> jax.grad(squares)(3.0, 2.0).item()
    24.0
    """
    if not callable(function):
        raise CompileError(
            Code.E_GRAPH_INVALID, f"loss: got a {type(function).__name__}, not a function."
        )
    return Loss(function)


def _names_backward(function: Callable[..., Any]) -> bool:
    is_plain = isinstance(function, types.FunctionType)
    return is_plain and backward.__name__ in function.__code__.co_names


def _positional(signature: python_inspect.Signature) -> int:
    kinds = (
        python_inspect.Parameter.POSITIONAL_ONLY,
        python_inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return sum(parameter.kind in kinds for parameter in signature.parameters.values())


WRAPPERS[Loss] = Wrapper(lambda marked: marked.function, lambda _, function: Loss(function))
