"""The ratios in `benchmarks/results`, by operator: what a row of a table there is about, and over whom."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# What the tables call some operators.
CALLED = {
    "attention": "flash_attention",
    "grouped matmul": "grouped_matmul",
    "segment sum": "segment_reduce",
}


@dataclass(frozen=True)
class Row:
    """One line of a table: the file and case, the ratio, and over what it is."""

    file: str
    case: str
    ratio: str
    over: str


def rows(name: str) -> list[Row]:
    """Returns the rows about an operator, in the order of the files and of the tables in them."""
    words = [name, *(case for case, op in CALLED.items() if op == name)]
    about = re.compile(rf"({'|'.join(map(re.escape, words))})(?![\w.])")
    return [row for row in _all_rows() if about.match(row.case)]


def _all_rows() -> Iterator[Row]:
    for path in sorted(RESULTS.glob("*.md")):
        header: list[str] = []
        for line in path.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if not line.startswith("|"):
                header = []
            elif not header:
                header = cells
            elif header[0] == "case":
                yield from _of_line(path.name, header, cells)


def _of_line(file: str, header: list[str], cells: list[str]) -> Iterator[Row]:
    case = cells[0]
    values = dict(reversed(list(zip(header, cells, strict=False))))  # of two ratios the first
    for column, value in zip(header, cells, strict=False):
        if column.startswith("over ") and value:
            yield Row(file, case, value, column.removeprefix("over "))
    if values.get("candidate") == "tessera":
        yield Row(file, case, values["ratio"].split("x")[0], values["baseline"])
