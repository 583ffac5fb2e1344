"""`graph.backward`: gradients in the middle of a training step, by replaying what comes before.

`backward(loss)` sees a value, not the function that made it. The step knows the whole body, so it runs it
again up to the same call, as a function of the parameters, differentiates that, and goes on. Of the two runs
XLA keeps one. Python code before the call runs twice too, so it must do the same both times.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp

from tessera.core import compat
from tessera.core.errors import Code, CompileError
from tessera.graph.parameters import is_array, is_parameter
from tessera.graph.traces import current_trace

# What the words mean for the operands of matrix products; on CPU all compute in full precision.
PRECISIONS = {"fp32": "float32", "tf32": "tensorfloat32", "bf16": "bfloat16"}


class Run:
    """One run of a body with given parameters: counts its calls of `backward` and answers them."""

    def __init__(self, body: Callable[[Any], Any], parameters: Any, stop_at: int | None = None):
        self.body = body
        self.parameters = parameters
        self.stop_at = stop_at
        self.gradients: list[Any] = []
        self.losses: list[Any] = []
        self._trace: Any = None

    def __call__(self) -> Any:
        """Returns what the body returns."""
        token = _run.set(self)
        self._trace = current_trace()
        try:
            return self.body(self.parameters)
        finally:
            _run.reset(token)

    def backward(self, loss: Any, wrt: Any, precision: str | None) -> Any:
        """Answers the next call of `backward` in the body."""
        if current_trace() != self._trace:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                "backward: called inside a jit, vmap, scan or grad within the body.",
                hints="call graph.backward in the body of the step itself",
            )
        if self.stop_at == len(self.losses):
            raise _Reached(loss)
        check_loss("backward", loss)
        self.losses.append(loss)
        gradients = select(
            self._differentiate(len(self.losses) - 1, precision), self.parameters, wrt
        )
        self.gradients.append(gradients)
        return gradients

    def _differentiate(self, index: int, precision: str | None) -> Any:
        if precision is not None and precision not in PRECISIONS:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"backward: unknown precision {precision!r}; one of {', '.join(PRECISIONS)}.",
            )
        # None would undo what the user has set around the step.
        if precision is None:
            return self._gradients_of_prefix(index)
        with jax.default_matmul_precision(PRECISIONS[precision]):
            return self._gradients_of_prefix(index)

    def _gradients_of_prefix(self, index: int) -> Any:
        def prefix(parameters: Any) -> Any:
            try:
                Run(self.body, parameters, stop_at=index)()
            except _Reached as reached:
                return reached.loss
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"backward: call {index} of backward did not come when the step was run a second time.",
                hints="the body must do the same whenever it runs: no counters, no Python randomness",
            )

        traced = jax.make_jaxpr(prefix)(self.parameters)
        _check_effects(traced)
        leaves, structure = jax.tree.flatten(self.parameters)
        gradients = jax.grad(lambda flat: compat.evaluate(traced.jaxpr, traced.consts, *flat)[0])(
            leaves
        )
        return jax.tree.unflatten(structure, gradients)


class BackwardInsideGradient(BaseException):
    """Says that a body that is being differentiated as a whole calls `backward` itself."""


class Whole:
    """A run of a body that is differentiated as a whole; it ends at a call of `backward`."""

    def __call__(self, body: Callable[[], Any]) -> Any:
        """Returns what the body returns."""
        token = _run.set(self)
        try:
            return body()
        finally:
            _run.reset(token)

    def backward(self, loss: Any, wrt: Any, precision: str | None) -> Any:
        """Ends the run: the body is to be run as a `Run`."""
        raise BackwardInsideGradient


def backward(loss: jax.Array, wrt: Any = None, precision: str | None = None) -> Any:
    """Returns the gradients of a scalar loss with respect to the parameters of the training step.

    Without `wrt` they have the structure of the step's parameters, with None where there is nothing
    to train: for captured modules a dict from name to gradients in the structure of the module.
    `wrt` is a module, a part of one, an array, the name of a captured module, or any pytree of
    these, and the gradients come in its structure and order. `precision` ("fp32", "tf32", "bf16") is
    that of matrix products in this gradient. May be called more than once, and a later loss may
    depend on earlier gradients.

    The body up to the call is run once more while tracing. Randomness before it needs explicit
    keys; a print, callback or other effect before it raises `E_GRAPH_INVALID`, as do a call outside
    a `graph.training_step` or inside an inner `jit`, `vmap` or loop, and a `wrt` that is no
    parameter. A loss that is not a scalar is `E_SHAPE_MISMATCH`.

    >>> import jax.numpy as jnp
    >>> from tessera import graph
    >>> @graph.training_step
    ... def step(w, x):
    ...     loss = jnp.sum((w * x) ** 2)
    ...     return graph.backward(loss), {"seen": x}
    >>> gradient, metrics = step(jnp.array(3.0), jnp.array(2.0))
    >>> gradient.item(), metrics["loss"].item()
    (24.0, 36.0)
    """
    run = _run.get()
    if run is None:
        raise CompileError(
            Code.E_GRAPH_INVALID,
            "backward: an array does not know what it was computed from; gradients belong to functions.",
            hints=(
                "call it inside a function decorated with @graph.training_step",
                "jax.grad(loss_function)(params, batch)",
            ),
        )
    return run.backward(loss, wrt, precision)


def check_loss(where: str, loss: Any) -> None:
    """Raises unless a loss is one real number."""
    if not is_array(loss) or not jnp.issubdtype(loss.dtype, jnp.floating):
        found = loss.dtype if is_array(loss) else type(loss).__name__
        raise CompileError(
            Code.E_GRAPH_INVALID, f"{where}: the loss is {found}, not a real array of shape ()."
        )
    if loss.shape != ():
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{where}: the loss has shape {loss.shape} but must have shape ().",
            hints="jnp.mean(loss)",
        )


def select(gradients: Any, parameters: Any, wrt: Any) -> Any:
    """Returns the gradients `wrt` asks for, in its structure; all of them for None."""
    if wrt is None:
        return gradients
    by_identity = {
        id(leaf): gradient
        for leaf, gradient in zip(
            jax.tree.leaves(parameters), jax.tree.leaves(gradients), strict=True
        )
    }

    def of(leaf: Any) -> Any:
        if isinstance(leaf, str):
            return _named(gradients, leaf)
        if id(leaf) in by_identity:
            return by_identity[id(leaf)]
        if is_parameter(leaf):
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"backward: wrt has an array of shape {leaf.shape} that is no parameter of this step.",
                hints="pass a module, a part of it or one of its arrays, as the body got them",
            )
        return None

    return jax.tree.map(of, wrt)


def _named(gradients: Any, name: str) -> Any:
    if not isinstance(gradients, dict) or name not in gradients:
        known = ", ".join(map(str, gradients)) if isinstance(gradients, dict) else "no names"
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"backward: wrt has {name!r}, which is no parameter of this step.",
            hints=f"there are: {known}",
        )
    return gradients[name]


def _check_effects(traced: Any) -> None:
    if traced.effects:
        effects = ", ".join(sorted(str(effect) for effect in traced.effects))
        raise CompileError(
            Code.E_GRAPH_INVALID,
            f"backward: the body has effects before it ({effects}), which a second run would repeat.",
            hints="move prints, callbacks and writes to references after graph.backward",
        )


class _Reached(BaseException):
    """Ends a run at a call of `backward`; no handler of a body may keep it, hence no Exception."""

    def __init__(self, loss: Any):
        super().__init__()
        self.loss = loss


_run: ContextVar[Run | Whole | None] = ContextVar("tessera_graph_run", default=None)
