"""A small service to break: arms of a tiny offline run, deployed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ARMS = ("lin_ucb", "epsilon_greedy")
EXPERIMENT = "home"


def matinee(*arguments: str) -> str:
    """Run the command line; what it printed.

    Raises:
        RuntimeError: it failed, with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", "from matinee_platform.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"matinee {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def tiny_run(folder: Path, *, users: int = 200, days: int = 4, candidates: int = 100) -> Path:
    """A finished offline run with the arms that the service will have."""
    config, run = folder / "run.yaml", folder / "run"
    arms = [
        {"name": "lin_ucb", "policy": {"kind": "lin_ucb", "alpha": 0.3, "diversity": 0.05}},
        {"name": "epsilon_greedy", "policy": {"kind": "epsilon_greedy", "epsilon": 0.2}},
    ]
    import yaml

    settings = {"users": users, "days": days, "candidates": candidates, "arms": arms}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    if not (run / "results.json").exists():
        matinee("simulate", "--config", str(config), "--out", str(run), "--overwrite", "--quiet")
    return run


def deploy(run: Path, data: Path) -> None:
    """Put both arms into the folder of a service; nothing to do where they are."""
    for arm in ARMS:
        if not (data / "bundles" / arm).exists():
            matinee("deploy", f"{run}:{arm}", "--to", str(data), "--as", arm)


def service_settings(**changes: Any) -> dict[str, Any]:
    """Settings of a service with one experiment over both arms."""
    experiment = {
        "key": EXPERIMENT,
        "salt": "home-1",
        "engagement_minutes": 0.05,
        "arms": [{"name": arm, "bundle": arm} for arm in ARMS],
    }
    return {"learn_every_seconds": 1.0, "experiments": [experiment], **changes}
