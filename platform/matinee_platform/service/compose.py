"""Build the parts of a service by its settings: the one file that knows every implementation."""

from structlog.typing import FilteringBoundLogger

from matinee_platform.clock import Clock
from matinee_platform.service.errors import UnsupportedError
from matinee_platform.service.parts import ServiceParts
from matinee_platform.service.settings import ServiceSettings


async def open_parts(
    settings: ServiceSettings, *, clock: Clock, log: FilteringBoundLogger
) -> ServiceParts:
    """Open everything that the settings name.

    Args:
        settings: of the service.
        clock: tells the time.
        log: takes the service's lines.

    Raises:
        ConfigError: on settings that do not go together.
    """
    raise UnsupportedError("the parts of the service are not put together yet")
