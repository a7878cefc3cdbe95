"""The settings of rewards: what a page, and what the unit does later, is worth."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from matinee_platform.strict_settings import Share, StrictSettings

_Window = Annotated[int, Field(ge=1, le=28)]
_Examined = Annotated[float, Field(gt=0.0, le=1.0, strict=False)]


class EngagementSettings(StrictSettings):
    """What happens on the page at once; its window closes at the day barrier."""

    weight: Share = 1.0
    """Value of one slot with full engagement, in value units."""
    click: Annotated[float, Field(ge=-1.0, le=1.0, strict=False)] = 0.0
    """Share of the weight earned by the click itself; below 0, a click that is soon abandoned
    costs, which is what tells a clickbait from a film."""
    watch: Share = 1.0
    """Share of the weight earned by the watched fraction of a clicked item."""
    position_bias: (
        Literal["none", "estimated"] | Annotated[list[_Examined], Field(min_length=1)]
    ) = "none"
    """How often each slot is examined, by which learning corrects: `none` takes all slots alike,
    `estimated` learns it from the arm's own exploration while it runs, and a list says it, slot by
    slot, in shares of the first slot's (`matinee examination` estimates one)."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.click + self.watch > 1.0:
            raise ValueError(
                f"click + watch must be at most 1 so that no slot earns more than the weight, "
                f"got {self.click + self.watch:g}"
            )
        return self


class RatingSettings(StrictSettings):
    """How many stars the unit gives the item later; an item that is not rated changes nothing."""

    weight: Share = 0.0
    """Value of a rating `span` stars above `neutral`, in value units; 0 logs it unlearned."""
    window_days: _Window = 3
    """Days after the page within which a rating counts."""
    neutral: Annotated[float, Field(ge=0.0, le=10.0, strict=False)] = 3.0
    """Stars that are worth 0. An item without a rating is left where such a rating would leave it,
    so this should be about the mean."""
    span: Annotated[float, Field(gt=0.0, le=10.0, strict=False)] = 2.0
    """Stars from 0 to the full weight; the value stays within the weight, above and below 0."""


class ReturnVisitSettings(StrictSettings):
    """Whether the unit comes back, credited to every page of the session before."""

    weight: Share = 0.0
    """Value of a return visit for each slot of the page, in value units; 0 logs it unlearned."""
    window_days: _Window = 7
    """Days after the session within which a visit counts."""


class RewardSettings(StrictSettings):
    """Reward components; the value of a slot is their weighted sum."""

    engagement: EngagementSettings = EngagementSettings()
    rating: RatingSettings = RatingSettings()
    return_visit: ReturnVisitSettings = ReturnVisitSettings()
    learn_window_days: Annotated[int, Field(ge=0, le=28)] = 0
    """For policies that cannot correct what they have learned (logistic, Vowpal Wabbit): they
    learn the components whose window is no longer, as one sum when the longest of them has closed,
    and none of the others. At 0, engagement alone. The other policies learn every component."""

    def later_windows(self) -> dict[str, int]:
        """Window in days of every component after engagement that carries weight, by name.

        Example:
            >>> RewardSettings(return_visit=ReturnVisitSettings(weight=0.1)).later_windows()
            {'return_visit': 7}
        """
        later: dict[str, RatingSettings | ReturnVisitSettings] = {
            "rating": self.rating,
            "return_visit": self.return_visit,
        }
        return {name: one.window_days for name, one in later.items() if one.weight > 0.0}

    def within(self, days: int) -> "RewardSettings":
        """The same, without weight for later components whose window is longer than `days`."""
        dropped = {
            name: getattr(self, name).model_copy(update={"weight": 0.0})
            for name, window in self.later_windows().items()
            if window > days
        }
        return self.model_copy(update=dropped)
