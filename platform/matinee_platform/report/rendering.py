"""What all pages share: the template engine, the colours of dark screens, and writing whole files.

Every text is escaped by the engine or by `svg.py`: titles and names come from users' data.
"""

import os
import tempfile
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from matinee_platform.report.formats import number, percent, small

DARK = {
    "#000000": "#ffffff",
    "#0072B2": "#4c9be8",
    "#D55E00": "#ff8a3d",
    "#009E73": "#2fcb9d",
    "#CC79A7": "#e79fc8",
    "#E69F00": "#f5bd41",
    "#56B4E9": "#9ad7ff",
}
"""Colours of `arm_look` on dark screens."""


@cache
def environment() -> Environment:
    """The template engine with the formats of pages, which compiles a template once a process."""
    made = Environment(
        loader=PackageLoader("matinee_platform.report", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, percent=percent, small=small)
    return made


def write_whole(path: Path, text: str) -> None:
    """Write a page that appears whole or not at all, in place of an older one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
