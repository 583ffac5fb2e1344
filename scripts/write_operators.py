#!/usr/bin/env python3
"""Writes docs/operators.md, the reference of every operator, from the code: `make operators`.

python scripts/write_operators.py            writes the page
python scripts/write_operators.py --check    exits with an error if the page is not what would be written
"""

import inspect
import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from operator_page import facts, measured, text
from operator_page.facts import Operator

PAGE = Path(__file__).parents[1] / "docs" / "operators.md"

# The families in the order of the page, with the modules below `tessera.ops` whose names belong there.
FAMILIES = {
    "Matrix products": "matmul gemm einsum factorized_matmul grouped_matmul",
    "Activations and functions of single elements": (
        "gelu silu relu tanh sigmoid sin threshold elementwise"
    ),
    "Normalisation": "rmsnorm layernorm batch_norm norm softmax",
    "Attention and decoding": "flash_attention flash_attention_fp8 attention rope kvcache speculative_step",
    "Blocks of networks": "linear mlp embedding transformer feed_forward conv dropout",
    "Mixture of experts": "moe topk recursive_mixture",
    "Losses": "cross_entropy mse kl_divergence",
    "Reductions": "reduce_sum reduce dot segment_reduce",
    "Linear algebra": "decompositions solve",
    "Sparse matrices": "sparse bsmm",
    "Spectral": "fft dct stft wavelet spectral_conv conv_fft spectral_filter poisson",
    "Derivatives and fields": "grad differential coordinates autodiff",
    "Random numbers": "rng",
    "Logic": "logic",
    "Movement and layout": "movement gather rearrange pack",
    "Arrays, dtypes and checks": "tensor cast copy quantize assert_shape check_numerics precision",
    "Control flow and functions": "control_flow pipeline recursive tile_kernel",
}
OTHERS = "Others"

INTRODUCTION = """\
# Operators

Every public name of `tessera.op`, with what the code says of it. `make operators` writes this page from the
registry, the docstrings and `benchmarks/results`; do not edit it by hand.

How to read an entry:

- **Dims** has a term for each array the op sees inside, and after `->` for each result. `*b` is any number
  of axes, `[n]` an array that may be absent, `n@axis` an axis whose place is an argument. A function without
  this line is a composition.
- **Derivative.** *Hand-written*: the op has a backward, or a tangent map, of its own. *Transposed from the
  reference*: JAX differentiates the `jax.numpy` function that defines the op. Either way `jvp`, `vjp` and
  higher derivatives exist.
- **Algorithms** are what may run instead of the reference, with the platforms and what the rule that chooses
  has been measured at. `tile` is a program over blocks: loops on a CPU, a kernel on a GPU. The first whose
  rule holds runs; where none does, and for an op without this line, XLA compiles the reference.
- **Devices** says how an algorithm runs under `jit` on several devices. Where nothing is said, XLA partitions
  the program.
- **Determinism level** is the highest the op keeps when asked (`numerics.deterministic`), for real float
  operands and its reference; a composition keeps the lowest level of its parts.
- **Determinism** quotes what the docstrings promise about the order of sums or about bits. Where they promise
  nothing, here or in the text before a group of names, XLA chooses.
- **Measured** ratios are the other's time over Tessera's: above 1 Tessera is faster. Those of a GPU are of
  the tile program, which runs only where its rule holds; those of a CPU are of one core. The sizes, spread
  and machine are in the file named.

The examples use the names bare, as after `from tessera.op import softmax`, and run as tests.
"""


def page() -> str:
    """Returns the whole page."""
    grouped = by_family(facts.operators())
    parts = [INTRODUCTION, contents(grouped)]
    for family, modules in grouped.items():
        parts.append(f"## {family}\n")
        parts += [of_module(module, members) for module, members in modules.items()]
    return "\n".join([*parts, hidden_parts()]).rstrip() + "\n"


def by_family(found: Sequence[Operator]) -> dict[str, dict[str, list[Operator]]]:
    """Returns the operators by family and module; a module that no family names is among the others."""
    modules: dict[str, list[Operator]] = {}
    for operator in sorted(found, key=lambda o: o.name):
        modules.setdefault(module_of(operator), []).append(operator)
    places = {word: family for family, words in FAMILIES.items() for word in words.split()}
    order = {word: i for i, word in enumerate(places)}
    grouped: dict[str, dict[str, list[Operator]]] = {family: {} for family in [*FAMILIES, OTHERS]}
    for module in sorted(modules, key=lambda m: (order.get(short(m), len(order)), m)):
        grouped[places.get(short(module), OTHERS)][module] = modules[module]
    return {family: members for family, members in grouped.items() if members}


def module_of(operator: Operator) -> str:
    """Returns the module that introduces an operator: of a package in `tessera.ops` the package."""
    words = (operator.value.__module__ or "").split(".")
    deep = words[:2] in (["tessera", "ops"], ["tessera", "autodiff"])
    return ".".join(words[: 2 if words[1] == "autodiff" else 3] if deep else words)


def short(module: str) -> str:
    """Returns the last word of a module's name."""
    return module.rpartition(".")[2]


def contents(grouped: dict[str, dict[str, list[Operator]]]) -> str:
    """Returns the list of all names, by family, each a link."""
    lines = []
    for family, modules in grouped.items():
        members = sorted(
            (name, operator.name)
            for operator in itertools.chain.from_iterable(modules.values())
            for name in (operator.name, *operator.others)
        )
        links = " ".join(f"[`{name}`](#{target.lower()})" for name, target in members)
        lines.append(f"- **{family}**: {links}")
    return "\n".join([*lines, "- [Parts of ops](#parts-of-ops)", ""])


def of_module(module: str, members: Sequence[Operator]) -> str:
    """Returns the sections of a module's names, with what the module says before them if they are several."""
    doc = inspect.getdoc(sys.modules[module]) or ""
    if len(members) == 1:
        return section(members[0], text.blocks(doc)[1:], doc, "###")
    said = text.markdown(doc.partition("\n")[2])
    heading = text.escape(doc.partition("\n")[0].rstrip("."))
    introduction = f"### {heading}\n" + (f"\n{said}\n" if said else "")
    return "\n".join([introduction, *(section(o, [], "", "####") for o in members)])


def section(operator: Operator, more: Sequence[str], module_doc: str, level: str) -> str:
    """Returns the section of one name; `more` are paragraphs of the module that is only about it."""
    doc = operator.doc
    formula, *_ = [*(block for block in more if block.startswith(" ")), ""]
    rest = [block for block in more if block != formula]
    said = text.blocks(doc)
    body = "\n\n".join([*said[:1], *([formula] if formula else []), *said[1:], *rest])
    parts = [
        f"{level} {operator.name}",
        text.code(text.wrapped(operator.calls), "python"),
        text.markdown(body),
    ]
    if operator.others:
        parts.insert(2, "Also " + ", ".join(f"`op.{name}`" for name in operator.others) + ".")
    methods = [f"- `{call}`: {what}" for call, what in operator.methods]
    parts += ["\n".join(methods)] if methods else []
    example = re.sub(rf"(?<![.\w]){operator.own_name}\(", f"{operator.name}(", text.example(doc))
    parts += [text.code(example, "python")] if example else []
    lines = [f"- **{label}**:{value}" for label, value in of_code(operator, doc, module_doc)]
    parts += ["\n".join(lines)] if lines else []
    return "\n\n".join([*parts, *ratios(operator.name)]) + "\n"


def of_code(operator: Operator, doc: str, module_doc: str) -> Iterator[tuple[str, str]]:
    """Yields the facts about an operator, each with its label."""
    op = operator.op
    if op is not None:
        yield "Dims", f" `{op.dims}`"
    else:
        public = {o.name for o in facts.operators()}
        made_of = sorted(facts.parts_of(operator.value).ops & public)
        if made_of:
            yield "Made of", " " + ", ".join(f"[`{name}`](#{name})" for name in made_of)
    derivative = facts.derivative(operator)
    if derivative:
        yield "Derivative", f" {derivative}"
    if op is not None:
        algorithms = list(facts.algorithms(op))
        if algorithms:
            yield "Algorithms", "".join(f"\n  - {line}" for line in algorithms)
        devices = facts.over_devices(op)
        if devices:
            yield "Devices", f" {devices}"
        yield "Determinism level", f" up to {facts.highest_level(op)}"
    promised = text.promises(doc, module_doc)
    if promised:
        yield "Determinism", f" {' '.join(promised)}"


def ratios(name: str) -> Iterator[str]:
    """Yields a table for each file of results that has rows about an operator."""
    for file, rows in itertools.groupby(measured.rows(name), lambda row: row.file):
        table = [f"**Measured**, [{file}](../benchmarks/results/{file}):", "", "| case | ratio |"]
        table.append("| --- | --- |")
        for case, of_case in itertools.groupby(rows, lambda row: row.case):
            found = ", ".join(f"{row.ratio} over {row.over}" for row in of_case)
            table.append(f"| {case.replace(' *', ' (an earlier run)')} | {found} |")
        yield "\n".join(table)


def hidden_parts() -> str:
    """Returns the table of the ops that have no public name."""
    lines = [
        "## Parts of ops\n",
        "Ops of the registry that others are made of. They have no public name, and stand in programs that",
        "`ts.inspect` prints.\n",
        "| op | what it returns | dims | algorithms |",
        "| --- | --- | --- | --- |",
    ]
    for op in facts.hidden_ops():
        what = " ".join(text.blocks(inspect.getdoc(op) or "")[0].split())
        ways = [_way(algorithm) for algorithm in op.algorithms.values()]
        cells = [f"`{op.name}`", text.escape(what), f"`{op.dims}`", "; ".join(ways)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _way(algorithm: Any) -> str:
    return f"`{algorithm.name}` ({', '.join(algorithm.platforms) or 'on request'})"


def main(arguments: Sequence[str]) -> None:
    """Writes the page, or checks it."""
    written = page()
    if "--check" not in arguments:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(written, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != written:
        sys.exit("docs/operators.md is not what the code says now: run `make operators`")


if __name__ == "__main__":
    main(sys.argv[1:])
