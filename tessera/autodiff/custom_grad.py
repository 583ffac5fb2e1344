"""`custom_grad`: a function whose gradient is a rule you write.

The rule is the transposed derivative: it takes the arguments and the cotangent of the result, and is linear
in the cotangent. The forward derivative is therefore its transpose, which JAX derives; so what comes back is
closed under `jvp`, `vjp`, `vmap` and second derivatives, where `jax.custom_vjp` knows reverse mode alone. A
rule that is not linear in the cotangent (it clips or normalises it) is no transposed derivative and has no
forward mode: such a function is a `jax.custom_vjp`.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tessera.autodiff.arguments import require_function, split
from tessera.core.errors import Code, CompileError

Rule = Callable[..., Any]


class CustomGradient:
    """A function with a gradient of its own; `@f.grad` sets the rule. Made by `custom_grad`."""

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self.function = function
        self._rule: Rule | None = None

    def grad(self, rule: Rule) -> Rule:
        """Sets the rule: `(*arguments, upstream) -> gradient`, a tuple for several arguments.

        None is no gradient. Keyword arguments of a call go to the function and the rule.
        """
        require_function("custom_grad", rule)
        self._rule = rule
        return rule

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Applies the function."""
        rule = self._rule
        if rule is None:
            raise CompileError(
                Code.E_GRAPH_INVALID,
                f"custom_grad: {self._name} has no gradient rule.",
                hints="decorate a rule (x, upstream) -> gradient with @f.grad",
            )
        args, fixed = self._in_places(args, kwargs)
        parts = split(args)

        def run(moving: list[Any]) -> Any:
            return self.function(*parts.fill(moving), **fixed)

        def pull(moving: list[Any], upstream: Any) -> list[Any]:
            given = parts.fill(moving)
            found = rule(*given, upstream, **fixed)
            return self._gradients(found, given, moving)

        return _with_rule(run, pull, parts.moving)

    def __get__(self, instance: Any, _owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    @property
    def _name(self) -> str:
        return str(self.__dict__.get("__name__", self.function))

    def _in_places(self, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Returns a call with what is positional in its place, defaults filled in."""
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def _gradients(self, found: Any, given: tuple[Any, ...], moving: list[Any]) -> list[Any]:
        """Returns the rule's result as one array for each leaf that varies."""
        several = isinstance(found, tuple) and len(found) == len(given)
        per_argument = found if several else (found,)
        if len(per_argument) != len(given):
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"custom_grad: the rule of {self._name} returns {len(per_argument)} gradients "
                f"for {len(given)} arguments.",
                hints="return a tuple with one for each, None for no gradient",
            )
        flat: list[Any] = []
        for gradient, argument in zip(per_argument, given, strict=True):
            like = split(argument)
            count = len(like.moving)
            if gradient is None:
                flat += [None] * count
                continue
            wanted = like.gradients(range(count))
            keeps, structure = jax.tree.flatten(wanted, is_leaf=lambda x: x is None)
            try:
                values = structure.flatten_up_to(gradient)
            except ValueError as error:
                raise CompileError(
                    Code.E_SHAPE_MISMATCH,
                    f"custom_grad: the rule of {self._name} returns another structure: {error}.",
                ) from error
            flat += [g for g, keep in zip(values, keeps, strict=True) if keep is not None]
        return [self._fitting(g, x) for g, x in zip(flat, moving, strict=True)]

    def _fitting(self, gradient: Any, x: Any) -> Any:
        if gradient is None:
            return jnp.zeros_like(x)
        if np.shape(gradient) != x.shape:
            raise CompileError(
                Code.E_SHAPE_MISMATCH,
                f"custom_grad: the rule of {self._name} returns shape {np.shape(gradient)} "
                f"for an argument of shape {x.shape}.",
            )
        return jnp.asarray(gradient).astype(x.dtype)


def custom_grad(function: Callable[..., Any]) -> CustomGradient:
    """Returns the function with a gradient that a rule gives: `@f.grad` on `(x, upstream) -> gradient`.

    With several arguments the rule takes all of them and then the cotangent, and returns a tuple with a
    gradient for each, None for none. Where the rule is linear in the cotangent, as derivatives are, every
    transformation works, forward mode too; a rule that is not gives reverse mode alone. What the function
    closes over has no gradient through it: differentiate it as an argument.

    Raises `E_GRAPH_INVALID` (no function, no rule yet) and `E_SHAPE_MISMATCH` (gradients that do not fit).

    >>> import jax
    >>> @custom_grad
    ... def cube(x):
    ...     return x**3
    >>> @cube.grad
    ... def rule(x, upstream):
    ...     return 3 * x**2 * upstream
    >>> jax.grad(cube)(2.0).item(), jax.jvp(cube, (2.0,), (1.0,))[1].item()
    (12.0, 12.0)
    """
    require_function("custom_grad", function)
    return CustomGradient(function)


def _with_rule(
    run: Callable[[list[Any]], Any],
    pull: Callable[[list[Any], Any], list[Any]],
    moving: list[jax.Array],
) -> Any:
    out = jax.eval_shape(run, moving)
    if _is_linear(pull, moving, out):
        both_ways = jax.custom_jvp(run)

        @both_ways.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (values,), (along,) = primals, tangents
            (pushed,) = jax.linear_transpose(lambda ct: pull(values, ct), out)(along)
            return both_ways(values), pushed

        return both_ways(moving)
    backward_only = jax.custom_vjp(run)
    backward_only.defvjp(
        lambda values: (run(values), values), lambda values, upstream: (pull(values, upstream),)
    )
    return backward_only(moving)


def _is_linear(pull: Callable[..., Any], moving: list[Any], out: Any) -> bool:
    """Returns whether a rule can be transposed in its cotangent."""

    def transposed(values: list[Any], along: list[Any]) -> Any:
        return jax.linear_transpose(lambda ct: pull(values, ct), out)(along)

    try:
        jax.eval_shape(transposed, moving, moving)
    except CompileError:
        raise
    except (AssertionError, NotImplementedError, TypeError, ValueError):
        return False
    return True
