import os
import subprocess
import sys
from pathlib import Path

import pytest

BOTTOM = """
from matinee_policies.compiled import kernel

@kernel
def scaled(x: float) -> float:
    return {factor} * x
"""

TOP = """
from matinee_policies.compiled import kernel
from matinee_probe_bottom import scaled

@kernel
def shifted(x: float) -> float:
    return scaled(x) + 1.0
"""

CALL = """
import matinee_probe_top
top = matinee_probe_top.shifted
print(top(3.0), sum(top.stats.cache_hits.values()))
"""


@pytest.fixture
def probe(tmp_path: Path) -> Path:
    """A folder with two modules of kernels, one calling the other."""
    (tmp_path / "matinee_probe_bottom.py").write_text(BOTTOM.format(factor=2.0))
    (tmp_path / "matinee_probe_top.py").write_text(TOP)
    return tmp_path


def run(folder: Path, code: str = CALL, **environment: str) -> str:
    settings = {**os.environ, "PYTHONPATH": str(folder), **environment}
    settings.setdefault("NUMBA_CACHE_DIR", str(folder / "cache"))
    answer = subprocess.run(
        [sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def test_kernels_are_kept_and_follow_their_callees(probe: Path) -> None:
    cache = str(probe / "cache")
    assert run(probe, NUMBA_CACHE_DIR=cache) == "7.0 0"
    assert run(probe, NUMBA_CACHE_DIR=cache) == "7.0 1"
    # The calling module is as it was; the kernel that it calls has changed.
    (probe / "matinee_probe_bottom.py").write_text(BOTTOM.format(factor=5.0))
    assert run(probe, NUMBA_CACHE_DIR=cache) == "16.0 0"


def test_without_a_setting_the_cache_is_the_users(probe: Path) -> None:
    code = (
        "import os; os.environ.pop('NUMBA_CACHE_DIR');"
        "import matinee_probe_top;"
        "from matinee_policies.compiled import cache_folder;"
        "print(cache_folder('matinee_probe_top').parent)"
    )
    assert run(probe, code, XDG_CACHE_HOME="/somewhere") == "/somewhere/matinee/kernels"


def test_division_by_zero_follows_ieee_754(probe: Path) -> None:
    (probe / "matinee_probe_bottom.py").write_text(
        BOTTOM.format(factor=2.0).replace("2.0 * x", "1.0 / x")
    )
    assert run(probe, "import matinee_probe_bottom as m; print(m.scaled(0.0))") == "inf"
