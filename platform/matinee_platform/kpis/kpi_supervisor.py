"""The supervisor of the process that makes key figures; it is started some time after the service.

Nothing here loads what that process needs.
"""

import sys

from matinee_platform.kpis.kpi_status import STATUS_FILE, read_status
from matinee_platform.learning.supervisor import Patience, Supervisor
from matinee_platform.service.settings import ServiceSettings

COMMAND = (sys.executable, "-m", "matinee_platform.kpis.kpi_process")
"""The process, told by its standard input what service it works for."""


def kpi_supervisor(settings: ServiceSettings) -> Supervisor:
    """A supervisor of the process of a service, not started yet."""
    path = settings.data_dir / STATUS_FILE
    every = settings.kpi_every_seconds

    def last_beat(process: int) -> int | None:
        status = read_status(path)
        return None if status is None or status.process != process else status.beats

    return Supervisor(
        settings.model_dump_json(),
        last_beat=last_beat,
        command=COMMAND,
        # Between looks it gives no beat; a range of a log on a slow machine takes a while.
        patience=Patience(start_after=every, heart_stopped=300.0 + 2.0 * every),
        name="process of the key figures",
    )
