"""The rules by which experiments are created, started, ramped and stopped: pure functions.

    created --start--> running --stop--> stopped --start, with another salt--> running
                       running --ramp, to more coverage--> running

Arms, weights, layer and slice are for ever: whoever wants others creates another experiment. So
nobody changes arm while an experiment runs, and no two running experiments share a unit of a layer.
A salt belongs to one start of one experiment: a second use would bring back an old assignment.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from pydantic import ValidationError

from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.errors import LifecycleError, StaleVersionError
from matinee_policies.config import check_range


class State(StrEnum):
    """Where an experiment is in its life."""

    CREATED = "created"
    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredExperiment:
    """An experiment as it stands now.

    Attributes:
        definition: with the salt and the coverage of now.
        state: where it is in its life.
        version: rises by one with each change, from 1.
        created_at: UTC milliseconds.
        changed_at: UTC milliseconds of the last change.
        started_at: UTC milliseconds of the last start, None before any; of simulated users, by
            their own time. A start with a new salt is a new experiment for whoever compares arms:
            what was decided before does not count.
        started_seq: last place of the log at the last start: what counts lies after it, whatever
            the clocks said. None before any start, or if a former version made it.
    """

    definition: LiveExperiment
    state: State
    version: int
    created_at: int
    changed_at: int
    started_at: int | None = None
    started_seq: int | None = None


def create(
    definition: LiveExperiment, *, exists: bool, salts: Mapping[str, str], now_ms: int
) -> StoredExperiment:
    """A new experiment that does not run yet.

    Args:
        definition: what it is.
        exists: whether its key is taken.
        salts: key of the experiment that used a salt, by salt.
        now_ms: UTC milliseconds.

    Raises:
        LifecycleError: the key or the salt was used before.
    """
    if exists:
        raise LifecycleError(f"key must be new, got {definition.key!r}, which is there already")
    _check_salt(definition.salt, salts)
    return StoredExperiment(
        definition=definition, state=State.CREATED, version=1, created_at=now_ms, changed_at=now_ms
    )


def start(
    experiment: StoredExperiment,
    *,
    running: Iterable[LiveExperiment],
    salts: Mapping[str, str],
    salt: str | None = None,
    coverage: float | None = None,
    now_ms: int,
    last_seq: int | None = None,
) -> StoredExperiment:
    """Let units in, for the first time or anew.

    Args:
        experiment: as it stands.
        running: experiments that run.
        salts: key of the experiment that used a salt, by salt.
        salt: a new one; must be given for an experiment that ran before.
        coverage: share of the units to begin with; the definition's if not given.
        now_ms: UTC milliseconds.
        last_seq: last place of the log; None if there is none at hand.

    Raises:
        LifecycleError: it runs, its salt was used, its slice overlaps that of another, or its
            simulated users have lived already.
        ConfigError: coverage out of its range.
    """
    definition = experiment.definition
    if experiment.state is State.RUNNING:
        raise _wrong_state(experiment, "started", wanted="created or stopped")
    if experiment.state is State.STOPPED and salt is None:
        raise LifecycleError(
            f"experiment {definition.key!r} ran before with salt {definition.salt!r}: "
            "it must get a new salt to start again, got none"
        )
    simulated = definition.simulated
    if simulated is not None and experiment.started_at is not None:
        raise LifecycleError(
            f"experiment {definition.key!r} is simulated and has run: its users would live their "
            "first day twice; create another one"
        )
    if salt is not None:
        _check_salt(salt, salts)
    started = _changed(definition, salt=salt, coverage=coverage)
    _check_slices(started, running)
    return replace(
        experiment,
        definition=started,
        state=State.RUNNING,
        version=experiment.version + 1,
        changed_at=now_ms,
        started_at=now_ms if simulated is None else simulated.start_ms,
        started_seq=last_seq,
    )


def ramp(experiment: StoredExperiment, *, coverage: float, now_ms: int) -> StoredExperiment:
    """Let more units in; those inside keep their arm.

    Raises:
        LifecycleError: it does not run, or coverage would not grow.
        ConfigError: coverage out of its range.
    """
    if experiment.state is not State.RUNNING:
        raise _wrong_state(experiment, "ramped", wanted="running")
    definition = _changed(experiment.definition, coverage=coverage)
    before = experiment.definition.coverage
    if coverage <= before:
        raise LifecycleError(
            f"coverage must grow while {definition.key!r} runs: above {before:g}, got {coverage:g}"
        )
    return replace(
        experiment, definition=definition, version=experiment.version + 1, changed_at=now_ms
    )


def stop(experiment: StoredExperiment, *, now_ms: int) -> StoredExperiment:
    """Let no unit in any more; its slice of the layer is free again.

    Raises:
        LifecycleError: it does not run.
    """
    if experiment.state is not State.RUNNING:
        raise _wrong_state(experiment, "stopped", wanted="running")
    return replace(
        experiment, state=State.STOPPED, version=experiment.version + 1, changed_at=now_ms
    )


def expect_version(experiment: StoredExperiment, version: int | None) -> None:
    """Refuse a change that was made for another version; None takes any.

    Raises:
        StaleVersionError: with both versions.
    """
    if version is not None and version != experiment.version:
        raise StaleVersionError(
            f"experiment {experiment.definition.key!r} must be changed in version "
            f"{experiment.version}, got {version}: read it again"
        )


def same_but_for_its_life(first: LiveExperiment, second: LiveExperiment) -> bool:
    """Whether two definitions differ at most in what starting and ramping change.

    Example:
        >>> arms = [{"name": "a", "bundle": "a"}]
        >>> old = LiveExperiment.model_validate({"key": "home", "salt": "1", "arms": arms})
        >>> same_but_for_its_life(old, old.model_copy(update={"salt": "2", "coverage": 0.5}))
        True
        >>> same_but_for_its_life(old, old.model_copy(update={"slots": 5}))
        False
    """
    return first == second.model_copy(update={"salt": first.salt, "coverage": first.coverage})


def _changed(
    definition: LiveExperiment, *, salt: str | None = None, coverage: float | None = None
) -> LiveExperiment:
    """The definition with another salt or coverage, checked as a whole again."""
    values = definition.model_dump()
    if salt is not None:
        values["salt"] = salt
    if coverage is not None:
        check_range("coverage", coverage, low=0, high=1)
        values["coverage"] = coverage
    try:
        return LiveExperiment.model_validate(values)
    except ValidationError as error:
        what = error.errors()[0]
        raise LifecycleError(
            f"{'.'.join(map(str, what['loc']))}: {what['msg']}, got {what['input']!r}"
        ) from None


def _check_salt(salt: str, salts: Mapping[str, str]) -> None:
    owner = salts.get(salt)
    if owner is not None:
        raise LifecycleError(f"salt must be new, got {salt!r}, which experiment {owner!r} used")


def _check_slices(definition: LiveExperiment, running: Iterable[LiveExperiment]) -> None:
    low, high = definition.layer_slice
    for other in running:
        first, last = other.layer_slice
        if other.layer == definition.layer and low < last and first < high:
            raise LifecycleError(
                f"slices of layer {definition.layer!r} must not overlap while they run: "
                f"{definition.key!r} wants {low:g} to {high:g}, "
                f"{other.key!r} has {first:g} to {last:g}"
            )


def _wrong_state(experiment: StoredExperiment, verb: str, *, wanted: str) -> LifecycleError:
    return LifecycleError(
        f"experiment {experiment.definition.key!r} must be {wanted} to be {verb}, "
        f"it is {experiment.state.value}"
    )
