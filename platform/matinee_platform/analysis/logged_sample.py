"""A sample of an arm's logged decisions, with what its policy saw, for re-scoring by others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_log import read_parts
from matinee_platform.log_rows import unpack_state
from matinee_platform.log_schema import matrix
from matinee_platform.logged_contexts import logged_contexts
from matinee_platform.logged_slates import slate_positions
from matinee_policies.arrays import AnyArray, FloatArray, IndexArray, UInt64Array
from matinee_policies.config import check_whole
from matinee_policies.errors import DataError
from matinee_policies.features import UnitStateBatch
from matinee_policies.policy import Policy
from matinee_policies.records import ContextBatch
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys


@dataclass(frozen=True, slots=True)
class LoggedSample:
    """Decisions drawn evenly from the whole log of one arm, `n` of them.

    Attributes:
        arm: name of the arm.
        logged: decisions in its whole log.
        ids: decision ids, `uint64 [n]`.
        unit: pseudonyms, `uint64 [n]`.
        day: `int16 [n]`.
        page: page within the session, `int16 [n]`.
        state: of the units, as seen.
        contexts: what the policy saw.
        positions: the slate by position among the candidates, `int32 [n, L]`.
        propensities: as logged, `float64 [n, L]`.
    """

    arm: str
    logged: int
    ids: UInt64Array
    unit: UInt64Array
    day: AnyArray
    page: AnyArray
    state: UnitStateBatch
    contexts: ContextBatch
    positions: IndexArray
    propensities: FloatArray

    def __len__(self) -> int:
        return int(self.ids.size)


def read_sample(run: Path, arm: str, *, contexts: ContextBuilder, size: int) -> LoggedSample | None:
    """Draw decisions by their ids, which are hashes; None if the arm logged nothing.

    Args:
        run: folder of the run.
        arm: name of the arm.
        contexts: of this arm.
        size: decisions wanted, about so many are drawn and never more, at least 1.

    Raises:
        ConfigError: on a size below 1.
        DataError: if the log cannot be read, or holds another number of candidates per row.
    """
    check_whole("size of a sample", size, low=1)
    ids = [table["decision_id"].to_numpy() for table in _ids(run, arm)]
    logged = sum(part.size for part in ids)
    if not logged:
        return None
    # A tenth of head-room: the number of ids in a residue class varies about its mean.
    step = np.uint64(max(1, -(-11 * logged // (10 * size)))) if logged > size else np.uint64(1)
    parts, room = [], size
    for rows, part in zip(read_parts(run, "decisions", arm), ids, strict=True):
        chosen = np.flatnonzero(part % step == 0)[:room]
        room -= chosen.size
        if chosen.size:
            parts.append(rows.take(chosen))
    if not parts:
        return None
    rows = pa.concat_tables(parts).combine_chunks()
    seen = logged_contexts(rows, contexts)
    return LoggedSample(
        arm=arm,
        logged=logged,
        ids=rows["decision_id"].to_numpy(),
        unit=rows["unit"].to_numpy(),
        day=rows["day"].to_numpy(),
        page=rows["page"].to_numpy(),
        state=unpack_state(matrix(rows["unit_state"]), rows["last_watched"].to_numpy()),
        contexts=seen,
        positions=slate_positions(seen.candidates, matrix(rows["slate"]), run / "decisions" / arm),
        propensities=np.ascontiguousarray(matrix(rows["propensities"])),
    )


def last_policy(run: Path, arm: str, *, config: Mapping[str, Any] | None = None) -> Policy:
    """The policy as one arm's last snapshot on disk left it.

    Args:
        run: folder of the run.
        arm: name of the arm.
        config: its policy by the settings, which names classes of the user's own.

    Raises:
        DataError: if there is no snapshot.
        SnapshotError: if it cannot be restored.
    """
    folder = run / "snapshots" / arm
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise DataError(folder, rule="must hold the snapshots of an arm")
    return restore_policy(
        Snapshot.load(paths[-1], keys=SigningKeys.configured()),
        kind=None if config is None else config["kind"],
        config=config,
    )


def _ids(run: Path, arm: str) -> "list[pa.Table]":
    return list(read_parts(run, "decisions", arm, ["decision_id"]))
