"""The parameters of the tabular world, with the symbols of its equations (`equations.py`)."""

import dataclasses

from matinee_policies.config import Config, check_range, check_whole

_AT_LEAST_ZERO = (
    "click_relevance",
    "click_appeal",
    "click_satiation",
    "satisfaction_relevance",
    "satisfaction_appeal",
    "satisfaction_satiation",
    "leave_satisfaction",
    "leave_no_click",
    "return_goodwill",
    "return_absence",
    "churn_goodwill",
    "relevance_spread",
    "retention_sensitivity",
)

_ANY_FINITE = (
    "click_base",
    "satisfaction_base",
    "leave_base",
    "return_base",
    "churn_base",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TabularParameters(Config):
    """How the users of the tabular world respond, tire, leave and return.

    Logits have no unit. A weight that is subtracted in its equation is given as a number >= 0. All
    values are assumptions, chosen so that the model tells the story of the large one in a few
    hundred states; none is measured.

    Raises:
        ConfigError: on a value outside its range, naming it.

    Example:
        >>> TabularParameters(goodwill_step=1.5)
        Traceback (most recent call last):
        matinee_policies.errors.ConfigError: goodwill_step must be <= 1, got 1.5
    """

    relevance_spread: float = 0.2
    """d: relevances of the three topics are x = d, 0 and -d."""

    click_base: float = 0.5
    """a0: logit of a click on an item of average relevance and appeal, topic fresh."""
    click_relevance: float = 0.9
    """a1: per unit of relevance x."""
    click_appeal: float = 1.1
    """a2: per unit of appeal c, which is -1 for substance and +1 for clickbait."""
    click_satiation: float = 1.1
    """a3: subtracted per level of satiation with the item's topic."""

    satisfaction_base: float = 0.5
    """s0: logit of being satisfied with a clicked item of average relevance and appeal."""
    satisfaction_relevance: float = 0.8
    """s1: per unit of relevance x."""
    satisfaction_appeal: float = 2.1
    """s2: subtracted per unit of appeal c; > 0 makes clicks and satisfaction disagree."""
    satisfaction_satiation: float = 1.2
    """s3: subtracted per level of satiation with the item's topic."""

    satiation_half_life: float = 3.0
    """H: days after which the expected satiation has halved, > 0."""
    satiation_impression: float = 0.03
    """e: satiation by an item that is shown, in clicks, in [0, 1]."""

    leave_base: float = -0.5
    """l0: logit of ending the session after an item."""
    leave_satisfaction: float = 0.5
    """l1: subtracted after a satisfying click, added after a disappointing one."""
    leave_no_click: float = 0.25
    """l2: added after an item that was not clicked."""

    goodwill_step: float = 0.25
    """eta: share of the way from goodwill to the utility of the last item, in [0, 1]."""
    utility_no_click: float = -0.3
    """zn: utility of an item that was not clicked, in [-1, 1]."""

    return_base: float = 0.8
    """r0: logit of a visit on the day after a visit, at goodwill 0."""
    return_goodwill: float = 2.0
    """r1: per unit of goodwill S."""
    return_absence: float = 0.4
    """r2: subtracted per unit of log(1 + days without a visit)."""
    away_days_most: int = 60
    """Days after which a user who did not return has left for good."""

    churn_base: float = -5.5
    """k0: logit of never returning after a session, at goodwill 0."""
    churn_goodwill: float = 6.5
    """k1: subtracted per unit of goodwill S."""
    retention_sensitivity: float = 1.0
    """Scales r1 and k1; at 0 nothing that is shown changes who returns."""

    discount: float = 0.99
    """gamma: worth today of a click tomorrow, in (0, 1]."""

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ZERO:
            check_range(name, getattr(self, name), low=0.0)
        for name in _ANY_FINITE:
            check_range(name, getattr(self, name))
        check_range("satiation_half_life", self.satiation_half_life, low=0.0, low_open=True)
        check_range("satiation_impression", self.satiation_impression, low=0.0, high=1.0)
        check_range("goodwill_step", self.goodwill_step, low=0.0, high=1.0)
        check_range("utility_no_click", self.utility_no_click, low=-1.0, high=1.0)
        check_range("discount", self.discount, low=0.0, low_open=True, high=1.0)
        check_whole("away_days_most", self.away_days_most, low=1, high=3_650)
