"""When a decision is taken: by the service's clock, or by the time of simulated users."""

from matinee_platform.clock import Clock
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.serving.asks import Ask
from matinee_policies.errors import ContextError


def decided_at(ask: Ask, experiment: LiveExperiment, *, clock: Clock) -> int:
    """Time of a decision, UTC milliseconds.

    Args:
        ask: as it came.
        experiment: that it asks.
        clock: of the service.

    Raises:
        ContextError: it brings a time and is not of simulated users, or the other way round, or
            its time is before their first day.
    """
    simulated = experiment.simulated
    if simulated is None:
        if ask.at is not None:
            raise ContextError(
                f"at must not be given: experiment {experiment.key!r} is not marked simulated, so "
                "the clock of the service tells when"
            )
        return clock.now_ms()
    if ask.at is None:
        raise ContextError(
            f"at must be given: experiment {experiment.key!r} is marked simulated, and its users "
            "bring their own time"
        )
    if ask.at < simulated.start_ms:
        raise ContextError(
            f"at must not be before the first day of experiment {experiment.key!r}, "
            f"{simulated.start_ms} in UTC milliseconds, got {ask.at}"
        )
    return ask.at
