"""The settings of rewards: what a page, and what the unit does later, is worth."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from matinee_platform.strict_settings import Share, StrictSettings


class EngagementSettings(StrictSettings):
    """What happens on the page at once; its window closes at the day barrier."""

    weight: Share = 1.0
    """Value of one slot with full engagement, in value units."""
    click: Annotated[float, Field(ge=-1.0, le=1.0, strict=False)] = 0.0
    """Share of the weight earned by the click itself; below 0, a click that is soon abandoned
    costs, which is what tells a clickbait from a film."""
    watch: Share = 1.0
    """Share of the weight earned by the watched fraction of a clicked item."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.click + self.watch > 1.0:
            raise ValueError(
                f"click + watch must be at most 1 so that no slot earns more than the weight, "
                f"got {self.click + self.watch:g}"
            )
        return self


class ReturnVisitSettings(StrictSettings):
    """Whether the unit comes back, credited to every page of the session before."""

    weight: Share = 0.0
    """Value of a return visit for each slot of the page, in value units; 0 logs it unlearned."""
    window_days: Annotated[int, Field(ge=1, le=28)] = 7
    """Days after the session within which a visit counts."""


class RewardSettings(StrictSettings):
    """Reward components; the value of a slot is their weighted sum."""

    engagement: EngagementSettings = EngagementSettings()
    return_visit: ReturnVisitSettings = ReturnVisitSettings()
