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


ENVIRONMENT_STEPS = {
    # obp 0.5.7 asks for Python below 3.11; its linear policies are plain numpy and run on it.
    "obp": (Step("obp.txt", ("--ignore-requires-python",)),),
    "mabwiser": (Step("mabwiser.txt"),),
    "coba": (Step("coba.txt"),),
    "contextualbandits": (
        Step("contextualbandits_build.txt"),
        Step("contextualbandits.txt", ("--no-build-isolation",)),
    ),
}


class InstallError(Exception):
    """Why an environment could not be made, in one line."""


def main() -> None:
    """Make what is missing."""
    try:
        python = find_python()
    except InstallError as error:
        print(f"no peer can be installed: {error}")
        return
    for name, steps in ENVIRONMENT_STEPS.items():
        start = time.monotonic()
        try:
            done = install(name, steps, python)
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


def install(name: str, steps: tuple[Step, ...], python: str) -> bool:
    """Make one environment; whether there was anything to do.

    Raises:
        InstallError: if a command fails or takes too long.
    """
    folder = ENVIRONMENTS / name
    mark, wanted = folder / ".installed", _digest(steps)
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    _run(python, "-m", "venv", str(folder))
    for step in steps:
        _run(
            str(folder / "bin" / "python"),
            *("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
            *("--no-deps", *step.options, "-r", str(HERE / step.requirements)),
        )
    mark.write_text(wanted, encoding="utf-8")
    return True


def _digest(steps: tuple[Step, ...]) -> str:
    digest = hashlib.sha256()
    for step in steps:
        digest.update((HERE / step.requirements).read_bytes() + repr(step.options).encode())
    return digest.hexdigest()


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS
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
