"""Clusters of items as files, for estimators that weigh clusters: a row for each item.

item,cluster
12,shirts
"""

from pathlib import Path

import numpy as np

from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.item_genres import GENRE
from matinee_policies.arrays import Int64Array
from matinee_policies.datasets.table_columns import id_column
from matinee_policies.datasets.table_file import open_tables, read_columns, require_columns
from matinee_policies.errors import ConfigError, DataError

ITEM, CLUSTER = "item", "cluster"


def read_clusters(path: Path | str, log: ActionLog) -> Int64Array:
    """The cluster of each item of a log.

    Args:
        path: CSV or Parquet with columns item and cluster; items that the log does not name are
            left aside.
        log: whose items must all be there.

    Returns:
        Numbers of clusters, `int64 [K]`.

    Raises:
        ConfigError: on the clusters of runs and services.
        DataError: naming the item that has no row, or two.
    """
    if str(path) == GENRE and not Path(path).exists():
        raise ConfigError(
            f"clusters of a log of others are a table of {ITEM} and {CLUSTER} (--clusters FILE), "
            f"got {GENRE!r}, which the catalogue of runs and services has"
        )
    (file,) = open_tables(Path(path))
    wanted = {name: name for name in (ITEM, CLUSTER)}
    require_columns(file, wanted)
    columns = read_columns(file, dict.fromkeys(wanted))
    items = id_column([(file, columns[ITEM])], ITEM)
    clusters = id_column([(file, columns[CLUSTER])], CLUSTER)
    twice = np.flatnonzero(np.bincount(items.rows, minlength=len(items.labels)) > 1)
    if twice.size:
        label = items.labels[int(twice[0])]
        raise DataError(file.path, rule="each item must have one cluster", value=label)
    of_label = {
        items.labels[item]: cluster
        for item, cluster in zip(items.rows.tolist(), clusters.rows.tolist(), strict=True)
    }
    for item in log.items:
        if item not in of_label:
            raise DataError(file.path, rule="each item of the log must have a cluster", value=item)
    return np.array([of_label[item] for item in log.items], dtype=np.int64)
