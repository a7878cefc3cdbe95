"""Guards of the layout: source roots that hide nothing, layers, and a light bottom package."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = ("platform", "policies", "simulator")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


def test_the_standard_platform_module_is_not_shadowed() -> None:
    code = "import platform, uuid; print(platform.system(), platform.__file__)"
    assert str(ROOT) not in run(sys.executable, "-c", code).stdout


def test_pytest_starts_as_a_module_from_the_root() -> None:
    assert run(sys.executable, "-m", "pytest", "--version").stdout.startswith("pytest")


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_a_source_root_holds_one_package_and_no_module(root: str) -> None:
    folder = ROOT / root
    assert list(folder.glob("*.py")) == []
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    assert packages == [f"matinee_{root}"]
    assert (folder / f"matinee_{root}" / "py.typed").is_file()


def test_test_folders_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_layers() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    assert "0 broken" in run(str(lint_imports), "--no-cache").stdout


def test_every_platform_module_is_held_to_a_layer() -> None:
    """A new module must be listed, or may know the simulator like the few named here."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (listed,) = [
        contract["source_modules"]
        for contract in contracts
        if contract["name"]
        == "inside the platform only offline, drive, validation and cli know the simulator"
    ]
    folder = ROOT / "platform" / "matinee_platform"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    modules |= {path.parent.name for path in folder.glob("*/*.py")}
    free = {"offline", "drive", "validation", "cli", "commands", "report", "studies"}
    assert len(listed) == len(set(listed))
    assert {name.removeprefix("matinee_platform.") for name in listed} | free == modules


def test_importing_the_bottom_package_loads_numpy_and_numba_only() -> None:
    # numba looks at scipy's version by itself, hence the comparison with numba alone.
    before, after = (loaded("numpy, numba"), loaded("numpy, numba, matinee_policies"))
    more = {name.split(".")[0] for name in after - before} - set(sys.stdlib_module_names)
    assert more <= {"matinee_policies", "numpy", "numba", "llvmlite"}


def loaded(modules: str) -> set[str]:
    code = f"import sys, {modules}; print(*sorted(sys.modules))"
    return set(run(sys.executable, "-c", code).stdout.split())
