"""The service's own lines: JSON, one object a line, with the id of the request, no personal data.

Requests that succeed leave no line; their number is in the metrics. Of an exception only its class
and the places of the code are told: its message may hold what a caller sent.
"""

import json
import logging
import sys
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


def service_log(stream: TextIO | None = None) -> FilteringBoundLogger:
    """A logger that writes to `stream`, standard error if not given."""
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr if stream is None else stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=json.dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return logger


def places(error: BaseException, *, most: int = 12) -> list[str]:
    """Where an exception came from, innermost last: `file:line function`.

    Example:
        >>> try:
        ...     {}["a user's id"]
        ... except KeyError as error:
        ...     [place.split(" ")[-1] for place in places(error)]
        ['<module>']
    """
    frames = traceback.extract_tb(error.__traceback__)[-most:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


_TRACEBACK = "Traceback (most recent call last)"


class JsonFormatter(logging.Formatter):
    """Lines of the web server as JSON, exceptions without their messages."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: MutableMapping[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if _TRACEBACK in str(line["event"]):
            # Start-up failed; the last line of the traceback names the error and its reason.
            reason = str(line["event"]).rstrip().rsplit("\n", 1)[-1]
            line.update(event="startup_failed", reason=reason)
        if record.exc_info and record.exc_info[1] is not None:
            line["event"] = "exception"
            line["error"] = type(record.exc_info[1]).__name__
            line["places"] = places(record.exc_info[1])
        return json.dumps(line)


SERVER_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "matinee_platform.service.log_lines.JsonFormatter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stderr",
        }
    },
    "loggers": {"uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False}},
}
"""How the web server logs: warnings and worse, as JSON."""
