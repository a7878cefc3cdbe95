"""Make the first state of an arm that starts warm, or say why it cannot be made.

Nothing is repaired: a donor over other features or another catalogue is refused, since its
coefficients would speak of other numbers. The state is kept with the run, so that neither a replay
nor a resumed run needs the donor.
"""

from pathlib import Path

import numpy as np

from matinee_platform.json_file import read_json
from matinee_platform.learn_from_log import learn_from_log
from matinee_platform.settings import ArmSettings, RewardSettings, WarmStartSettings
from matinee_policies.errors import ConfigError, DataError, MatineeError, SnapshotError
from matinee_policies.features import FEATURE_NAMES, FEATURE_VERSION, ItemFeatures
from matinee_policies.policy import Policy
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_origin import with_origin
from matinee_policies.snapshot_signature import SigningKeys
from matinee_policies.warm_start import inherit, with_prior_mean

_SCORE = FEATURE_NAMES.index("score")


def first_snapshot(
    arm: ArmSettings, policy: Policy, *, items: ItemFeatures, rewards: RewardSettings
) -> Snapshot | None:
    """The state that an arm starts from, with a note of its origin; None if it starts cold.

    Args:
        arm: settings of the arm.
        policy: new, as the settings make it; not used any further.
        items: item features that the arm will see.
        rewards: components and weights in which the arm values; outcomes of a log are taken so.

    Raises:
        ConfigError: naming the arm, and the rule that its donor breaks.
    """
    wanted = arm.warm_start
    if wanted is None:
        return None
    try:
        snapshot = _made(wanted, policy, items=items, rewards=rewards)
        # What cannot be restored must be found out before the run.
        restored = restore_policy(snapshot, kind=arm.policy["kind"], config=arm.policy)
        if restored.config != policy.config:
            raise SnapshotError(f"its settings must be {policy.config}, got {restored.config}")
    except MatineeError as error:
        raise ConfigError(f"arms.{arm.name}.warm_start: {error}") from None
    return snapshot


def versions_of_run(run: Path) -> tuple[int, str]:
    """Version of the features and of the item features of a run.

    Raises:
        DataError: if the folder holds no model, or one of another feature version.
    """
    return FEATURE_VERSION, ItemFeatures.load(run / "model" / "item_features.npz").version


def _made(
    wanted: WarmStartSettings, policy: Policy, *, items: ItemFeatures, rewards: RewardSettings
) -> Snapshot:
    if wanted.snapshot is not None:
        path = Path(wanted.snapshot)
        donor = Snapshot.load(path, keys=SigningKeys.configured())
        check_versions(versions_of_snapshot(donor, path), items.version, what=f"snapshot {path}")
        made = inherit(policy, donor, discount=wanted.discount)
        return with_origin(
            made,
            {
                "kind": "snapshot",
                "content_hash": donor.content_hash,
                "discount": wanted.discount,
            },
        )
    if wanted.log is not None:
        return _from_log(wanted, policy, items=items, rewards=rewards)
    if wanted.mf_prior is None:
        raise ConfigError("warm_start must say what from")
    mean = np.zeros(len(FEATURE_NAMES))
    mean[_SCORE] = wanted.mf_prior.weight
    made = with_prior_mean(policy, mean, strength=wanted.mf_prior.strength)
    return with_origin(made, {"kind": "mf_prior", **wanted.mf_prior.model_dump(mode="json")})


def _from_log(
    wanted: WarmStartSettings, policy: Policy, *, items: ItemFeatures, rewards: RewardSettings
) -> Snapshot:
    folder, arm = wanted.run_and_arm()
    run = Path(folder)
    if not policy.learns:
        raise ConfigError(f"{policy.name} learns nothing, so it has nothing to start from")
    if not (run / "results.json").is_file():
        raise DataError(run, rule="must hold a finished run")
    logged = read_json(run / "results.json").get("arm_runs", {})
    if arm not in logged:
        raise ConfigError(f"log must name an arm of {run}: {', '.join(sorted(logged))}, got {arm}")
    check_versions(versions_of_run(run), items.version, what=f"log {run}")
    taught = restore_policy(policy.snapshot())
    learned = learn_from_log(
        taught, run, arm, estimator=wanted.estimator, clip=wanted.clip, rewards=rewards
    )
    return with_origin(
        # Days of that run mean nothing in this one.
        inherit(policy, taught.snapshot()),
        {
            "kind": "log",
            "log_hash": logged[arm]["log_hash"],
            "estimator": learned.estimator,
            "clip": learned.clip,
            "impressions": learned.impressions,
            "effective": learned.effective,
        },
    )


def versions_of_snapshot(donor: Snapshot, path: Path) -> tuple[int | None, str | None]:
    """Versions of features and catalogue that a snapshot is over.

    A snapshot may note them in its manifest; else those of the run that it lies in are meant.

    Raises:
        SnapshotError: if neither says.
    """
    noted = donor.manifest.get("feature_version"), donor.manifest.get("catalogue_version")
    if None not in noted:
        return noted
    run = path.absolute().parent.parent.parent
    try:
        return versions_of_run(run)
    except DataError as error:
        raise SnapshotError(
            f"snapshot {path} must lie in the run that made it (RUN/snapshots/ARM/VVVVV.npz), "
            f"for the versions of its features and catalogue are noted there: {error}"
        ) from None


def check_versions(found: tuple[int | None, str | None], version: str, *, what: str) -> None:
    """Refuse what is over other features, or another catalogue.

    Args:
        found: versions of the features and of the item features.
        version: of the item features that there must be.
        what: to name in the error.

    Raises:
        SnapshotError: naming both.
    """
    features, catalogue = found
    if features != FEATURE_VERSION:
        raise SnapshotError(f"{what} must be of feature version {FEATURE_VERSION}, got {features}")
    if catalogue != version:
        raise SnapshotError(
            f"{what} must be over catalogue version {version} (same data, sources and seed), "
            f"got {catalogue}"
        )
