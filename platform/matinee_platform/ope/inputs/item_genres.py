"""Clusters of a catalogue's items by genre, for estimators that weigh clusters."""

from dataclasses import replace

import numpy as np

from matinee_platform.ope.inputs.policy_log import PolicyLog
from matinee_policies.arrays import Int64Array
from matinee_policies.errors import ConfigError
from matinee_policies.features import ItemFeatures

GENRE = "genre"


def main_genres(items: ItemFeatures) -> Int64Array:
    """Genre that weighs most of each item, those without any together, `int64 [M]`."""
    genres = np.asarray(items.genres)
    found: Int64Array = genres.argmax(axis=1).astype(np.int64)
    found[~(genres > 0).any(axis=1)] = genres.shape[1]
    return found


def clustered(log: PolicyLog, clusters: str | None) -> PolicyLog:
    """A log whose items have clusters.

    Args:
        log: of an arm.
        clusters: `"genre"`, or None for none.

    Raises:
        ConfigError: on anything else, or if the log has no catalogue.
    """
    if clusters is None:
        return log
    if clusters != GENRE:
        raise ConfigError(
            f"clusters of runs and services must be {GENRE!r}, that of the catalogue, got "
            f"{clusters!r}; files are for logs of others"
        )
    if log.genres is None:
        raise ConfigError(f"clusters by genre need a catalogue; callers of {log.name} name items")
    return replace(log, clusters=log.genres)
