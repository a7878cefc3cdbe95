"""Arms of a small offline run, deployed once and copied for each service that is loaded."""

import shutil
import time
from pathlib import Path
from typing import Any

from chaos.served_arm import ARMS, deploy, service_settings, tiny_run
from live_service import LiveService

WIDE_OPEN = {"requests_per_second": 1e6, "burst": 1_000_000}
"""Limits for programs that ask as one caller for what many would ask."""


class Deployed:
    """Where services get their arms from.

    Args:
        folder: keeps the offline run and its bundles; what is there is used again.
        scratch: holds the services, and goes with them.
    """

    def __init__(self, folder: Path, *, scratch: Path) -> None:
        self._base = folder / "deployed"
        self.scratch = scratch
        self._base.mkdir(parents=True, exist_ok=True)
        deploy(tiny_run(self._base), self._base / "data")

    def service(
        self, name: str, *, engagement_minutes: float = 0.05, **changes: Any
    ) -> LiveService:
        """A service with a log of its own, not started.

        Args:
            name: of its folder; another service under the same name has the same log.
            engagement_minutes: how long clicks and watching count.
            changes: to its settings.
        """
        folder = self.scratch / name
        if not folder.exists():
            shutil.copytree(self._base / "data", folder / "data")
        settings = service_settings(**{"limits": WIDE_OPEN, **changes})
        settings["experiments"][0]["engagement_minutes"] = engagement_minutes
        return LiveService(folder, settings)


def wait_for_learner(service: LiveService, *, seconds: float = 600.0) -> None:
    """Wait until the learner of a service on SQLite has made the first snapshot of every arm.

    Raises:
        RuntimeError: it took too long.
    """
    until = time.monotonic() + seconds
    while len(list((service.data / "snapshots").glob("*/*/*.npz"))) < len(ARMS):
        if time.monotonic() > until:
            raise RuntimeError(f"the learner made no first snapshots within {seconds:g} s")
        time.sleep(0.1)
