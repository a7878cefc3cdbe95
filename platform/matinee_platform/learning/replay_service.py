"""Replay the arms of a service from its data, whether or not it is running."""

from collections.abc import Iterator, Sequence

from matinee_platform.clock import SystemClock
from matinee_platform.learning.replay_arm import LiveReplay, replay_live_arm
from matinee_platform.learning.service_arms import ServiceStores, open_stores
from matinee_platform.offline.child_processes import one_blas_thread
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.errors import BundleError
from matinee_policies.errors import ConfigError, ContextError, DataError, SnapshotError

_OF_THE_ARM = (BundleError, ConfigError, ContextError, DataError, SnapshotError)


def replay_service(settings: ServiceSettings, arms: Sequence[str] = ()) -> Iterator[LiveReplay]:
    """Replay arm by arm, each from its last genesis to the end of the log.

    The bundles name the classes of the user's own that are imported; they must be signed with the
    service's key.

    Args:
        settings: of the service.
        arms: to replay, as `EXPERIMENT/ARM` or `ARM`; all if none is given.

    Yields:
        What was found of each arm. One whose bundle, policy or rows are bad fails for itself, with
        the reason; the others are replayed.

    Raises:
        MatineeError: if there is no such arm, or the databases of the service cannot be read.
    """
    with open_stores(settings, clock=SystemClock(), to_read=True) as stores, one_blas_thread():
        yield from _replayed(stores, arms)


def _replayed(stores: ServiceStores, arms: Sequence[str]) -> Iterator[LiveReplay]:
    pairs = [(experiment, arm) for experiment in stores.experiments() for arm in experiment.arms]
    known = [f"{experiment.key}/{arm.name}" for experiment, arm in pairs]
    for wanted in arms:
        if not any(wanted in (label, label.partition("/")[2]) for label in known):
            raise ConfigError(f"arm must be one of {', '.join(known)}, got {wanted!r}")
    # One end for all arms: rows that come in the meantime are for the next replay.
    end = stores.reader.last_seq()
    for (experiment, arm), label in zip(pairs, known, strict=True):
        if not arms or label in arms or arm.name in arms:
            try:
                found = replay_live_arm(
                    stores.arm(experiment, arm),
                    reader=stores.reader,
                    barriers=stores.barriers,
                    snapshots=stores.snapshots,
                    upto=end,
                )
            except _OF_THE_ARM as error:
                found = LiveReplay(experiment.key, arm.name, failure=str(error))
            yield found
