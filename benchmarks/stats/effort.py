"""How much a simulation does."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Sizes of the simulations.

    Attributes:
        salts: assignments of one log.
        sequences: likewise, for views that are read again and again.
        experiments: made-up experiments for each figure.
        splits: made-up splits of users into arms.
        users: simulated in the log that is assigned anew.
        crowd: ids that are assigned to see whether arms are fair.
        logs: of simulated users, for off-policy values.
        log_users: of one of those.
        equal_logs: random ones on which estimators are held to others.
        draws: slates of a policy that are held to its law.
        strict: whether shares are held to the bar itself; else to within four standard errors.
    """

    salts: int
    sequences: int
    experiments: int
    splits: int
    users: int
    crowd: int
    logs: int
    log_users: int
    equal_logs: int
    draws: int
    strict: bool

    def at_most(self, share: float, bar: float, *, trials: int) -> bool:
        """Whether a share of so many trials keeps to an upper bar."""
        return share <= bar + self._slack(bar, trials)

    def at_least(self, share: float, bar: float, *, trials: int) -> bool:
        """Whether a share of so many trials keeps to a lower bar."""
        return share >= bar - self._slack(bar, trials)

    def _slack(self, bar: float, trials: int) -> float:
        error: float = (bar * (1 - bar) / trials) ** 0.5
        return 0.0 if self.strict else 4 * error


FULL = Effort(
    salts=1_000,
    sequences=1_000,
    experiments=2_000,
    splits=10_000,
    users=20_000,
    crowd=1_000_000,
    logs=200,
    log_users=400,
    equal_logs=1_000,
    draws=100_000,
    strict=True,
)
QUICK = Effort(
    salts=60,
    sequences=400,
    experiments=80,
    splits=500,
    users=2_000,
    crowd=100_000,
    logs=16,
    log_users=300,
    equal_logs=60,
    draws=10_000,
    strict=False,
)
