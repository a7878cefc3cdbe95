"""Re-score a logged run from its files: catalogue, snapshots and log, and nothing else.

Invariant: the propensity of every logged slot, computed anew from the snapshot that chose it, is
the logged one, bit for bit. The neighbouring snapshot must differ somewhere, or the check would
pass for a policy that never learned.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from matinee_platform.decision_log import read_parts, rehash
from matinee_platform.engine import catalogue_number
from matinee_platform.json_file import read_json
from matinee_platform.log_schema import matrix
from matinee_platform.logged_contexts import logged_contexts
from matinee_platform.logged_slates import slate_positions
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.errors import DataError
from matinee_policies.features import FEATURE_VERSION
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys


@dataclass(slots=True)
class ArmCheck:
    """What re-scoring one arm found.

    Attributes:
        arm: name.
        decisions: rows of the log.
        complete: whether the log is the one that the results speak of: as many decisions, the same
            content hash, and the versions of features and catalogue that are here.
        slots: logged slots re-scored.
        unequal: slots whose ratio of propensities is not exactly 1.
        neighbour_unequal: slots that differ under the next snapshot, or the one before the last.
        snapshots: versions used.
        features_compared: decisions whose full features were logged.
        features_unequal: of these, decisions whose recomputed features differ in any bit.
    """

    arm: str
    decisions: int = 0
    complete: bool = False
    slots: int = 0
    unequal: int = 0
    neighbour_unequal: int = 0
    snapshots: int = 0
    features_compared: int = 0
    features_unequal: int = 0

    @property
    def passed(self) -> bool:
        """Whether every ratio is 1, and a neighbouring snapshot, if there is one, differs."""
        told_apart = self.snapshots < 2 or self.neighbour_unequal > 0
        equal = self.unequal == 0 and self.features_unequal == 0
        return self.complete and equal and told_apart


class ArmSnapshots:
    """Policies of one arm, restored from disk by version as needed.

    Args:
        folder: of the arm's snapshots.
        config: the policy's settings, `kind` among them, as the run's settings have them.

    Attributes:
        last: newest version; -1 if there is none.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self._folder = folder
        self._config = config
        self._policies: dict[int, Policy] = {}
        self.last = max((int(path.stem) for path in folder.glob("*.npz")), default=-1)

    def policy(self, version: int) -> Policy:
        """The policy of a version.

        Raises:
            SnapshotError: it is missing, damaged or of another kind than the settings say.
        """
        if version not in self._policies:
            if len(self._policies) > 4:
                self._policies.clear()
            path = self._folder / f"{version:05d}.npz"
            snapshot = Snapshot.load(path, keys=SigningKeys.configured())
            self._policies[version] = restore_policy(
                snapshot, kind=self._config["kind"], config=self._config
            )
        return self._policies[version]


def check_run(run: Path) -> list[ArmCheck]:
    """Check every arm of a finished run, from its folder alone.

    Raises:
        MatineeError: if the folder holds no finished run, or a file of it is damaged.
    """
    runs = _arm_runs(run)
    days = int(read_json(run / "settings.json")["days"])
    model = load_serving_model(run / "model")
    checks = []
    for arm, wanted in runs.items():
        check = check_arm(run, arm, model)
        check.decisions, digest = rehash(run, arm, days=days)
        check.complete &= (check.decisions, digest) == (wanted["pages"], wanted["log_hash"])
        checks.append(check)
    return checks


def _arm_runs(run: Path) -> dict[str, dict[str, Any]]:
    path = run / "results.json"
    if not path.is_file():
        raise DataError(path, rule="must exist; the folder holds no finished run")
    results = read_json(path)
    try:
        return {str(arm): dict(wanted) for arm, wanted in results["arm_runs"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise DataError(path, rule="must hold the log hash of each arm") from None


def check_arm(run: Path, arm: str, model: ServingModel) -> ArmCheck:
    """Re-score the whole log of one arm.

    Args:
        run: folder of the run.
        arm: name of the arm.
        model: as loaded from the run's folder.

    Raises:
        DataError: if the log cannot be read or names candidates it does not hold.
    """
    check = ArmCheck(arm, complete=True)
    snapshots = ArmSnapshots(run / "snapshots" / arm, policy_in_settings(run, arm))
    versions: set[int] = set()
    sample = _feature_sample(run, arm)
    for table in read_parts(run, "decisions", arm):
        contexts = logged_contexts(table, model.contexts(arm))
        check.complete &= _same_versions(table, model)
        slates, logged = matrix(table["slate"]), matrix(table["propensities"])
        positions = slate_positions(contexts.candidates, slates, run / "decisions" / arm)
        version_of_row = table["snapshot"].to_numpy()
        for version in np.unique(version_of_row):
            rows = np.flatnonzero(version_of_row == version)
            part = contexts.rows(rows)
            neighbour = version + 1 if version < snapshots.last else version - 1
            check.slots += int((positions[rows] != PAD).sum())
            check.unequal += _unequal(snapshots, version, part, positions[rows], logged[rows])
            if neighbour >= 0:
                check.neighbour_unequal += _unequal(
                    snapshots, neighbour, part, positions[rows], logged[rows]
                )
            versions.add(int(version))
        _compare_features(check, table["decision_id"].to_numpy(), contexts, sample)
    check.snapshots = len(versions)
    return check


def policy_in_settings(run: Path, arm: str) -> dict[str, Any]:
    """The arm's policy in the settings of the run; classes of the user's own are there by name.

    It decides which modules are imported, so verify only runs whose settings you trust.
    """
    path = run / "settings.json"
    try:
        arms = json.loads(path.read_text(encoding="utf-8"))["arms"]
        policies = {str(one["name"]): one["policy"] for one in arms}
        return {**policies[arm], "kind": str(policies[arm]["kind"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(path, rule=f"must hold the settings of the run ({error!r})") from None


def _same_versions(table: pa.Table, model: ServingModel) -> bool:
    features = table["feature_version"].to_numpy()
    catalogue = table["catalogue_version"].to_numpy()
    wanted = catalogue_number(model.items)
    return bool((features == FEATURE_VERSION).all() and (catalogue == wanted).all())


def _unequal(
    snapshots: ArmSnapshots,
    version: int,
    contexts: ContextBatch,
    positions: IndexArray,
    logged: FloatArray,
) -> int:
    again = snapshots.policy(version).propensities(contexts, positions)
    return int((again != logged).sum())


def _feature_sample(run: Path, arm: str) -> dict[int, AnyArray]:
    return {
        int(decision): features
        for table in read_parts(run, "features", arm)
        for decision, features in zip(
            table["decision_id"].to_numpy(), matrix(table["features"]), strict=True
        )
    }


def _compare_features(
    check: ArmCheck, ids: AnyArray, contexts: ContextBatch, sample: dict[int, AnyArray]
) -> None:
    for row, decision in enumerate(ids.tolist()):
        if decision in sample:
            check.features_compared += 1
            recomputed = contexts.features[row].reshape(-1)
            check.features_unequal += recomputed.tobytes() != sample[decision].tobytes()
