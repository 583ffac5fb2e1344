"""An equation in float64: the same operation, with the floats of its parameters and sub-programs widened.

What reads bits or has no float64 form (`OPAQUE`) gets operands rounded to the types it was traced for, and
its results are widened. A Tessera op is its reference. Everything here runs in 64-bit mode.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import Literal

from tessera.core import compat
from tessera.core.levels import CALLS as CALLS  # its neighbours read it here
from tessera.core.primitive import CACHED, REFERENCES

# Where a value is placed is not what it is.
PLACEMENT = frozenset({"device_put", "sharding_constraint", "reshard", "copy", "copy_p"})
OPAQUE = frozenset(
    "bitcast_convert_type nextafter pallas_call triton_kernel_call ffi_call pure_callback".split()
)


def widened(dtype: Any) -> Any:
    """Returns float64 for a float, complex128 for a complex dtype, another dtype as it is.

    >>> widened(jnp.dtype("bfloat16")).name, widened(jnp.dtype("int32")).name
    ('float64', 'int32')
    """
    if jnp.issubdtype(dtype, jnp.floating):
        return np.dtype(np.float64)
    return np.dtype(np.complex128) if jnp.issubdtype(dtype, jnp.complexfloating) else dtype


def is_inexact(x: Any) -> bool:
    """Returns whether an array or type holds floats or complex numbers."""
    return jnp.issubdtype(x.dtype, jnp.inexact)


def widen(x: Any) -> Any:
    """Returns an array of floats in float64, exactly, subnormals included; another array as it is."""
    if not is_inexact(x):
        return x
    if isinstance(x, Tracer):
        return x.astype(widened(x.dtype))
    # By NumPy: XLA on CPUs takes subnormal numbers for zero.
    return jnp.asarray(np.asarray(x).astype(widened(x.dtype)))


def value_of(literal: Literal) -> Any:
    """Returns the value of a literal, as the program holds it."""
    aval: Any = literal.aval
    return jnp.asarray(np.asarray(literal.val, aval.dtype))


def as_list(equation: Any, results: Any) -> list[Any]:
    """Returns the results of an equation as a list, also those of a primitive with one."""
    return list(results) if equation.primitive.multiple_results else [results]


@dataclass(frozen=True)
class Widening:
    """Evaluates equations in float64. `x64` is whether the program was traced in 64-bit mode."""

    x64: bool

    def evaluate(self, equation: Any, operands: Sequence[Any]) -> list[Any]:
        """Returns the results of an equation for float64 operands."""
        primitive, params = equation.primitive, equation.params
        if primitive in REFERENCES:
            types = tuple((tuple(x.shape), x.dtype) for x in (v.aval for v in equation.invars))
            return _reference(primitive, tuple(params.items()), types, self)(*operands)
        if primitive.name in CALLS:
            jaxpr, consts = compat.opened(params[CALLS[primitive.name]])
            return self.run(jaxpr, consts, operands)
        if primitive.name == "reduce_precision" or primitive.name in PLACEMENT:
            return list(operands)
        if primitive.name in OPAQUE:
            return self._at_working_precision(equation, operands)
        found = {k: self._parameter(v) for k, v in params.items()}
        found |= {"precision": None} if "precision" in found else {}  # it may name a narrower dtype
        return as_list(equation, primitive.bind(*operands, **primitive.get_bind_params(found)))

    def run(self, jaxpr: Any, consts: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
        """Returns the results of a jaxpr for float64 operands."""
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, map(widen, consts), strict=True))
        values.update(zip(jaxpr.invars, operands, strict=True))

        def read(atom: Any) -> Any:
            return widen(value_of(atom)) if isinstance(atom, Literal) else values[atom]

        for equation in jaxpr.eqns:
            results = self.evaluate(equation, [read(atom) for atom in equation.invars])
            values.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _at_working_precision(self, equation: Any, operands: Sequence[Any]) -> list[Any]:
        rounded = [
            x.astype(atom.aval.dtype) if is_inexact(atom.aval) else x
            for x, atom in zip(operands, equation.invars, strict=True)
        ]
        params = equation.primitive.get_bind_params(equation.params)
        return [widen(y) for y in as_list(equation, equation.primitive.bind(*rounded, **params))]

    def _parameter(self, value: Any) -> Any:
        if isinstance(value, np.dtype):
            return widened(value)
        if compat.is_jaxpr(value):
            return self._jaxpr(value)
        if isinstance(value, tuple):
            parts = tuple(map(self._parameter, value))
            same = all(a is b for a, b in zip(parts, value, strict=True))
            return value if same else parts if type(value) is tuple else type(value)(*parts)
        return value

    def _jaxpr(self, held: Any) -> Any:
        jaxpr, consts = compat.opened(held)
        types = [_wide_type(var.aval) for var in jaxpr.invars]

        def run(*operands: Any) -> list[Any]:
            return self.run(jaxpr, consts, operands)

        return compat.like(held, jax.make_jaxpr(run)(*types))


def _wide_type(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, widened(aval.dtype))


@lru_cache(CACHED)
def _reference(
    primitive: Any, params: Any, types: Sequence[Any], widening: Widening
) -> Callable[..., list[Any]]:
    """Returns the float64 form of a Tessera op's reference, which is traced as the program was."""
    with jax.enable_x64(widening.x64):
        operands = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in types]
        traced = jax.make_jaxpr(partial(REFERENCES[primitive], **dict(params)))(*operands)
    jaxpr, consts = compat.opened(traced)

    def reference(*operands: Any) -> list[Any]:
        return widening.run(jaxpr, consts, operands)

    return jax.jit(reference)
