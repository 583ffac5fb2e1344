"""`numerics.report`: which equations break a level, why, where, and the fix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tessera import numerics, op
from tessera.core.errors import CompileError

X = jnp.ones((4, 8))


def names(report):
    return [f.name for f in report.findings]


def test_a_sum_and_a_product_break_d2_and_their_fixes_are_ops():
    found = numerics.report(lambda x: jnp.sum(x @ x.T), "D2")(X)
    assert (found.reaches, found.highest, found.keeps) == ("D1", "D4", False)
    fixes = {f.name: f.fix for f in found.findings}
    assert fixes == {
        "dot_general": "op.matmul in the scope of the level",
        "reduce_sum": "op.reduce_sum",
    }


def test_the_fix_is_one():
    """What the report asks for is no longer reported."""
    with numerics.deterministic("D2"):
        found = numerics.report(lambda x: op.reduce_sum(op.matmul(x, x.T)))(X)
    assert found.keeps
    assert found.level == "D2"
    assert found.findings == ()


def test_what_reproducible_makes_keeps_the_level():
    f = numerics.reproducible(lambda x: jnp.mean(jnp.exp(x)) + 1, "D4")
    assert numerics.report(f, "D4")(X).keeps
    assert numerics.report(jax.grad(f), "D4")(X).keeps


def test_a_product_that_meets_a_sum_may_be_contracted():
    assert names(numerics.report(lambda x: x**3 + 1, "D3")(X)) == ["integer_pow"]
    assert names(numerics.report(lambda x, y: x * y + 1, "D3")(X, X)) == ["mul"]
    assert numerics.report(lambda x, y: x * y, "D3")(X, X).keeps
    assert names(
        numerics.report(lambda x, y: x.ravel()[:8] + (x * y).ravel()[8:16], "D3")(X, X)
    ) == ["mul"]


def test_what_machines_round_differently_breaks_d4_alone():
    assert numerics.report(jnp.sqrt, "D3")(X).keeps
    (finding,) = numerics.report(jnp.sqrt, "D4")(X).findings
    assert (finding.name, finding.reaches, finding.highest) == ("sqrt", "D3", "D4")


def test_formulas_of_a_library_break_every_level_from_d2_on():
    (finding,) = numerics.report(jnp.exp, "D2")(X).findings
    assert (finding.name, finding.reaches, finding.highest) == ("exp", "D1", "D4")
    (finding,) = numerics.report(jax.scipy.special.i0e, "D2")(X).findings
    assert finding.fix == "none: it reaches D1 at most"


def test_loops_and_calls_are_entered():
    def f(x):
        return jax.lax.scan(lambda c, _: (jnp.tanh(c), c.sum()), x, None, length=3)

    found = numerics.report(jax.jit(f), "D4")(X)
    assert set(names(found)) == {"reduce_sum", "tanh"}


def test_equations_of_one_kind_are_one_row_with_their_lines():
    def f(x):
        a = jnp.sum(x)
        b = jnp.sum(x, 0)
        return a, b

    (finding,) = numerics.report(f, "D2")(X).findings
    assert finding.times == 2
    assert len(finding.places) == 2
    assert all("test_level_report.py" in place for place in finding.places)


def test_gradients_are_reported_as_they_are_computed():
    found = numerics.report(jax.grad(lambda x: jnp.sum(x[jnp.array([0, 0])])), "D2")(X)
    assert "scatter-add" in names(found)


def test_ops_are_one_equation_each():
    found = numerics.report(op.softmax, "D4")(X)
    assert found.equations == 1
    assert (found.reaches, found.highest) == ("D1", "D4")
    assert found.findings[0].fix == 'deterministic="D4", or the scope of that name'


def test_types_are_enough():
    assert not numerics.report(jnp.sum, "D2")(jax.ShapeDtypeStruct((3,), np.float32)).keeps


def test_it_prints_as_a_table_and_shows_in_a_notebook():
    found = numerics.report(lambda x: jnp.sum(x), "D2")(X)
    text, page = str(found), found._repr_html_()
    for word in ("reaches D1, not D2", "reduce_sum", "op.reduce_sum", "test_level_report.py"):
        assert word in text
        assert word in page
    kept = numerics.report(jnp.abs, "D4")(X)
    assert "keeps D4: no equation of 1 breaks it" in str(kept)
    assert "<table>" not in kept._repr_html_()


def test_what_is_no_function_is_refused():
    with pytest.raises(CompileError, match=r"report: list is not a function"):
        numerics.report([])  # pyright: ignore[reportArgumentType]
