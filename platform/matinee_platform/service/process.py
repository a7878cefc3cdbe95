"""The service as processes: where it listens, who supervises whom, how it ends."""

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from matinee_platform.clock import SystemClock
from matinee_platform.kpis.kpi_supervisor import kpi_supervisor
from matinee_platform.learning.supervisor import Supervisor, learner_supervisor
from matinee_platform.service.app import create_app
from matinee_platform.service.compose import prepare
from matinee_platform.service.first_answer import first_answer
from matinee_platform.service.guarded_protocol import GuardedProtocol, stop_connections
from matinee_platform.service.log_lines import SERVER_LOGGING
from matinee_platform.service.settings import ServiceSettings
from matinee_policies.errors import ConfigError

_BACKLOG = 2_048
_KEEP_ALIVE_SECONDS = 30
_CLOSE_WITHIN_SECONDS = 20
_WORKER_WITHIN_SECONDS = 120
"""For a worker to give a sign of life, and at a restart to be ready: on a machine that has too much
to do it takes a while until a process has read its modules, and one that is killed meanwhile never
comes up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where a service listens.

    Attributes:
        address: for people and clients.
        host: as set.
        port: as set, or the free one that was taken.
        workers: processes that answer.
        data_dir: folder of everything that it keeps.
        learner: whether it runs a learner.
        keys: whether callers need API keys.
    """

    address: str
    host: str
    port: int
    workers: int
    data_dir: str
    learner: bool
    keys: bool


def serve(settings: ServiceSettings, *, announce: Callable[[Listening], None]) -> int:
    """Run the service until it is told to end; the exit status.

    Args:
        settings: of the service.
        announce: told where it listens, once it does; at once with several processes. The learner
            is started once one of them answers.

    Raises:
        ConfigError: on settings that do not go together, or a port that is taken.
    """
    check_workers(settings)
    keys = prepare(settings)
    with closing(_listen(settings)) as door:
        port = int(door.getsockname()[1])
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        listening = Listening(
            address=f"http://{host}:{port}",
            host=settings.host,
            port=port,
            workers=settings.workers,
            data_dir=str(settings.data_dir),
            learner=settings.supervise_learner,
            keys=keys,
        )
        supervisors = _supervisors(settings)

        def answers() -> None:
            # Not before: they would take a core from the start.
            for supervisor in supervisors:
                supervisor.start()

        def leaving() -> None:
            for supervisor in supervisors:
                supervisor.leave()

        try:
            return _answer(
                settings,
                door,
                announce=lambda: announce(listening),
                answers=answers,
                leaving=leaving,
            )
        finally:
            for supervisor in supervisors:
                supervisor.stop()


def _supervisors(settings: ServiceSettings) -> list[Supervisor]:
    """Of the processes that a service keeps running beside those that answer."""
    found = []
    if settings.supervise_learner:
        found.append(learner_supervisor(settings))
    if settings.supervise_kpis:
        found.append(kpi_supervisor(settings))
    return found


def check_workers(settings: ServiceSettings) -> None:
    """Refuse several processes on one SQLite file.

    Raises:
        ConfigError: with the reason.
    """
    if settings.workers > 1 and settings.database == "sqlite":
        raise ConfigError(
            f"workers must be 1 with SQLite, got {settings.workers}: one process writes the log, "
            "so that its order has no gaps; set database to a PostgreSQL for more"
        )


def app_of_line(line: str) -> FastAPI:
    """The application for settings in JSON; each process makes its own."""
    return create_app(ServiceSettings.model_validate_json(line), clock=SystemClock())


class _Server(uvicorn.Server):
    """Says when it is ready, and when it was told to end; lets go of nobody who was let in."""

    def __init__(
        self, config: uvicorn.Config, *, ready: Callable[[], None], leaving: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._leaving = leaving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._leaving()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Who stands in the queue of the socket would be reset if it were closed at once.
        doors = [one.dup() for one in sockets or ()]
        for server in self.servers:
            server.close()
        stop_connections(self.server_state)
        for door in doors:
            await self._take_in(door)
        await super().shutdown(sockets)

    async def _take_in(self, door: socket.socket) -> None:
        """Let everybody in who stands in the queue of a socket, then close it."""
        loop = asyncio.get_running_loop()
        with closing(door):
            door.setblocking(False)
            while True:
                try:
                    guest, _ = door.accept()
                except OSError:
                    return
                await loop.connect_accepted_socket(self._protocol, guest)

    def _protocol(self) -> GuardedProtocol:
        return GuardedProtocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


class _Workers(Multiprocess):
    """Says when it was told to end."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], *, leaving: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._leaving = leaving

    def terminate_all(self) -> None:
        self._leaving()
        super().terminate_all()


def _answer(
    settings: ServiceSettings,
    door: socket.socket,
    *,
    announce: Callable[[], None],
    answers: Callable[[], None],
    leaving: Callable[[], None],
) -> int:
    def ready() -> None:
        announce()
        answers()

    config = uvicorn.Config(
        partial(app_of_line, settings.model_dump_json()),
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http=GuardedProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=SERVER_LOGGING,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_CLOSE_WITHIN_SECONDS,
        timeout_worker_healthcheck=_WORKER_WITHIN_SECONDS,
    )
    if settings.workers > 1:
        announce()
        with first_answer(door, then=answers):
            _Workers(config, [door], leaving=leaving).run()
        return 0
    # The server ends what it took in, then raises the signal again: that is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = _Server(config, ready=ready, leaving=leaving)
    try:
        server.run(sockets=[door])
    except SystemExit:
        # Its lines have said why.
        return 1
    return 0 if server.started else 1


def _listen(settings: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((settings.host, settings.port))
        door.listen(_BACKLOG)
    except OSError as error:
        door.close()
        reason = error.strerror or "it is no address of this machine"
        raise ConfigError(f"cannot listen on {settings.host}:{settings.port}: {reason}") from None
    door.set_inheritable(True)
    return door
