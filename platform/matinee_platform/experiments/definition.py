"""What a live experiment is: arms over bundles, a salt, a share of a layer, rewards."""

import re
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from matinee_platform.analysis_settings import AnalysisSettings
from matinee_platform.arm_shares import check_arms, filled_in
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.serving.bundle_name import NAME as BUNDLE_NAME
from matinee_platform.serving.bundle_name import RULE as BUNDLE_RULE
from matinee_platform.simulated_keys import draw_key
from matinee_platform.strict_settings import Share, StrictSettings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SALT = re.compile(r"[A-Za-z0-9_.-]{1,64}")

HOLDOUT_ARM = "holdout"
"""Arm of units in the holdout, in the log and in answers."""

STORED = "stored"
"""Context of what is read back: experiments were kept before their bundles' names were checked."""

Learning = Literal["online", "apprentice", "log_only"]


class LiveArm(StrictSettings):
    """One arm of a live experiment."""

    name: str
    weight: Share
    """Share of the experiment's units; if no arm gives one, all share equally."""
    bundle: Annotated[str, Field(json_schema_extra={"pattern": f"^{BUNDLE_NAME.pattern}$"})]
    """Name of a deployed bundle (`matinee deploy RUN:ARM`): policy, snapshot, candidates."""
    learning: Learning = "online"
    """`online` learns and serves what it learned; `apprentice` shows the order of the candidates
    and learns from it, without its slates being shown; `log_only` serves its first snapshot."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or name == HOLDOUT_ARM:
            raise ValueError(
                "arm name must be 1-40 lower-case letters, digits and _, a letter first, and not "
                f"{HOLDOUT_ARM!r}, got {name!r}"
            )
        return name

    @field_validator("bundle")
    @classmethod
    def _plain_bundle(cls, bundle: str, info: ValidationInfo) -> str:
        if info.context != STORED and not BUNDLE_NAME.fullmatch(bundle):
            raise ValueError(f"{BUNDLE_RULE}, got {bundle!r}")
        return bundle


class SimulatedUsers(StrictSettings):
    """Marks an experiment whose units are simulated users.

    Its decisions and rewards bring their own time. Pseudonyms and draws are keyed by `run` and
    `seed` as those of an offline run, so that the same users see the same slates: no person may
    be a unit of it.
    """

    run: Annotated[str, Field(pattern=f"^{_SALT.pattern}$")]
    """Name of the run whose users they are."""
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    """Of that run."""
    start_ms: Annotated[int, Field(ge=946_684_800_000, lt=4_102_444_800_000)] = 1_577_836_800_000
    """When its first day begins, UTC milliseconds; 1 January 2020 as offline."""

    def draws(self, arm: str) -> bytes:
        """Key of an arm's draws, 16 bytes."""
        return draw_key(self.run, self.seed, arm)


class LiveExperiment(StrictSettings):
    """A live experiment.

    Experiments of one layer exclude each other: each owns a slice of the layer's units. Layers are
    independent of each other.

    Example:
        >>> experiment = LiveExperiment.model_validate({
        ...     "key": "home", "salt": "home-1",
        ...     "arms": [{"name": "old", "bundle": "old"}, {"name": "new", "bundle": "new"}],
        ... })
        >>> [arm.weight for arm in experiment.arms], experiment.control
        ([0.5, 0.5], 'old')
    """

    key: str
    """Name, for ever."""
    salt: Annotated[str, Field(pattern=f"^{_SALT.pattern}$")]
    """Seed of the assignment; an experiment that starts anew needs another one."""
    layer: str = ""
    """Layer; the experiment's own if not given."""
    layer_slice: Annotated[tuple[Share, Share], Field(strict=False)] = (0.0, 1.0)
    """Part of the layer's units that may take part: first share (inside), last share (outside)."""
    coverage: Share = 1.0
    """Share of each arm's units that take part; it only grows while the experiment runs."""
    control: str = ""
    """Arm to compare with; the first one if not given."""
    slots: Annotated[int, Field(ge=1, le=100)] = 10
    candidates: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Most candidates of a decision, `K`."""
    rest: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Impressions of a unit after which an item that was not watched is a candidate again."""
    engagement_minutes: Annotated[float, Field(gt=0, le=10_080, strict=False)] = 30.0
    """Window of click and watch; the windows of ratings and return visits are in `reward`."""
    reward: RewardSettings = RewardSettings()
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)
    """What decides, and how it is judged: declared before the start."""
    simulated: SimulatedUsers | None = None
    """Marks an experiment with simulated users alone; for ever."""
    arms: Annotated[list[LiveArm], Field(min_length=1, max_length=100)]

    @field_validator("key")
    @classmethod
    def _plain_key(cls, key: str) -> str:
        if not _NAME.fullmatch(key):
            raise ValueError(
                f"key must be 1-40 lower-case letters, digits and _, a letter first, got {key!r}"
            )
        return key

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: object) -> object:
        values = filled_in(values)
        if not isinstance(values, dict):
            return values
        return {**values, "layer": values.get("layer") or values.get("key", "")}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_arms(self.arms, control=self.control)
        if self.layer_slice[0] >= self.layer_slice[1]:
            raise ValueError(f"layer_slice must rise, got {list(self.layer_slice)}")
        if self.candidates < self.slots:
            raise ValueError(
                f"candidates must be at least slots = {self.slots}, got {self.candidates}"
            )
        if self.reward.engagement.position_bias == "estimated":
            raise ValueError(
                "reward.engagement.position_bias must be none or a list of shares in a live "
                "experiment, got 'estimated'"
            )
        return self

    def arm(self, name: str) -> LiveArm:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def draws(self, arm: str, *, own: Callable[[str, str], bytes]) -> bytes:
        """Key of the draws of an arm, 16 bytes.

        Args:
            arm: name of the arm.
            own: gives the service's own keys, by experiment and arm.
        """
        return own(self.key, arm) if self.simulated is None else self.simulated.draws(arm)

    def windows_ms(self) -> tuple[int, int, int, int]:
        """Window of each of `log_rows.COMPONENTS` in milliseconds."""
        day = 86_400_000
        engagement = round(self.engagement_minutes * 60_000)
        return (
            engagement,
            engagement,
            self.reward.rating.window_days * day,
            self.reward.return_visit.window_days * day,
        )
