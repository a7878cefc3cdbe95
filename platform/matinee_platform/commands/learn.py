"""`matinee learn`: the learner of a service, as a process of its own."""

import json
import logging
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from matinee_policies.errors import ConfigError

if TYPE_CHECKING:
    from matinee_platform.learning.learner_status import LearnerStatus


def learn(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings of the service in YAML."),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm", metavar="EXPERIMENT/ARM", help="Only this arm; repeatable. Default: all."
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Learn what has matured by now, and end.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print how every arm stands, as JSON for machines.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="PORT",
            min=0,
            max=65_535,
            help="Serve Prometheus metrics of the learner on 127.0.0.1; 0 takes a free port.",
        ),
    ] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Learn from the log of a service, and make snapshots that it serves within a second or two.

    `matinee serve` runs one itself unless `supervise_learner` is false. Several may run: each arm
    is learned by one of them, and by another one when that one is gone.
    Exit status of --once: 1 if an arm could not be learned.
    Example: matinee learn --config examples/serve.yaml --once
    """
    # First of all: what follows takes a second, and may be interrupted.
    stop = threading.Event()
    _end_on_signals(stop, deaf_to_interrupts=supervised)
    from matinee_platform.clock import SystemClock
    from matinee_platform.learning.learner_loop import LearnerLoop
    from matinee_platform.learning.learner_status import STATUS_FILE, write_status
    from matinee_platform.learning.service_arms import open_stores
    from matinee_platform.learning.supervisor import leave_with_parent, read_line
    from matinee_platform.offline.child_processes import one_blas_thread
    from matinee_platform.service.settings_file import load_service_settings, settings_of_line

    if supervised:
        settings = settings_of_line(read_line())
        leave_with_parent(stop)
    elif config is None:
        raise ConfigError("learn needs the settings of a service: --config FILE")
    else:
        settings = load_service_settings(config)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    clock = SystemClock()
    with open_stores(settings, clock=clock) as stores, one_blas_thread():
        _check_arms(arms or [], stores.arm_names())
        path = settings.data_dir / STATUS_FILE
        loop = LearnerLoop(
            plans=lambda: stores.plans(arms or []),
            make=stores.learner,
            leases=stores.leases,
            report=lambda status: write_status(path, status),
            clock=clock,
            asked=stores.asks.any_open,
        )
        if metrics_port is not None:
            _serve_metrics(path, metrics_port)
        try:
            if once:
                _print(loop.look(), as_json=as_json)
            else:
                loop.run(stop, every_seconds=settings.learn_every_seconds)
        finally:
            loop.release()


def _check_arms(wanted: list[str], known: list[str]) -> None:
    for name in wanted:
        if name not in known:
            raise ConfigError(f"arm must be one of {', '.join(known)}, got {name!r}")


def _end_on_signals(stop: threading.Event, *, deaf_to_interrupts: bool) -> None:
    """Finish the look at hand, then end; whoever starts a learner as a child ends it."""

    def end(_: int, __: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN if deaf_to_interrupts else end)


def _serve_metrics(path: Path, port: int) -> None:
    import sys

    from prometheus_client import CollectorRegistry, start_http_server

    from matinee_platform.clock import SystemClock
    from matinee_platform.learning.learner_metrics import LearnerCollector
    from matinee_platform.learning.learner_status import read_status

    registry = CollectorRegistry(auto_describe=False)
    registry.register(LearnerCollector(lambda: read_status(path), clock=SystemClock()))
    server, _ = start_http_server(port, addr="127.0.0.1", registry=registry)
    print(f"metrics on http://127.0.0.1:{server.server_port}/metrics", file=sys.stderr)


def _print(status: "LearnerStatus", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(status.to_json(), indent=2))
    else:
        for arm in status.arms:
            learned = sum(arm.learned.values())
            word = f"{arm.state}: {arm.reason}" if arm.reason else arm.state
            print(f"{arm.experiment}/{arm.arm}: {word}, version {arm.version}, {learned:,} learned")
    if any(arm.state == "failed" for arm in status.arms):
        raise typer.Exit(1)
