"""The settings of an experiment: what a YAML file may say, checked before anything runs."""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from matinee_platform.analysis_settings import AnalysisSettings
from matinee_platform.arm_shares import check_arms, filled_in
from matinee_platform.data_settings import DataSettings, merged_data
from matinee_platform.reward_settings import (
    EngagementSettings,
    RatingSettings,
    ReturnVisitSettings,
    RewardSettings,
)
from matinee_platform.rule_settings import PageRuleSettings
from matinee_platform.strict_settings import Share, StrictSettings
from matinee_platform.warm_start_settings import WarmStartSettings
from matinee_policies.base_policies import base_kinds
from matinee_policies.errors import ConfigError

__all__ = [
    "CUSTOM_SOURCE",
    "REFERENCES",
    "AnalysisSettings",
    "ArmSettings",
    "EngagementSettings",
    "ExperimentSettings",
    "PageRuleSettings",
    "RatingSettings",
    "ReturnVisitSettings",
    "RewardSettings",
    "SourceSettings",
    "WarmStartSettings",
    "key_values",
    "load_settings",
    "parse_settings",
]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

REFERENCES = ("click_oracle", "satisfaction_oracle", "index_oracle")
"""Policy kinds of arms that rank by the simulator's truth (`offline/reference.py`)."""


CUSTOM_SOURCE = "custom"
"""Kind of a candidate source that is a class of the user's own."""


class ArmSettings(StrictSettings):
    """One arm: a policy over one candidate source.

    `weight` is its share of the units; if no arm gives one, all share equally.
    """

    name: str
    weight: Share
    candidates: str = "mf"
    """Name of a candidate source."""
    policy: dict[str, Any]
    """`kind` and the settings of that policy."""
    rules: PageRuleSettings | None = None
    """Rules of this arm in place of the experiment's; `{}` means none."""
    warm_start: WarmStartSettings | None = None
    """What the policy starts from; None starts it from nothing."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return _checked_name("arm name", name)

    @field_validator("policy")
    @classmethod
    def _has_kind(cls, policy: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(policy.get("kind"), str):
            raise ValueError(f"policy must name its kind, got {policy!r}")
        return policy

    def kinds(self) -> tuple[str, ...]:
        """Kind of the arm's policy, and those of its bases if it is made of others."""
        return (self.policy["kind"], *base_kinds(self.policy))

    @property
    def reference(self) -> bool:
        """Whether the arm knows the simulator's truth; no real service could run it."""
        return bool(self.policy["kind"] in REFERENCES)


class SourceSettings(StrictSettings):
    """A candidate source: the kind of its model and that model's settings."""

    kind: str
    object: str | None = None
    """`module:Class` of a source of kind `custom`; the module is imported."""
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _object_if_custom(self) -> Self:
        if (self.kind == CUSTOM_SOURCE) != (self.object is not None):
            raise ValueError(
                f"object: module:Class must be given for kind {CUSTOM_SOURCE} and for no other, "
                f"got {self.object!r} for kind {self.kind!r}"
            )
        return self


def _default_sources() -> dict[str, SourceSettings]:
    return {
        "mf": SourceSettings(kind="biased_als"),
        "popularity": SourceSettings(kind="popularity"),
    }


class ExperimentSettings(StrictSettings):
    """An offline experiment.

    Example:
        >>> settings = parse_settings({
        ...     "name": "tiny",
        ...     "arms": [
        ...         {"name": "mf_order", "weight": 0.5, "policy": {"kind": "score_order"}},
        ...         {"name": "uniform", "weight": 0.5, "policy": {"kind": "uniform"}},
        ...     ],
        ... })
        >>> settings.control
        'mf_order'
    """

    name: str = "experiment"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    users: Annotated[int, Field(ge=1, le=100_000_000)] = 20_000
    days: Annotated[int, Field(ge=1, le=3_650)] = 35
    slots: Annotated[int, Field(ge=1, le=100)] = 10
    candidates: Annotated[int, Field(ge=1, le=1_000)] = 100
    rest: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Impressions after which an item that was shown and not watched is a candidate again."""
    fresh_candidates: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Candidates of a visit that are kept for items which arrived during the run, since no source
    knows them; drawn by unit and day, so that all of them get their chance."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 4_096
    """Decisions per call of the policy; results do not depend on it."""
    state_memory_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 512
    """Largest state of an arm's users, in MB, that stays in memory. A larger one lies on disk, and
    of it is in memory what a block of users needs; results do not depend on it."""
    checkpoint_every: Annotated[int, Field(ge=0, le=1_000_000_000)] = 50_000
    """Decisions of an arm after which the day's end gets a checkpoint, if ten seconds have not
    passed before; 0 for every day. What an interruption costs is at most that and a day; results do
    not depend on it."""
    regret_every: Annotated[int, Field(ge=1, le=1_000_000)] = 40
    """One decision in so many is compared with the best page; 1 compares every one."""
    design: Literal["ab", "paired"] = "ab"
    """`ab` splits the users over the arms; `paired` shows every user to every arm, each in its own
    copy of the world with the same random draws (only a simulation can do that)."""
    control: str = ""
    """Arm to compare with; the first arm if not given."""
    data: DataSettings | None = None
    """Real data; a text is their path. None takes `MATINEE_DATA`, else the synthetic catalogue."""
    sources: dict[str, SourceSettings] = Field(default_factory=_default_sources)
    scenario: str | None = None
    """Scenario whose parameters of the simulated users are the base of `world`; users, days and
    arms are not taken from it. `matinee scenarios list` names them."""
    calibration: str | None = None
    """Calibration file (`matinee calibrate`), or the name of one that comes with the package, such
    as `films`: parameters of the simulated users below those of `scenario` and `world`."""
    world: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the simulated users, by name; they come before those of the scenario."""
    reward: RewardSettings = RewardSettings()
    rules: PageRuleSettings = PageRuleSettings()
    """What pages of every arm without rules of its own must and must not show."""
    analysis: AnalysisSettings = Field(default_factory=AnalysisSettings)
    """What decides, and how it is judged; the log and what is learned do not depend on it."""
    arms: Annotated[list[ArmSettings], Field(min_length=1, max_length=100)]

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        return _checked_name("experiment name", name)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        return filled_in(values)

    @field_validator("sources")
    @classmethod
    def _plain_source_names(cls, sources: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        for name in sources:
            _checked_name("source name", name)
        return sources

    @field_validator("data", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_arms(self.arms, control=self.control)
        for arm in self.arms:
            if arm.candidates not in self.sources:
                raise ValueError(
                    f"candidates of arm {arm.name!r} must be one of "
                    f"{', '.join(sorted(self.sources))}, got {arm.candidates!r}"
                )
        self._check_pins()
        if self.candidates < self.slots:
            raise ValueError(
                f"candidates must be at least slots = {self.slots}, got {self.candidates}"
            )
        if self.fresh_candidates > self.candidates:
            raise ValueError(
                f"fresh_candidates must be at most candidates = {self.candidates}, "
                f"got {self.fresh_candidates}"
            )
        return self

    def _check_pins(self) -> None:
        for arm in self.arms:
            rules = self.rules_of(arm)
            beyond = [slot for slot in rules.pinned if slot >= self.slots] if rules else []
            if beyond:
                raise ValueError(
                    f"pinned slots of arm {arm.name!r} must be below slots = {self.slots}, "
                    f"got {beyond[0]}"
                )

    def rules_of(self, arm: ArmSettings) -> PageRuleSettings | None:
        """The rules of an arm's pages, its own or else the experiment's; None if it has none."""
        rules = self.rules if arm.rules is None else arm.rules
        return rules if rules != PageRuleSettings() else None

    def user_classes(self) -> list[str]:
        """The `module:Class` names of the user's own that the settings name."""
        kinds = [kind for arm in self.arms for kind in arm.kinds()]
        objects = [source.object for source in self.sources.values()]
        return sorted({name for name in [*kinds, *objects] if name and ":" in name})

    def arm(self, name: str) -> ArmSettings:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)


def load_settings(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    data: Mapping[str, Any] | None = None,
    base: Mapping[str, Any] | None = None,
) -> ExperimentSettings:
    """Read an experiment from a YAML file.

    Args:
        path: the file; None takes what `base` gives alone.
        overrides: `key=value` texts with dotted keys; list entries go by index or by their name,
            values are YAML, e.g. `"arms.lin_ucb.policy.alpha=0.5"`.
        data: settings of the data that options of a command give, by name.
        base: settings by name that those of the file replace, one by one.

    Raises:
        ConfigError: naming the setting, the value and the rule.
    """
    values = {**deepcopy(dict(base or {})), **({} if path is None else _read(path))}
    for override in overrides:
        _apply(values, override)
    if data:
        values["data"] = merged_data(values.get("data"), data)
    return parse_settings(values, origin="settings" if path is None else str(path))


def _read(path: Path) -> dict[str, Any]:
    """The settings of a YAML file by name, not checked yet."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8 text, byte {error.start} is not") from None
    values = _parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold a mapping of settings, got {type(values).__name__}")
    return values


def key_values(overrides: Sequence[str]) -> dict[str, Any]:
    """The settings that `key=value` texts alone make, with dotted keys and YAML values.

    Raises:
        ConfigError: on a text of another form.

    Example:
        >>> key_values(["alpha=0.5", "fallback.kind=svd"])
        {'alpha': 0.5, 'fallback': {'kind': 'svd'}}
    """
    values: dict[str, Any] = {}
    for override in overrides:
        _apply(values, override)
    return values


def parse_settings(values: dict[str, Any], *, origin: str = "settings") -> ExperimentSettings:
    """Check settings given as plain values; raises ConfigError as `load_settings`."""
    try:
        return ExperimentSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_complaints(error, origin))) from None


def _complaints(error: ValidationError, origin: str) -> list[str]:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        got = "" if "got " in message or item["type"] == "missing" else f", got {item['input']!r}"
        lines.append(f"{origin}: {where + ': ' if where else ''}{message}{got}")
    return lines


def _checked_name(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} must be 1-40 lower-case letters, digits and _, a letter first, got {name!r}"
        )
    return name


def _parse_yaml(text: str, origin: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(f"{origin}{where}: {problem}") from None
    except ValueError as error:
        # A value that looks like a date and is none.
        raise ConfigError(f"{origin}: {error}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, got {override!r}")
    *parents, last = key.split(".")
    place: Any = values
    for part in parents:
        place = _step(place, part, key)
    value = _parse_yaml(text, f"--set {key}")
    if isinstance(place, list):
        place[_index(place, last, key)] = value
    else:
        place[last] = value


def _step(place: Any, part: str, key: str) -> Any:
    at: Any = _index(place, part, key) if isinstance(place, list) else part
    child = place[at] if isinstance(place, list) else place.setdefault(part, {})
    if not isinstance(child, dict | list):
        raise ConfigError(f"--set {key}: {part!r} is a plain value and has nothing below it")
    return child


def _index(entries: list[Any], part: str, key: str) -> int:
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(entries):
        return int(part)
    known = ", ".join(str(name) for name in names if name)
    raise ConfigError(f"--set {key}: there is no entry {part!r}; there are {known}")
