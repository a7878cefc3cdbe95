"""What an experiment declares of its analysis before it starts: what decides, and how."""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from matinee_platform.analysis.experiment.metric_list import DEFAULT_OTHERS, METRIC_LIST
from matinee_platform.strict_settings import StrictSettings

SEGMENTS = ("activity", "new", "taste")
"""Groups of units by what was known of them before their exposure."""

DEFAULT_GUARDRAILS = {"engagement_7": 0.05, "ctr_7": 0.05}
"""Guardrails of an experiment that declares none, with their margins."""

Margin = Annotated[float, Field(gt=0.0, lt=1.0, strict=False)]
"""Largest relative loss that is accepted, as a share of control's value."""


class AnalysisSettings(StrictSettings):
    """The declared analysis.

    Example:
        >>> AnalysisSettings().primary
        ('returned_within_7',)
    """

    primary: Annotated[tuple[str, ...], Field(min_length=1, max_length=10, strict=False)] = (
        "returned_within_7",
    )
    """Metrics that decide; p-values are corrected over them and over arms (Holm)."""
    guardrails: dict[str, Margin] = Field(default_factory=lambda: dict(DEFAULT_GUARDRAILS))
    """Metrics that must not lose more than a share of control's value, by name; if not given,
    engagement and CTR of the first 7 days by 5 %, as far as they are not primary."""
    others: Annotated[tuple[str, ...], Field(max_length=40, strict=False)] | None = None
    """Metrics to look at besides; p-values are corrected together (Benjamini and Hochberg). If not
    given, all that there are but quantiles. Those that are primary or guardrails are left out."""
    segments: Annotated[tuple[str, ...], Field(max_length=10, strict=False)] = SEGMENTS
    """Groups in which primary metrics are compared as well, corrected together (Benjamini and
    Hochberg)."""
    minimum_units: Annotated[int, Field(ge=2, le=1_000_000_000)] = 100
    """Units an arm needs before anything is concluded."""
    minimum_days: Annotated[int, Field(ge=1, le=3_650)] = 7
    """Full days that the data must hold, since weekdays differ; else the result is marked short."""
    confidence: Annotated[float, Field(ge=0.5, lt=1.0, strict=False)] = 0.95
    """Of intervals; 1 less this is the level at which differences count."""
    horizon_days: Annotated[int, Field(ge=1, le=3_650)] | None = None
    """Declared end in days from the start: only there is the fixed-horizon interval shown. None
    takes the length of an offline run, and is no end at all for a live experiment."""
    tuned_for_units: Annotated[int, Field(ge=10, le=1_000_000_000)] = 10_000
    """Units of two arms together at which confidence sequences are about narrowest. They hold at
    any number; far from this one they are wider than they could be."""
    silence_days: Annotated[int, Field(ge=1, le=365)] = 14
    """Days without a visit after which a unit counts as gone, from the first of them; survival is
    told by it."""
    survival_days: Annotated[int, Field(ge=2, le=3_650)] = 28
    """Days from exposure over which the mean time before leaving is taken (restricted mean)."""

    @model_validator(mode="before")
    @classmethod
    def _other_guardrails(cls, values: Any) -> Any:
        """Default guardrails are not those that are primary."""
        if not isinstance(values, dict) or "guardrails" in values:
            return values
        primary = values.get("primary", ())
        taken = primary if isinstance(primary, list | tuple) else ()
        rest = {name: one for name, one in DEFAULT_GUARDRAILS.items() if name not in taken}
        return {**values, "guardrails": rest}

    @field_validator("primary", "others")
    @classmethod
    def _known_metrics(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            check_metric(name)
        _check_distinct("metrics", names or ())
        return names

    @field_validator("guardrails")
    @classmethod
    def _known_guardrails(cls, guardrails: dict[str, float]) -> dict[str, float]:
        for name in guardrails:
            check_metric(name)
        return guardrails

    @field_validator("segments")
    @classmethod
    def _known_segments(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in SEGMENTS:
                raise ValueError(f"segment must be one of {', '.join(SEGMENTS)}, got {name!r}")
        _check_distinct("segments", names)
        return names

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The metrics of `others`."""
        return DEFAULT_OTHERS if self.others is None else self.others

    @model_validator(mode="after")
    def _one_role_each(self) -> Self:
        for name in self.primary:
            if METRIC_LIST[name].kind == "quantile":
                raise ValueError(
                    f"primary metrics must have an interval that holds at any time, which "
                    f"quantiles have not, got {name!r}"
                )
            if name in self.guardrails:
                raise ValueError(f"a metric is primary or a guardrail, got {name!r} as both")
        for name in self.guardrails:
            if METRIC_LIST[name].kind == "quantile":
                raise ValueError(f"guardrails must be means, ratios or retention, got {name!r}")
        return self


def check_metric(name: str) -> None:
    """Refuse the name of no metric.

    Raises:
        ValueError: naming those that there are.
    """
    if name not in METRIC_LIST:
        raise ValueError(f"metric must be one of {', '.join(METRIC_LIST)}, got {name!r}")


def _check_distinct(what: str, names: tuple[str, ...]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"{what} must be distinct, got {doubled[0]!r} more than once")
