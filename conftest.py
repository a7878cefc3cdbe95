"""Keep the standard library's `platform` while modules of the folder `platform/` are collected.

pytest's importlib mode names those modules after their folders (`platform.matinee_platform...`) and
puts a package in the place of a parent that is none; whatever imports `platform` afterwards then
finds no `system()` there. A module with a path is taken for a package, and stays.
"""

import platform
from pathlib import Path

platform.__path__ = [str(Path(__file__).parent / "platform")]
