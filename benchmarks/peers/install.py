"""Make the environments of the peers: folders under `.peers/`, every package pinned.

    make bench-peers

All need Python 3.11. A peer that cannot be installed is told in one line, and the benchmarks go on
without it; what is already there as pinned is left alone.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parents[1] / ".peers"
VERSION = (3, 11)
PATIENCE_SECONDS = 1_200


@dataclass(frozen=True, slots=True)
class Step:
    """One call of pip: a file of requirements, and options beside it."""

    requirements: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Environment:
    """How a folder is made.

    Attributes:
        steps: in their order.
        script: a peer that must start in it, asked for nothing.
    """

    steps: tuple[Step, ...]
    script: str


ENVIRONMENT_OF = {
    # obp 0.5.7 asks for Python below 3.11; its linear policies are plain numpy and run on it.
    "obp": Environment((Step("obp.txt", ("--ignore-requires-python",)),), "obp_linear"),
    "mabwiser": Environment((Step("mabwiser.txt"),), "mabwiser_lin_ucb"),
    "coba": Environment((Step("coba.txt"),), "coba_linear"),
    "contextualbandits": Environment(
        (
            Step("contextualbandits_build.txt"),
            Step("contextualbandits.txt", ("--no-build-isolation",)),
        ),
        "contextualbandits_lin_ts",
    ),
    # Below pandas 3: it prints what tests hold ours to.
    "lifelines": Environment((Step("lifelines.txt"),), "lifelines_survival"),
}
SMALL = ("policy=lin_ucb", "d=2", "K=2", "rounds=2", "batch=2", "seed=1")


class InstallError(Exception):
    """Why an environment could not be made, in one line."""


def main() -> None:
    """Make what is missing."""
    try:
        python = find_python()
    except InstallError as error:
        print(f"no peer can be installed: {error}")
        return
    for name, environment in ENVIRONMENT_OF.items():
        start = time.monotonic()
        try:
            done = install(name, environment, python)
        except InstallError as error:
            print(f"{name}: left out: {error}", flush=True)
            continue
        said = f"installed in {time.monotonic() - start:.0f} s" if done else "already installed"
        print(f"{name}: {said}", flush=True)


def find_python() -> str:
    """The interpreter that runs this, or the first of its name that has the right version."""
    for candidate in (sys.executable, "python3.11", "python3"):
        path = shutil.which(candidate)
        if path is None:
            continue
        code = f"import sys; sys.exit(sys.version_info[:2] != {VERSION})"
        if subprocess.run([path, "-c", code], capture_output=True, check=False).returncode == 0:
            return path
    raise InstallError(f"Python {VERSION[0]}.{VERSION[1]} was not found")


def install(name: str, environment: Environment, python: str) -> bool:
    """Make one environment; whether there was anything to do.

    Raises:
        InstallError: if a command fails or takes too long.
    """
    folder = ENVIRONMENTS / name
    mark, wanted = folder / ".installed", _digest(environment)
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _make(folder, environment, python)
    except InstallError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    mark.write_text(wanted, encoding="utf-8")
    return True


def _make(folder: Path, environment: Environment, python: str) -> None:
    _run(python, "-m", "venv", str(folder))
    inside = str(folder / "bin" / "python")
    for step in environment.steps:
        _run(
            *(inside, "-m", "pip", "install", "--quiet", "--no-input"),
            *("--disable-pip-version-check", "--no-deps", *step.options),
            *("-r", str(HERE / step.requirements)),
        )
    _run(inside, "-W", "ignore", "-m", f"peers.{environment.script}", *SMALL)


def _digest(environment: Environment) -> str:
    digest = hashlib.sha256()
    for step in environment.steps:
        digest.update((HERE / step.requirements).read_bytes() + repr(step.options).encode())
    return digest.hexdigest()


def _run(*command: str) -> None:
    """Run a command beside the benchmarks, with nothing to read."""
    try:
        subprocess.run(
            command,
            check=True,
            cwd=HERE.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"took longer than {PATIENCE_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        said = [line for line in (error.stderr + error.stdout).splitlines() if line.strip()]
        blamed = [line for line in said if line.lower().startswith("error")]
        last = (blamed or said or ["no message"])[-1]
        raise InstallError(last.strip()) from None


if __name__ == "__main__":
    main()
