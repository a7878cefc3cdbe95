"""Find a decision in the log of a service and explain it, whether or not the service is running."""

from collections.abc import Sequence

from matinee_platform.clock import SystemClock
from matinee_platform.experiments.definition import HOLDOUT_ARM
from matinee_platform.learning.explain_live import LiveExplanation, arm_that_logged, explain_live
from matinee_platform.learning.service_arms import ServiceStores, learning_arm, open_stores
from matinee_platform.offline.child_processes import one_blas_thread
from matinee_platform.service.decision_names import decision_number
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.records import LoggedDecision, ServedBy
from matinee_policies.errors import ConfigError
from matinee_policies.snapshot import Snapshot

_ROWS_AT_ONCE = 1_000


def explain_service(
    settings: ServiceSettings, decision_id: str | None, *, arms: Sequence[str] = ()
) -> LiveExplanation:
    """Explain one decision of a service, by the snapshot that chose it.

    The bundle names the classes of the user's own that are imported; it must be signed with the
    service's key.

    Args:
        settings: of the service.
        decision_id: as the caller wrote it, or 16 hex digits; None for the one logged last.
        arms: where to look, as `EXPERIMENT/ARM` or `ARM`; everywhere if none is given.

    Raises:
        ConfigError: there is no such decision.
        MatineeError: its bundle or snapshot cannot be read.
    """
    with open_stores(settings, clock=SystemClock(), to_read=True) as stores, one_blas_thread():
        logged = _last(stores, arms) if decision_id is None else _named(stores, decision_id, arms)
        return _explained(stores, logged)


def _named(stores: ServiceStores, text: str, arms: Sequence[str]) -> LoggedDecision:
    logged = stores.reader.decision(decision_number(text, key=stores.secrets.decision_ids))
    if logged is None or not _is_of(logged, arms):
        where = f" of {', '.join(arms)}" if arms else ""
        raise ConfigError(f"decision id must be one of the log{where}, got {text!r}")
    return logged


def _last(stores: ServiceStores, arms: Sequence[str]) -> LoggedDecision:
    upto = stores.reader.last_seq()
    while upto > 0:
        after = max(upto - _ROWS_AT_ONCE, 0)
        for logged in reversed(stores.reader.decisions(after=after, upto=upto)):
            if _is_of(logged, arms):
                return logged
        upto = after
    raise ConfigError(f"the log must hold a decision of {', '.join(arms) or 'any arm'}, got none")


def _is_of(logged: LoggedDecision, arms: Sequence[str]) -> bool:
    record = logged.record
    return not arms or record.arm in arms or f"{record.experiment}/{record.arm}" in arms


def _explained(stores: ServiceStores, logged: LoggedDecision) -> LiveExplanation:
    record = logged.record
    experiment = stores.control.experiment(record.experiment).definition
    live = arm_that_logged(experiment, record.arm)
    bundle = stores.bundle(live)
    arm = learning_arm(
        experiment,
        live,
        bundle=bundle,
        secret=experiment.draws(record.arm, own=stores.secrets.draws),
    )
    state: Snapshot = arm.genesis
    chose = record.served_by is ServedBy.POLICY and record.arm != HOLDOUT_ARM
    if chose and record.snapshot > 0:
        state = stores.snapshots.load(record.experiment, record.arm, record.snapshot)
    return explain_live(
        logged, arm=arm, policy=arm.restored(state), bundle=bundle, items=stores.reader.items
    )
