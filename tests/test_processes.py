"""Sums over several processes: the bits do not depend on how devices are spread over them."""

import runpy
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MESHES = Path(__file__).parents[1] / "benchmarks" / "numerics" / "meshes.py"


def test_one_hash_per_method_on_one_two_and_four_processes():
    meshes = runpy.run_path(str(MESHES))
    table = meshes["distinct"](["1x1", "1x3", "1x8", "2x1", "4x1"])
    assert len(set(table.pop(meshes["FREE"]).values())) > 1
    assert {name for name, row in table.items() if len(set(row.values())) > 1} == set()
