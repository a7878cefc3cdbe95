"""The settings of page rules: what pages must and must not show."""

from typing import Annotated, Self, TypeAlias

from pydantic import Field, model_validator

from matinee_platform.strict_settings import StrictSettings

ItemId: TypeAlias = int | str
"""An item as the data call it: a whole number, or a text where the data's ids are texts."""


class PageRuleSettings(StrictSettings):
    """What pages must and must not show, whatever the policy."""

    exclude_items: list[ItemId] = Field(default_factory=list)
    """Items that are never shown, by the data's own ids."""
    exclude_genres: list[str] = Field(default_factory=list)
    """Genres none of whose items is shown."""
    pinned: dict[Annotated[int, Field(ge=0, strict=False)], ItemId] = Field(default_factory=dict)
    """Item by the slot that shows it on the first page of every visit; slots count from 0."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        pins = list(self.pinned.values())
        for slot, item in self.pinned.items():
            if pins.count(item) > 1:
                raise ValueError(f"pinned must name an item once, got {item!r} more than once")
            if item in self.exclude_items:
                raise ValueError(f"pinned must not name an excluded item, got {item!r} at {slot}")
        return self
