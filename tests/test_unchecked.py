"""What needs a program or a registry that is not there is said aloud at the end of a run."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TESTS = """
import pytest

@pytest.mark.services
def test_of_types():
    pytest.skip("npm reaches no registry: none")

def test_of_data():
    pytest.skip("MATINEE_DATA is not set")
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_skipped_check_of_services_is_said_aloud(tmp_path: Path, workers: str) -> None:
    (tmp_path / "conftest.py").write_bytes((ROOT / "conftest.py").read_bytes())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = services\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("not checked")]
    assert said == "not checked: test_some.py::test_of_types: npm reaches no registry: none"
