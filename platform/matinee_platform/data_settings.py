"""The `data` of an experiment: a path, or a table and what its columns mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from matinee_policies.datasets.feedback import FeedbackKind
from matinee_policies.datasets.item_metadata import MetadataSpec
from matinee_policies.datasets.table import TableSpec
from matinee_policies.errors import ConfigError

_Name = Annotated[str, Field(min_length=1)]
_Bound = Annotated[float, Field(strict=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class MetadataSettings(_Settings):
    """File that describes the items; fields as `MetadataSpec`."""

    path: _Name
    id: _Name | None = None
    title: _Name | None = None
    genres: _Name | None = None
    year: _Name | None = None
    people: _Name | None = None
    keywords: _Name | None = None
    separator: _Name = "|"
    delimiter: _Name | None = None

    def spec(self) -> MetadataSpec:
        """The same for the loader."""
        return MetadataSpec(**{**dict(self), "path": Path(self.path).expanduser()})


class DataSettings(_Settings):
    """Where the data stand; with named columns they are a table, else MovieLens files."""

    path: _Name
    """Folder of MovieLens files, name of a fetched set, or a table: a CSV or Parquet file, or a
    folder of its parts."""
    users: _Name | None = None
    items: _Name | None = None
    ratings: _Name | None = None
    """Column of ratings, numbers of plays or watched fractions; plays may do without."""
    timestamps: _Name | None = None
    """Column of times; without it rows count as oldest first."""
    feedback: FeedbackKind = "ratings"
    rating_scale: Annotated[tuple[_Bound, _Bound], Field(strict=False)] | None = None
    time_unit: Literal["s", "ms", "us"] = "s"
    delimiter: _Name | None = None
    metadata: MetadataSettings | None = None

    @field_validator("metadata", mode="before")
    @classmethod
    def _plain_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @property
    def is_table(self) -> bool:
        """Whether columns are named."""
        return self.users is not None and self.items is not None

    def table(self) -> TableSpec:
        """The table for the loader.

        Raises:
            ConfigError: the settings do not fit together, or no columns are named.
        """
        if self.users is None or self.items is None:
            raise ConfigError(f"{self.path}: {name_the_columns()}")
        return TableSpec(
            path=Path(self.path).expanduser(),
            users=self.users,
            items=self.items,
            ratings=self.ratings,
            timestamps=self.timestamps,
            feedback=self.feedback,
            rating_scale=self.rating_scale,
            time_unit=self.time_unit,
            delimiter=self.delimiter,
            metadata=None if self.metadata is None else self.metadata.spec(),
        )


def parse_data(values: Mapping[str, Any]) -> DataSettings:
    """Check settings of data given as plain values.

    Raises:
        ConfigError: naming the setting, the value and the rule.
    """
    try:
        return DataSettings.model_validate(dict(values))
    except ValidationError as error:
        lines = [
            f"data.{'.'.join(map(str, item['loc']))}: {item['msg']}, got {item['input']!r}"
            for item in error.errors()
        ]
        raise ConfigError("\n".join(lines)) from None


def name_the_columns() -> str:
    """What to do about a table without named columns."""
    return (
        "name the columns of the table: --users COL --items COL --ratings COL --timestamps COL "
        "(data.users, ... in a config)"
    )


def merged_data(given: Any, changes: Mapping[str, Any]) -> Any:
    """The `data` of a config, changed by options.

    Args:
        given: a path, a mapping of settings, or None.
        changes: settings by name.

    Example:
        >>> merged_data("a.csv", {"users": "who"})
        {'path': 'a.csv', 'users': 'who'}
    """
    if not changes:
        return given
    known = {"path": given} if isinstance(given, str) else dict(given or {})
    return {**known, **changes}
