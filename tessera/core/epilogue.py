"""What follows a product or convolution: its words, their one order, and what they need.

"bias_silu_residual"                                 activation(z + bias) + residual
{"add_bias": True, "bias": b, "activation": "silu"}  the same as entries, arrays among them
"""

from collections.abc import Callable, Mapping
from typing import Any

from tessera.core.activations import ACTIVATIONS
from tessera.core.errors import CompileError

Epilogue = str | Mapping[str, Any] | None
Invalid = Callable[[str], CompileError]

STAGES = {"bias": 0, **dict.fromkeys(ACTIVATIONS, 1), "residual": 2}
ENTRIES = ("add_bias", "activation", "add_residual")  # of the stages, in order


def parse_epilogue(
    epilogue: Any, bias: Any, residual: Any, invalid: Invalid
) -> tuple[str | None, Any, Any]:
    """Returns the activation, bias and residual an epilogue asks for; `invalid` makes the error of a problem.

    >>> parse_epilogue("bias_relu", 1.0, None, ValueError)
    ('relu', 1.0, None)
    """
    if epilogue is None:
        epilogue = {}
    if isinstance(epilogue, str):
        words: dict[str, Any] = {"add_bias": False, "activation": None, "add_residual": False}
        words.update(_words(epilogue, invalid))
    elif isinstance(epilogue, Mapping):
        words, bias, residual = _entries(epilogue, bias, residual, invalid)
    else:
        raise invalid(f"the epilogue is a {type(epilogue).__name__}, not a string or a dict")
    for name, wanted, given in (
        ("bias", words["add_bias"], bias),
        ("residual", words["add_residual"], residual),
    ):
        if wanted and given is None:
            raise invalid(f"the epilogue asks for a {name} but {name}= is missing")
        if given is not None and not wanted:
            raise invalid(f"{name}= is given but the epilogue does not use it; add {name!r} to it")
    return words["activation"], bias, residual


def _words(text: str, invalid: Invalid) -> dict[str, Any]:
    found: dict[str, Any] = {}
    last = -1
    for word in text.split("_"):
        if word not in STAGES:
            raise invalid(f"unknown epilogue word {word!r} in {text!r}; words: {', '.join(STAGES)}")
        if STAGES[word] <= last:
            raise invalid(f"epilogue {text!r} is out of order; it is bias, activation, residual")
        last = STAGES[word]
        found[ENTRIES[last]] = word if last == 1 else True
    return found


def _entries(
    entries: Mapping[str, Any], bias: Any, residual: Any, invalid: Invalid
) -> tuple[dict[str, Any], Any, Any]:
    known = ("add_bias", "bias", "activation", "add_residual", "residual")
    unknown = [key for key in entries if key not in known]
    if unknown:
        raise invalid(f"unknown epilogue entry {unknown[0]!r}; entries: {', '.join(known)}")
    for name, given in (("bias", bias), ("residual", residual)):
        if given is not None and entries.get(name) is not None:
            raise invalid(f"{name} is given twice, as a keyword and in the epilogue")
    activation = entries.get("activation")
    if activation is not None and activation not in ACTIVATIONS:
        raise invalid(f"unknown activation {activation!r}; one of {', '.join(ACTIVATIONS)}")
    bias = entries.get("bias") if bias is None else bias
    residual = entries.get("residual") if residual is None else residual
    words = {
        "add_bias": entries.get("add_bias", bias is not None),
        "activation": activation,
        "add_residual": entries.get("add_residual", residual is not None),
    }
    return words, bias, residual
