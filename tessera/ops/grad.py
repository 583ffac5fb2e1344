"""`op.grad`, `op.laplacian`, `op.div`, `op.curl`: derivatives of functions, Fields and grids.

What the first argument is says what the operator is:

    a function        a function transform: `tessera.autodiff` and `tessera.pde`
    a Field           exact derivatives along named coordinates (`op.coords`)
    an array          values on a regular grid: `axis=` or `axes=`, and `spacing=` or `domain=`
    nothing           the function that takes the first argument
"""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from tessera import autodiff
from tessera.core.errors import Code, CompileError
from tessera.core.operands import promote_floats
from tessera.pde import field_operators, grid, operators
from tessera.pde.field import Field

FP64 = "fp64"


def grad(
    of: Any = None,
    along: Any = None,
    *,
    wrt: Any = None,
    axis: Any = None,
    x: Any = None,
    order: int | None = None,
    spacing: float | None = None,
    domain: float | None = None,
    bc: str | None = None,
    precision: str | None = None,
) -> Any:
    """Returns a derivative: of a function, of a Field along a coordinate, or of values along a grid's axis.

        grad(f, wrt=0)                     the function that gives the gradient of a scalar function; wrt is
                                           the number or name of an argument, or a tuple of them
        grad(field, "x")                   the Field of the derivative of every component, exact; the word
                                           is also taken as axis=, x= or wrt=
        grad(array, axis=0, spacing=h)     differences of `order` 2, 4, 6 or 8, one-sided at the ends
        grad(array, axis=0, domain=L)      periodic of length L: by Fourier series, or with `order` by
                                           differences. `bc="periodic"` or "open" says it otherwise; an open
                                           domain begins and ends at a point
        grad(axis=0, order=2)              the function of the first argument, and what is still to be said
        grad(loss, wrt=parameters)         in a `graph.training_step`: what `graph.backward` gives

    `precision="fp64"` computes a Field in fp64 from its points on, which x64 mode must allow.

    Raises `E_GRAPH_INVALID` (a word that is no axis, two spellings, an array that does not say where from),
    `E_SHAPE_MISMATCH` (too few points), `E_TARGET_CODEGEN` (a dtype without derivative, fp64 without x64).

    >>> import jax.numpy as jnp
    >>> grad(lambda x: jnp.sum(x**3))(jnp.array([1.0, 2.0])).tolist()
    [3.0, 12.0]
    >>> x = jnp.linspace(0.0, 1.0, 5)
    >>> grad(x**2, axis=0, spacing=0.25).tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    where = _one_of("grad", along=along, wrt=wrt, axis=axis, x=x)
    options = {"order": order, "spacing": spacing, "domain": domain, "bc": bc}
    if of is None:
        given = {"along": where, "precision": precision, **options}
        return _later(grad, {k: v for k, v in given.items() if v is not None})
    if isinstance(of, Field):
        _no_grid("grad", options)
        _named("grad", where, of)
        return field_operators.derivative(_in_precision("grad", of, precision), where)
    _require_no("grad", "precision", precision, "for a Field")
    if callable(of):
        _no_grid("grad", options)
        return autodiff.grad(of, 0 if where is None else where)
    if spacing is None and domain is None and wrt is not None and not _is_index(wrt):
        return _replayed(of, wrt)
    _require_grid("grad", options, where)
    array, one = grid.grid_of("grad", of, where, spacing, domain, bc, order)
    return grid.derivative("grad", array, one)


def laplacian(
    of: Any = None,
    axes: Any = None,
    *,
    order: int | None = None,
    spacing: Any = None,
    domain: Any = None,
    bc: str | None = None,
    precision: str | None = None,
) -> Any:
    """Returns the sum of second derivatives: of a function of a point, a Field, or values on a grid.

    For a function it is `pde.laplacian`. A Field takes words, by default every coordinate but t. Values take
    numbers of axes (default: all) and the arguments of `op.grad`, where `spacing` and `domain` may have one
    number for each axis. Errors as for `op.grad`.

    >>> import jax.numpy as jnp
    >>> x = jnp.arange(8.0) * (2 * jnp.pi / 8)
    >>> bool(jnp.allclose(laplacian(jnp.sin(x), domain=2 * jnp.pi), -jnp.sin(x), atol=1e-5))
    True
    """
    options = {"order": order, "spacing": spacing, "domain": domain, "bc": bc}
    if of is None:
        given = {"axes": axes, "precision": precision, **options}
        return _later(laplacian, {k: v for k, v in given.items() if v is not None})
    if isinstance(of, Field):
        _no_grid("laplacian", options)
        words = field_operators.spatial("laplacian", of, axes)
        return field_operators.laplacian(_in_precision("laplacian", of, precision), words)
    _require_no("laplacian", "precision", precision, "for a Field")
    if callable(of):
        return _of_function("laplacian", operators.laplacian, of, axes, options)
    _require_grid("laplacian", options, 0)
    every = tuple(range(np.ndim(of)))
    terms = [
        grid.derivative("laplacian", array, one, times=2)
        for array, one in _grids("laplacian", [of] * _count(axes, every), axes, every, options)
    ]
    return functools.reduce(jnp.add, terms)


def div(
    of: Any = None,
    by: Any = None,
    *,
    axes: Any = None,
    order: int | None = None,
    spacing: Any = None,
    domain: Any = None,
    bc: str | None = None,
    precision: str | None = None,
) -> Any:
    """Returns a divergence, or where there is nothing to take it of, the quotient of two arrays.

    It is the divergence if the first argument is a Field, a list or a function, or if `axes=` is given:

        div([u, v], ("x", "y"))            of Fields, or of a Field's components on its last axis
        div(u, "x")                        one derivative
        div([u, v], axes=(0, 1), spacing=h)     of values on a grid, arguments as for `op.grad`
        div(f)                             `pde.div` of a function of a point
        div(a, b)                          a / b, elementwise

    The axes of Fields are every coordinate but t by default. Derivatives commute exactly, so the divergence
    of (psi_y, -psi_x) is 0. Errors as for `op.grad`, and `E_SHAPE_MISMATCH` if there is not one axis for
    each component.

    >>> import jax.numpy as jnp
    >>> div(jnp.array([1.0, 9.0]), 2.0).tolist()
    [0.5, 4.5]
    >>> x, y = jnp.meshgrid(jnp.arange(4.0), jnp.arange(4.0), indexing="ij")
    >>> div([x, 2 * y], axes=(0, 1), spacing=1.0)[0].tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    options = {"order": order, "spacing": spacing, "domain": domain, "bc": bc}
    if of is None:
        given = {"axes": _one_of("div", by=by, axes=axes), "precision": precision, **options}
        return _later(div, {k: v for k, v in given.items() if v is not None})
    diverges = _holds_fields(of) or isinstance(of, list) or axes is not None or callable(of)
    if not diverges:
        _no_grid("div", options)
        if by is None:
            raise _invalid(
                "div", "no axes and no divisor", "div(a, b), or div([u, v], axes=(0, 1))"
            )
        return _quotient[0](of, by)
    along = _one_of("div", by=by, axes=axes)
    if _holds_fields(of):
        _no_grid("div", options)
        _words("div", along)
        if isinstance(along, str) and isinstance(of, Field):
            return field_operators.derivative(_in_precision("div", of, precision), along, "div")
        return field_operators.divergence(_in_precision("div", of, precision), along)
    _require_no("div", "precision", precision, "for a Field")
    if callable(of):
        return _of_function("div", operators.div, of, along, options)
    parts = list(of) if isinstance(of, list | tuple) else [of]
    _require_grid("div", options, along)
    pairs = _grids("div", parts, along, tuple(range(len(parts))), options)
    return functools.reduce(jnp.add, [grid.derivative("div", a, one) for a, one in pairs])


def curl(
    of: Any = None,
    axes: Any = None,
    *,
    order: int | None = None,
    spacing: Any = None,
    domain: Any = None,
    bc: str | None = None,
    precision: str | None = None,
) -> Any:
    """Returns the curl of a vector with two components (a scalar, dv/dx - du/dy) or three.

    The vector is a Field, a list of Fields, a list of arrays on a grid, or a function of a point
    (`pde.curl`). Axes, options and errors are those of `op.div`; the three components of a result are on its
    last axis.

    >>> import jax.numpy as jnp
    >>> x, y = jnp.meshgrid(jnp.arange(4.0), jnp.arange(4.0), indexing="ij")
    >>> curl([-y, x], spacing=1.0)[0].tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    options = {"order": order, "spacing": spacing, "domain": domain, "bc": bc}
    if of is None:
        given = {"axes": axes, "precision": precision, **options}
        return _later(curl, {k: v for k, v in given.items() if v is not None})
    if _holds_fields(of):
        _no_grid("curl", options)
        _words("curl", axes)
        return field_operators.curl(_in_precision("curl", of, precision), axes)
    _require_no("curl", "precision", precision, "for a Field")
    if callable(of):
        return _of_function("curl", operators.curl, of, axes, options)
    if not isinstance(of, list | tuple) or len(of) not in (2, 3):
        raise _invalid(
            "curl", "the vector is no list of 2 or 3 arrays", "curl([u, v], axes=(0, 1))"
        )
    _require_grid("curl", options, 0)
    size = len(of)
    pairs = _grids("curl", list(of), axes, tuple(range(size)), options)

    def turn(i: int, j: int) -> jax.Array:
        (second, along_i), (first, along_j) = pairs[i], pairs[j]
        ahead = grid.derivative("curl", first, along_i)
        return ahead - grid.derivative("curl", second, along_j)

    if size == 2:
        return turn(0, 1)
    return jnp.stack([turn(1, 2), turn(2, 0), turn(0, 1)], axis=-1)


_quotient: list[Callable[[Any, Any], jax.Array]] = [jnp.divide]


def set_quotient(function: Callable[[Any, Any], jax.Array]) -> None:
    """Sets what `op.div` of two arrays is: the elementwise op, which this file does not import."""
    _quotient[:] = [function]


def _one_of(op: str, **spellings: Any) -> Any:
    """Returns the one argument that is given; raises if two spellings of it are."""
    given = [name for name, value in spellings.items() if value is not None]
    if len(given) > 1:
        raise _invalid(op, f"one argument under two spellings, {given[0]} and {given[1]}")
    return spellings[given[0]] if given else None


def _later(operator: Callable[..., Any], given: dict[str, Any]) -> Callable[..., Any]:
    def apply(of: Any, **more: Any) -> Any:
        return operator(of, **{**_at_home(operator, given), **more})

    return apply


def _at_home(operator: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """Returns options as an operator takes them: numbers of axes are `axis`, whatever came first."""
    if operator is grad and _is_index(given.get("along")):
        return {"axis" if k == "along" else k: v for k, v in given.items()}
    return given


def _in_precision(op: str, of: Any, precision: str | None) -> Any:
    if precision is None:
        return of
    if precision != FP64:
        raise _invalid(op, f"unknown precision {precision!r}; it may be {FP64}")
    if isinstance(of, list | tuple):
        return [field_operators.in_double_precision(part, op) for part in of]
    return field_operators.in_double_precision(of, op)


def _holds_fields(of: Any) -> bool:
    several = isinstance(of, list | tuple)
    return isinstance(of, Field) or (several and any(isinstance(part, Field) for part in of))


def _named(op: str, where: Any, of: Field) -> None:
    if not isinstance(where, str | Field):
        found = "no axis" if where is None else f"axis {where!r}"
        raise _invalid(op, f"{found} for a Field; it has: {', '.join(of.names)}", 'op.grad(u, "x")')


def _words(op: str, axes: Any) -> None:
    found = axes if isinstance(axes, list | tuple) else () if axes is None else (axes,)
    if not all(isinstance(word, str | Field) for word in found) or isinstance(axes, Field):
        raise _invalid(
            op,
            "the axes of a Field are words",
            (f'op.{op}([u, v], ("x", "y"))', "u / v is the quotient of Fields"),
        )


def _of_function(op: str, of_points: Any, f: Any, axes: Any, options: dict[str, Any]) -> Any:
    _no_grid(op, options)
    _require_no(op, "axes", axes, "for Fields and grids; a function is along all of its point")
    return of_points(f)


def _no_grid(op: str, options: dict[str, Any]) -> None:
    for name, value in options.items():
        _require_no(op, name, value, "for values on a grid")


def _require_no(op: str, name: str, value: Any, where: str) -> None:
    if value is not None:
        raise _invalid(op, f"{name}= is {where}")


def _require_grid(op: str, options: dict[str, Any], where: Any) -> None:
    """Raises unless values on a grid come with what a derivative of them needs."""
    if options["spacing"] is None and options["domain"] is None:
        raise _invalid(
            op,
            "an array does not know what it was computed from, so it has no derivative by itself",
            (
                f"of a function: op.{op}(f)",
                'along a coordinate: u = op.coords(points, names=("x", "y")).apply(network)',
                f"on a grid: op.{op}(array, ..., spacing=h) or domain=L",
            ),
        )
    if where is None:
        raise _invalid(op, "no axis of the grid", f"op.{op}(array, axis=0, ...)")
    if isinstance(where, str):
        raise _invalid(op, f"axis {where!r} of an array, which has numbers of axes only")


def _grids(
    op: str, parts: Sequence[Any], axes: Any, every: tuple[int, ...], options: dict[str, Any]
) -> list[tuple[jax.Array, grid.Grid]]:
    """Returns each array, in the dtype of all, with the axis of the grid it is differentiated along."""
    places = every if axes is None else (axes,) if _is_index(axes) else tuple(axes)
    if len(places) != len(parts) or not parts:
        raise CompileError(
            Code.E_SHAPE_MISMATCH,
            f"{op}: {len(parts)} components but {len(places)} axes.",
            hints="axes= has one number for each component",
        )
    if len({np.shape(part) for part in parts}) > 1:
        shapes = ", ".join(str(np.shape(part)) for part in parts)
        raise CompileError(Code.E_SHAPE_MISMATCH, f"{op}: components of shapes {shapes}.")
    found = []
    for i, (part, place) in enumerate(zip(parts, places, strict=True)):
        lengths = {k: _entry(op, k, options[k], i, len(parts)) for k in ("spacing", "domain")}
        given = (lengths["spacing"], lengths["domain"], options["bc"], options["order"])
        found.append(grid.grid_of(op, part, place, *given))
    if len({one.axis for _, one in found}) < len(found):
        raise _invalid(op, f"axes {places} do not name each axis once")
    arrays = promote_floats([array for array, _ in found], ["number"] * len(found), op)
    return [(cast("jax.Array", x), one) for x, (_, one) in zip(arrays, found, strict=True)]


def _count(axes: Any, every: tuple[int, ...]) -> int:
    return len(every) if axes is None else 1 if _is_index(axes) else len(tuple(axes))


def _entry(op: str, name: str, value: Any, index: int, size: int) -> Any:
    if not isinstance(value, list | tuple):
        return value
    if len(value) != size:
        raise CompileError(
            Code.E_SHAPE_MISMATCH, f"{op}: {name} has {len(value)} numbers for {size} axes."
        )
    return value[index]


def _is_index(x: Any) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def _replayed(loss: Any, wrt: Any) -> Any:
    """Returns what `graph.backward` gives; it alone knows the training step that runs, if one does."""
    graph = sys.modules.get("tessera.graph")
    if graph is not None:  # no step can run before it is loaded
        return graph.backward(loss, wrt=wrt)
    raise _invalid(
        "grad",
        "an array does not know what it was computed from; gradients belong to functions",
        ("op.grad(loss_function, wrt=...)", "graph.backward inside a @graph.training_step"),
    )


def _invalid(op: str, problem: str, hints: Any = ()) -> CompileError:
    return CompileError(Code.E_GRAPH_INVALID, f"{op}: {problem}.", hints=hints)
