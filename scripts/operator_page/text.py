"""Docstrings as Markdown: paragraphs, formulas, examples, and the sentences that promise an order of sums."""

import re
import textwrap
from collections.abc import Iterator

# A sentence with one of these says how reproducible a result is.
PROMISES = re.compile(
    r"same bits|atomics\b|bits (?:are the same|do not depend)|change a bit|tree fixed by|never varies"
    r"|however it is sharded|[Tt]he same key gives"
    r"|\b(?:[Ss]ums?|[Tt]erms|[Ee]ntries are|added)\b.*(?<!row-major )\border\b"
)
SENTENCE = re.compile(r"(?<=\.)\s+(?=[A-Z`])")
# What a module's docstring begins with.
NAMES = re.compile(r"^`op\.[^:]*: ")
# Marks that could begin or end emphasis or a tag.
MARKS = re.compile(r"\*(?=\S)|(?<=\S)\*|(?<!\w)_|_(?!\w)|<(?=[\w/!])|\\")
# Paragraphs for who reads the source: files of a package, in what order to read them.
FOR_THE_SOURCE = re.compile(r"\w+\.py\s|Reading order|(?:`\w+`,?\s*)+\.?$")


def blocks(doc: str) -> list[str]:
    """Returns the paragraphs of a docstring before its example, with their indentation."""
    before = doc.split("\n>>> ", 1)[0] if not doc.startswith(">>> ") else ""
    found = [block.strip("\n") for block in re.split(r"\n\s*\n", before)]
    return [block for block in found if block and not FOR_THE_SOURCE.match(block)]


def markdown(doc: str) -> str:
    """Returns the text of a docstring as Markdown: what is indented is shown as it is written."""
    return "\n\n".join(part for block in blocks(doc) for part in _parts(block))


def _parts(block: str) -> Iterator[str]:
    """Yields the pieces of a paragraph: prose, and indented lines as code."""
    if re.match(r"\S.*\S {3,}\S", block):  # a call and what it gives, in two columns
        yield code(block, "text")
        return
    run: list[str] = []
    for line in block.splitlines():
        if run and line.startswith(" ") != run[0].startswith(" "):
            yield _piece(run)
            run = []
        run.append(line)
    yield _piece(run)


def _piece(lines: list[str]) -> str:
    if not lines[0].startswith(" "):
        return escape("\n".join(lines))
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return code("\n".join(line[margin:] for line in lines), "text")


def code(text: str, language: str) -> str:
    """Returns text as a fenced block."""
    return f"```{language}\n{text}\n```"


def wrapped(call: str) -> str:
    """Returns a call in lines of at most 100 columns."""
    return "\n".join(textwrap.wrap(call, 100, subsequent_indent="    ", break_long_words=False))


def escape(text: str) -> str:
    """Returns prose with what Markdown would take for emphasis or tags escaped, outside code spans."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else MARKS.sub(r"\\\g<0>", p) for p in pieces)


def example(doc: str) -> str:
    """Returns the first example of a docstring, from its first prompt to the end of that paragraph."""
    found = re.search(r"^>>> .*?(?=\n\s*\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return found.group() if found else ""


def one_line(doc: str | None, *, first: bool = False) -> str:
    """Returns a docstring, or its first paragraph, in one line of prose."""
    said = (doc or "").split("\n\n")[0] if first else doc or ""
    return escape(" ".join(said.split()))


def promises(*docs: str) -> list[str]:
    """Returns the sentences of docstrings that say in which order sums are made, or what fixes the bits."""
    prose = [
        " ".join(line for line in block.splitlines() if not line.startswith(" "))
        for doc in docs
        for block in blocks(doc)
    ]
    sentences = [s for block in prose for s in SENTENCE.split(NAMES.sub("", block))]
    found = [s[:1].upper() + s[1:] for s in sentences if PROMISES.search(s)]
    return list(dict.fromkeys(map(escape, found)))
