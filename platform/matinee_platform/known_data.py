"""Data sets that can be fetched by name, and the folder of a user's own that keeps them.

MATINEE_HOME/data/NAME      else XDG_DATA_HOME/matinee/data/NAME, else ~/.local/share/matinee/...
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from matinee_policies.errors import ConfigError

PUBLISHER = "https://files.grouplens.org/datasets/movielens/"
"""Where GroupLens publishes the MovieLens files."""

DEFAULT_NAME = "ml-latest-small"

_TERMS = (
    "GroupLens terms: research use, no commercial use or redistribution without their permission, "
    "cite Harper and Konstan 2015"
)
_FILES = ("README.txt", "movies.csv", "ratings.csv", "tags.csv", "links.csv")
_MEGABYTE = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownData:
    """A data set of a publisher.

    Attributes:
        name: of the set, its folder and its zip file.
        aliases: other names a person may type.
        summary: what it holds, in a few words.
        zip_limit: largest accepted zip file, bytes.
        unpacked_limit: largest accepted content, bytes.
        files: files that are kept.
        ignored: files of the zip that are not.
        sha256: of the content of files that the publisher no longer changes.
        terms: terms of use in one line.
    """

    name: str
    aliases: tuple[str, ...]
    summary: str
    zip_limit: int
    unpacked_limit: int
    files: tuple[str, ...] = _FILES
    ignored: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    terms: str = _TERMS


KNOWN_DATA = (
    KnownData(
        name="ml-latest-small",
        aliases=("latest-small", "small", "movielens", "movielens-latest-small"),
        summary="MovieLens latest-small of 2018: 610 users, 9,742 films, 100,836 ratings",
        zip_limit=10 * _MEGABYTE,
        unpacked_limit=50 * _MEGABYTE,
        sha256={
            "ratings.csv": "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646",
            "movies.csv": "5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07",
        },
    ),
    KnownData(
        name="ml-25m",
        aliases=("25m", "movielens-25m"),
        summary="MovieLens 25M of 2019: 162,541 users, 62,423 films, 25,000,095 ratings",
        zip_limit=400 * _MEGABYTE,
        unpacked_limit=2_000 * _MEGABYTE,
        ignored=("genome-scores.csv", "genome-tags.csv"),
    ),
    KnownData(
        name="ml-32m",
        aliases=("32m", "movielens-32m"),
        summary="MovieLens 32M of 2023: 200,948 users, 87,585 films, 32,000,204 ratings",
        zip_limit=400 * _MEGABYTE,
        unpacked_limit=2_000 * _MEGABYTE,
        ignored=("checksums.txt",),
    ),
)


def known_data(name: str) -> KnownData:
    """The set called `name`, in any case.

    Raises:
        ConfigError: there is none.
    """
    for known in KNOWN_DATA:
        if name.lower() in (known.name, *known.aliases):
            return known
    names = ", ".join(known.name for known in KNOWN_DATA)
    raise ConfigError(f"data set must be one of {names}, got {name!r}")


def data_home(environment: Mapping[str, str] | None = None) -> Path:
    """Folder that keeps fetched data.

    Args:
        environment: variables; default those of the process.

    Example:
        >>> data_home({"MATINEE_HOME": "/srv/matinee"}).as_posix()
        '/srv/matinee/data'
    """
    variables = os.environ if environment is None else environment
    if variables.get("MATINEE_HOME"):
        return Path(variables["MATINEE_HOME"]).expanduser() / "data"
    # Its specification says that a relative path is to be ignored.
    shared = variables.get("XDG_DATA_HOME", "")
    base = Path(shared) if Path(shared).is_absolute() else Path.home() / ".local" / "share"
    return base / "matinee" / "data"


def is_present(folder: Path) -> bool:
    """Whether a folder holds a fetched set; it appears by a rename, so it is there as a whole."""
    return (folder / "movies.csv").is_file() and (folder / "ratings.csv").is_file()
