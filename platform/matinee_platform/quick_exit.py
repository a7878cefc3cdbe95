"""End a process that has closed what it opened, without taking Python apart piece by piece.

The interpreter frees every object, module and compiled kernel before it ends: a second or two in
which a service that has nothing left to do keeps whoever waits for it.
"""

import logging
import os
import sys
from typing import NoReturn


def quick_exit(status: int) -> NoReturn:
    """End now, once lines are written; nothing that is registered for the exit is called.

    Args:
        status: of the process.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any more.
            status = status or 1
    os._exit(status)
