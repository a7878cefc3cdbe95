"""What callers send: the form of every body, checked before anything else looks at it.

The ceilings here hold for any service. Its own limits (`Limits`), which need not be the defaults,
are checked by `request_rules.py`; `x-limit` names the one that a field answers to, and the OpenAPI
document shows its value.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE

INT64 = 2.0**63
FEATURE_SIZE = 1e6
"""Largest feature of a caller, up or down: squares of larger ones leave nothing of a policy's
numbers. Features belong within some tens, scaled by their spread."""

FIRST_YEAR, LAST_YEAR = 2000, 2100
MOST_CANDIDATES = 1_000
MOST_SLOTS = 100

Component = Literal["click", "watch", "rating", "return_visit"]


def _limited(name: str) -> dict[str, Any]:
    return {"x-limit": name}


def _plausible(moment: datetime) -> datetime:
    # By both clocks, the caller's and UTC's: on New Year's Eve they may say different years.
    plausible = FIRST_YEAR <= moment.year <= LAST_YEAR
    if not plausible or not FIRST_YEAR <= moment.astimezone(UTC).year <= LAST_YEAR:
        raise ValueError(f"the year must be within {FIRST_YEAR} and {LAST_YEAR}")
    return moment


Id = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1_024,
        json_schema_extra={**_limited("id_chars"), "pattern": "^[^\\x00]*$"},
    ),
]
"""Text that names something; no NUL in it."""

Number = Annotated[float, Field(gt=-INT64, lt=INT64, allow_inf_nan=False)]
"""A finite number within the range of 64-bit integers."""

Feature = Annotated[float, Field(ge=-FEATURE_SIZE, le=FEATURE_SIZE, allow_inf_nan=False)]
"""A finite number of a size that policies can reckon with."""

Moment = Annotated[AwareDatetime, Field(strict=True), AfterValidator(_plausible)]
"""A time with its offset from UTC, in ISO 8601."""

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", max_length=40)]


class Body(BaseModel):
    """What all bodies have in common: unknown names are refused; numbers are no text."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class DecisionRequest(Body):
    """Asks for one slate."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"experiment": "home", "unit": "user 17"},
                {
                    "experiment": "home",
                    "unit": "user 17",
                    "decision_id": "visit 4711, page 1",
                    "candidates": ["heat", "alien", "big"],
                    "scores": [0.8, 0.7, 0.4],
                    "slots": 2,
                },
            ]
        }
    )

    experiment: Key
    """Key of a running experiment."""
    unit: Id
    """The user; kept as a keyed pseudonym alone."""
    decision_id: Id | None = None
    """Makes a repeated request answer the same; the service draws one if it is missing."""
    candidates: Annotated[list[Id], Field(min_length=1, max_length=MOST_CANDIDATES)] | None = None
    """Distinct items to choose from, best first; without them the arm's own source serves."""
    scores: (
        Annotated[
            list[Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]],
            Field(min_length=1, max_length=MOST_CANDIDATES),
        ]
        | None
    ) = None
    """Of the candidates, within 0 and 1, both outside."""
    features: (
        Annotated[
            list[
                Annotated[
                    list[Feature],
                    Field(min_length=1, max_length=1_000, json_schema_extra=_limited("features")),
                ]
            ],
            Field(min_length=1, max_length=MOST_CANDIDATES),
        ]
        | None
    ) = None
    """Of the candidates, as many of each as the arm's bundle says, each within -1e6 and 1e6."""
    slots: Annotated[int, Field(ge=1, le=MOST_SLOTS)] | None = None
    """Items wanted; the experiment's number if it is missing."""
    at: Moment | None = None
    """When, by the time of simulated users: for experiments that are marked simulated, which need
    it, and for no others."""


class DecisionsRequest(Body):
    """Asks for several slates at once; each stands for itself."""

    decisions: Annotated[
        list[DecisionRequest],
        Field(min_length=1, max_length=10_000, json_schema_extra=_limited("batch")),
    ]


class RewardRequest(Body):
    """Tells one thing that happened after a decision."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "click 99",
                    "decision_id": "visit 4711, page 1",
                    "component": "click",
                    "slot": 0,
                    "value": 1,
                },
                {"decision_id": "00000000000000ff", "component": "return_visit", "value": 1},
            ]
        }
    )

    id: Id | None = None
    """Makes a repeated event count once. Without it, a second event of the same decision,
    component and slot is told to be a duplicate, which is not learned either."""
    decision_id: Id
    component: Component
    slot: Annotated[int, Field(ge=0, lt=MOST_SLOTS)] | None = None
    """Place within the slate, from 0; a return visit has none."""
    value: Number = 1.0
    """1 or 0 for a click, the share watched, stars within 0 and 10, 1 for a visit."""
    occurred_at: Moment | None = None
    """When it happened by the caller's clock, for analysis; windows go by the server's."""
    at: Moment | None = None
    """When it reaches the service, by the time of simulated users: for decisions of experiments
    that are marked simulated, and for no others. Their windows go by it."""
    token: Annotated[str, Field(max_length=200)] | None = None
    """The token that came with the decision, if the service wants tokens."""

    @model_validator(mode="after")
    def _within_range(self) -> Self:
        if (self.slot is None) != (self.component == "return_visit"):
            raise ValueError("a return visit has no slot, every other reward has one")
        rule = _RANGES[self.component]
        if not rule[0] <= self.value <= rule[1] or (rule[2] and self.value != int(self.value)):
            raise ValueError(rule[3])
        return self

    @property
    def component_code(self) -> int:
        """Index into `log_rows.COMPONENTS`."""
        return COMPONENTS.index(self.component)

    @property
    def slot_code(self) -> int:
        """The slot as the log has it."""
        return WHOLE_PAGE if self.slot is None else self.slot


_RANGES: dict[str, tuple[float, float, bool, str]] = {
    "click": (0.0, 1.0, True, "value of a click must be 0 or 1"),
    "watch": (0.0, 1.0, False, "value of watch must be within 0 and 1"),
    "rating": (0.0, 10.0, False, "value of a rating must be within 0 and 10"),
    "return_visit": (1.0, 1.0, True, "value of a return visit must be 1"),
}
"""Least value, largest value, whether whole, and the rule in words."""


class RewardsRequest(Body):
    """Tells several rewards at once; each stands for itself."""

    rewards: Annotated[
        list[RewardRequest],
        Field(min_length=1, max_length=10_000, json_schema_extra=_limited("batch")),
    ]


def milliseconds(moment: datetime | None) -> int | None:
    """A moment in UTC milliseconds since 1970.

    Example:
        >>> milliseconds(datetime(1970, 1, 2, tzinfo=UTC))
        86400000
    """
    return None if moment is None else round(moment.timestamp() * 1_000)


def _one_or_many(value: Any) -> str:
    many = "rewards" in value if isinstance(value, dict) else isinstance(value, RewardsRequest)
    return "many" if many else "one"


OneOrMoreRewards = Annotated[
    Annotated[RewardRequest, Tag("one")] | Annotated[RewardsRequest, Tag("many")],
    Discriminator(_one_or_many),
]


class StartRequest(Body):
    """Lets units into an experiment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"salt": "home-2"}]})

    salt: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", max_length=64)] | None = None
    """A new one, for an experiment that ran before."""
    coverage: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Share of each arm's units to begin with; the definition's if it is missing."""


class RampRequest(Body):
    """Asks for more units in an experiment."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"coverage": 0.5}]})

    coverage: Annotated[float, Field(ge=0.0, le=1.0)]
    """Share of each arm's units that take part; at least what it is now."""


class LearnUntilRequest(Body):
    """Asks for the snapshots of a time of simulated users."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"at": "2020-01-02T00:00:00Z"}]})

    at: Moment
    """Every window that ended by then is learned; never before a time asked for earlier."""


class ForgetRequest(Body):
    """Asks to remove all that is kept of a unit."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"unit": "user 17"}]})

    unit: Id


class RetentionRequest(Body):
    """Asks to delete raw events that are older than the retention allows."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"days": 30}]})

    days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    """Age in days; that of the settings if it is missing."""


class AuditQuery(BaseModel):
    """Which entries of the audit to list."""

    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Number of the last entry that is known already."""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Most entries of one answer."""
