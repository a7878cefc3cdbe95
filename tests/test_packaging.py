"""The wheel: installed alone, outside the tree, it runs an experiment."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = version("matinee")
TINY = """
name: tiny
users: 60
days: 3
arms:
  - {name: mf_order, policy: {kind: score_order}}
"""
PACKAGES = ("matinee_platform", "matinee_policies", "matinee_simulator")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("matinee-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment with the wheel; third-party packages are lent by the one that tests."""
    environment = tmp_path_factory.mktemp("outside") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    install_wheel(python, wheel)
    site = Path(purelib(python))
    # A path file adds the folder, yet not the path files in it: the checkout stays out of reach.
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "lent.pth").write_text("".join(f"{folder}\n" for folder in sorted(lent)))
    return environment


def install_wheel(python: Path, wheel: Path) -> None:
    options = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    if shutil.which("uv"):
        command = ["uv", "pip", *options, "--python", str(python)]
    elif importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", "--python", str(python), *options]
    else:
        subprocess.run([python, "-m", "ensurepip"], check=True, capture_output=True)
        command = [str(python), "-m", "pip", *options]
    subprocess.run(command, check=True, env=clean_environment())


def purelib(python: Path) -> str:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def clean_environment() -> dict[str, str]:
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MATINEE_DATA")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=clean_environment(), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {*PACKAGES, f"matinee-{VERSION}.dist-info"}
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    assert any(name.endswith("LICENSE") for name in names)


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        root = ROOT / package.removeprefix("matinee_")
        for path in (root / package).rglob("*.py"):
            assert path.relative_to(root).as_posix() in names


def test_the_packages_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print(*(m.__file__ for m in ({', '.join(PACKAGES)})))"
    for path in run(installed / "bin" / "python", "-c", code, cwd=tmp_path).split():
        assert Path(path).is_relative_to(installed)


def test_the_command_names_its_version(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "bin" / "matinee", "--version", cwd=tmp_path) == f"matinee {VERSION}\n"


def test_every_module_is_found_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    code = f"""
import importlib, pkgutil
for name in {PACKAGES!r}:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        print(importlib.import_module(module.name).__file__)
"""
    paths = [Path(line) for line in run(installed / "bin/python", "-c", code, cwd=tmp_path).split()]
    assert len(paths) > 300
    assert all(path.is_relative_to(installed) for path in paths)


def test_files_that_are_no_code_are_found_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    listed = run(installed / "bin" / "matinee", "scenarios", "list", "--json", cwd=tmp_path)
    assert {"movielens", "stress"} <= {scenario["name"] for scenario in json.loads(listed)}
    code = """
from matinee_simulator.long_run import frozen_index
from matinee_simulator.parameters import Parameters
print(frozen_index(), Parameters())
"""
    assert "satisfaction_weight" in run(installed / "bin/python", "-c", code, cwd=tmp_path)


@pytest.mark.long
def test_a_tiny_experiment_runs_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    # One arm: nothing of this environment is compiled yet, and kernels of more policies take long.
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    command = ["simulate", "--config", "tiny.yaml"]
    printed = run(
        installed / "bin" / "matinee",
        *command,
        "--out",
        "run",
        "--workers",
        "1",
        "--json",
        cwd=tmp_path,
    )
    results = json.loads(printed)
    assert sum(arm["users"] for arm in results["arms"].values()) <= 60
    assert sum(arm["pages"] for arm in results["arms"].values()) > 0
    assert (tmp_path / "run" / "results.json").is_file()
    assert (tmp_path / "run" / "retention.png").is_file()
