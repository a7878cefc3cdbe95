"""The settings of a warm start: what an arm's policy starts from."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from matinee_platform.strict_settings import StrictSettings

AtLeastZero = Annotated[float, Field(ge=0.0, strict=False)]
"""A number of at least 0."""

_OWN: dict[str, set[str]] = {
    "snapshot": {"discount"},
    "log": {"estimator", "clip"},
    "mf_prior": set(),
}
"""The settings that go with each way to start."""


class MFPriorSettings(StrictSettings):
    """Prior mean of the coefficients: the score of the candidates, and nothing else.

    Before it has learned, the arm's predictions are `weight` times the score, so it ranks as the
    candidate source does (upper bounds and exploration aside).
    """

    weight: Annotated[float, Field(gt=0.0, le=1.0, strict=False)] = 0.1
    """Reward, in value units, that a score of 1 promises more than a score of 0."""
    strength: AtLeastZero = 0.0
    """Observations that the mean weighs along every axis, on top of the policy's own `l2`."""


class WarmStartSettings(StrictSettings):
    """What an arm's policy starts from: a snapshot, a log or the scores of the candidates.

    Exactly one of `snapshot`, `log` and `mf_prior` must be given.
    """

    snapshot: str | None = None
    """File of a snapshot of another run, `RUN/snapshots/ARM/VVVVV.npz`: of the same kind of policy,
    over the same features and catalogue."""
    log: str | None = None
    """`RUN:ARM`, a finished run and an arm of it whose log is learned from."""
    mf_prior: MFPriorSettings | None = None
    """Prior mean from the score of the candidate source; `{}` takes its defaults."""
    discount: Annotated[float, Field(gt=0.0, le=1.0, strict=False)] = 1.0
    """Share of the evidence that is taken over from a snapshot; below 1 for policies over ridge
    regression only."""
    estimator: Literal["plain", "mtr", "ips", "dr"] = "mtr"
    """How outcomes of a log are weighted, since another policy chose them; `plain` does not."""
    clip: Annotated[float, Field(gt=0.0, strict=False)] = 20.0
    """Largest weight of an outcome of a log."""

    @field_validator("log")
    @classmethod
    def _run_and_arm(cls, log: str | None) -> str | None:
        if log is not None and not all(log.rpartition(":")[::2]):
            raise ValueError(f"log must be RUN:ARM, got {log!r}")
        return log

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        names = ("snapshot", "log", "mf_prior")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"warm_start must have exactly one of {', '.join(names)}, "
                f"got {', '.join(given) or 'none'}"
            )
        own: set[str] = _OWN[given[0]]
        for name in sorted({"discount", "estimator", "clip"} - own):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} does not go with warm_start.{given[0]}")
        return self

    def run_and_arm(self) -> tuple[str, str]:
        """The two parts of `log`; raises ValueError without one."""
        run, _, arm = (self.log or "").rpartition(":")
        if not run:
            raise ValueError("there is no log")
        return run, arm
