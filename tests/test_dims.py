"""Signatures: parsing, binding, and the error texts."""

import pytest

from tessera.core.dims import parse
from tessera.core.errors import Code, CompileError


def bind(text, *shapes, **statics):
    return parse(text).bind("f", [f"x{i}" for i in range(len(shapes))], shapes, statics)


def test_text_round_trips():
    for text in (
        "*b m k, [*b] k n, [n], [*b m n] -> *b m n",
        "() -> ()",
        "*b n@axis *c -> *b *c",
        "*b 3 -> *b",
        "i j, i|1 j|1 -> i j",
    ):
        assert str(parse(text)) == text
        assert parse(str(parse(text))) == parse(text)


def test_names_and_groups_bind_to_sizes():
    sizes = bind("*b m k, [*b] k n -> *b m n", (7, 2, 3, 4), (4, 5))
    assert sizes == {"b": (7, 2), "m": 3, "k": 4, "n": 5}


def test_an_optional_group_may_be_present_or_absent():
    assert bind("*b k, [*b] k -> *b", (2, 4), (2, 4))["b"] == (2,)
    assert bind("*b k, [*b] k -> *b", (2, 4), (4,))["b"] == (2,)
    with pytest.raises(CompileError, match="axes 'b'"):
        bind("*b k, [*b] k -> *b", (2, 4), (3, 4))


def test_an_axis_of_one_may_stand_for_the_whole():
    assert bind("i, i|1 -> i", (4,), (1,)) == {"i": 4}
    assert bind("i, i|1 -> i", (4,), (4,)) == {"i": 4}
    with pytest.raises(CompileError, match="'i' is 4"):
        bind("i, i|1 -> i", (4,), (2,))


def test_an_axis_stands_where_the_static_argument_says():
    text = "*b n@axis *c -> *b *c"
    assert bind(text, (2, 3, 4), axis=0) == {"b": (), "n": 2, "c": (3, 4)}
    assert bind(text, (2, 3, 4), axis=1) == {"b": (2,), "n": 3, "c": (4,)}
    assert bind(text, (2, 3, 4), axis=2) == {"b": (2, 3), "n": 4, "c": ()}
    with pytest.raises(CompileError, match="rank"):
        bind(text, (2, 3), axis=2)


def test_absent_operands_bind_nothing():
    assert bind("*b n, [n] -> *b n", (2, 3), None) == {"b": (2,), "n": 3}


@pytest.mark.parametrize(
    ("text", "shapes", "words"),
    [
        (
            "*b n, n -> *b n",
            [(2, 40), (39,)],
            ["'n' is 40", "'x0'", "39", "'x1'", "*b n, n -> *b n"],
        ),
        ("*b m k -> *b", [(3,)], ["rank 1", "at least rank 2"]),
        ("m k -> m", [(3, 4, 5)], ["rank 3", "needs rank 2"]),
        ("*b 3 -> *b", [(2, 4)], ["4", "must be 3"]),
        ("*b n, *b n -> *b", [(2, 5), (3, 5)], ["axes 'b' are (2,)", "(3,)"]),
    ],
)
def test_a_mismatch_names_axis_sizes_and_signature(text, shapes, words):
    with pytest.raises(CompileError) as caught:
        bind(text, *shapes)
    assert caught.value.code is Code.E_SHAPE_MISMATCH
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "text", ["a b", "a -> b", "*a *b -> *a", "a,, b -> a", "a! -> a", "[*b n -> *b", "a -> a -> a"]
)
def test_text_that_is_no_signature_is_refused(text):
    with pytest.raises(CompileError) as caught:
        parse(text)
    assert caught.value.code is Code.E_GRAPH_INVALID


def test_the_batch_is_the_group_that_leads_every_output():
    assert parse("*b n -> *b n").batch == "b"
    assert parse("*b n, n -> *b n, n").batch is None
    assert parse("*b n -> ()").batch is None
