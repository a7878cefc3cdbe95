"""PostgreSQL, service, learner and Prometheus on this machine, as docker-compose.yml has them."""

import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from chaos.databases import database
from live_service import free_port
from matinee_platform.client import Client
from prometheus_server import Prometheus
from stack.children import Child
from stack.composed import ROOT, Places, Process, process_of

EXPERIMENT = "stack"
"""Key of the experiment that the simulated users bring with them."""

_PREPARE_S = 600.0
_READY_S = 300.0


class Stack:
    """All of it, ready to be used within a `with`.

    Args:
        folder: of everything it writes; it must stay short, PostgreSQL has a socket in it.
        settings: folder with `run.yaml`, `serve.yaml` and the scripts.
        scrape_seconds: between two scrapes, and between two evaluations of rules.
        hurry: by which waits and ranges of the rules are divided.

    Attributes:
        places: where things are.
        service: answers.
        learner: learns.
        drive: the simulated users, not started yet.
        prometheus: scrapes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Path = ROOT / "examples" / "stack",
        scrape_seconds: float = 1.0,
        hurry: float = 1.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._settings = folder, settings
        self._scrape_seconds, self._hurry = scrape_seconds, hurry
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            files = self._folder / "database"
            files.mkdir(exist_ok=True)
            kept = opened.enter_context(database("postgresql", files))
            self.places = Places(
                folder=self._folder,
                stack=self._settings,
                database=kept.address,
                port=free_port(),
            )
            self._child("prepare").finish(wait_s=_PREPARE_S)
            self.service, self.learner = self._child("service"), self._child("learner")
            self.drive = self._child("drive")
            self.prometheus = Prometheus(
                self._folder / "prometheus",
                targets={"matinee": [f"127.0.0.1:{self.places.port}"]},
                scrape_seconds=self._scrape_seconds,
                key=self.places.key("scrape"),
                hurry=self._hurry,
            )
            for child in (self.service, self.learner, self.drive):
                opened.callback(child.stop)
            self._began = time.monotonic()
            self.service.start()
            self.learner.start()
            self.wait("the service is ready", self._ready, seconds=_READY_S)
            opened.enter_context(self.prometheus)
            self._open = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def age_s(self) -> float:
        """Time since its service was started first: lines of all of it are within."""
        return time.monotonic() - self._began

    @property
    def address(self) -> str:
        """Of the service."""
        return f"http://127.0.0.1:{self.places.port}"

    def client(self) -> Client:
        """One that may do everything; the caller closes it."""
        key = self.places.key("drive").read_text(encoding="utf-8").strip()
        return Client(self.address, key=key, timeout=60.0)

    def restart(self) -> None:
        """End the service and start it again, until it answers."""
        self.service.stop()
        self.service.start()
        self.wait("the service is ready again", self._ready, seconds=_READY_S)

    def run(self, *words: str) -> str:
        """Run a command of `matinee` with the environment of the services; what it wrote.

        Raises:
            RuntimeError: it failed.
        """
        as_service = process_of("service", self.places)
        command = Process([*as_service.command[:3], *words], as_service.environment)
        return Child(words[0], command, folder=self._folder).finish(wait_s=_PREPARE_S)

    def wait(self, what: str, holds: Callable[[], bool], *, seconds: float) -> float:
        """Wait until something holds; how long it took, in seconds.

        Raises:
            RuntimeError: it does not hold in time, or the service has ended.
        """
        began = time.monotonic()
        while not holds():
            if not self.service.running:
                raise RuntimeError(f"the service has ended: {self.service.said()}")
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"not so after {seconds:g} s: {what}")
            time.sleep(0.2)
        return time.monotonic() - began

    def fires(self, alert: str, **labels: str) -> bool:
        """Whether an alert fires, with these labels among its own."""
        return any(
            one["alertname"] == alert and labels.items() <= one.items()
            for one in self.prometheus.firing()
        )

    def _child(self, name: str) -> Child:
        return Child(name, process_of(name, self.places), folder=self._folder)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", timeout=5) as reply:  # noqa: S310
                return bool(reply.status == 200)
        except OSError:
            return False
