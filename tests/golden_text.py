"""Texts committed beside the tests: what a person reads to see what the compiler makes of a function."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
UPDATE = "TESSERA_UPDATE_GOLDEN"  # set it to 1 to write the texts anew


def assert_golden(text: str, path: str | Path) -> None:
    """Fails unless `text` is what the golden file at `path`, relative to tests/golden, holds."""
    file = FOLDER / path
    text = text.rstrip("\n") + "\n"
    if os.environ.get(UPDATE) == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert file.exists(), f"{file} is missing: run the test with {UPDATE}=1 and read what it writes"
    assert text == file.read_text(), f"{file} differs: if the change is meant, set {UPDATE}=1"
