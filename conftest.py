"""What holds for every test, before the first is collected.

`platform`: pytest's importlib mode names the modules of the folder `platform/` after their folders
(`platform.matinee_platform...`) and puts a package in the place of a parent that is none; whatever
imports the standard library's `platform` afterwards then finds no `system()` there. A module with a
path is taken for a package, and stays.

Interrupts: a shell starts what runs in the background with Ctrl-C ignored, and children inherit
that. Tests interrupt themselves and their children.
"""

import platform
import signal
from pathlib import Path

platform.__path__ = [str(Path(__file__).parent / "platform")]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
