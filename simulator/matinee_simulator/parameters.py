"""The parameters of the simulated users, with the symbols of the model's equations.

The equations live with their kernels: `response`, `click_models`, `satisfaction`, `satiation`,
`session_end` and `retention`. Of the causal parameters `r1`, `k1` and `eta` none can be read from
observational data: they are assumptions, so results should be reported for several values of
`retention_sensitivity`. Defaults are those of the calibration `films` (docs/calibration.md).
"""

import dataclasses

from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ConfigError

_AT_LEAST_ZERO = (
    "click_relevance",
    "click_appeal",
    "click_satiation",
    "click_redundancy",
    "click_fatigue",
    "satisfaction_relevance",
    "satisfaction_appeal",
    "satisfaction_satiation",
    "satisfaction_noise",
    "watch_noise",
    "watch_bias_sd",
    "satiation_impression",
    "leave_frailty_sd",
    "leave_satisfaction",
    "leave_no_click",
    "leave_depth",
    "utility_clicked",
    "utility_clicks",
    "return_frailty_sd",
    "return_goodwill",
    "return_absence",
    "churn_goodwill",
    "churn_tenure",
    "retention_sensitivity",
    "click_freshness",
    "season_amplitude",
)

_ABOVE_ZERO = (
    "cascade_enough_sd",
    "satiation_half_life",
    "satiation_cap",
    "rating_delay",
    "history_days",
    "freshness_half_life",
)

_SHARES = ("goodwill_step", "rating_share", "new_user_share", "bootstrap_noise")

_ANY_FINITE = (
    "click_base",
    "cascade_enough",
    "satisfaction_base",
    "leave_base",
    "leave_clip_low",
    "leave_clip_high",
    "utility_no_click",
    "return_base",
    "churn_base",
    "history_mean",
    "shock_size",
)

CLICK_MODELS = ("position", "cascade", "multinomial")
"""Names of the click models, in the order of their numbers in `click_models`."""

MOST_TASTE = 10.0
"""Largest `history_taste`: its exponential weighs items, and must stay finite for all of them."""

MOST_PAGES = 4_095
"""Largest `max_pages`: pages and slots share one counter of the random numbers."""

MOST_PER_DAY = 500.0
"""Largest `item_arrivals` and `shock_rate`: a Poisson count is drawn by inversion."""

LONGEST_DAYS = 36_500
"""Largest `item_life_days` and `freshness_half_life`, a hundred years."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parameters(Config):
    """How simulated users respond, tire, leave and return.

    Logits have no unit. A weight that is subtracted in its equation is given as a number >= 0.
    By default nothing but the users' own state changes from day to day: tastes that drift, a
    catalogue that moves, shocks and seasons are off.

    Raises:
        ConfigError: on a value outside its range, naming it.

    Example:
        >>> Parameters(retention_sensitivity=0.0).examination_persistence
        0.8493
        >>> Parameters(examination_persistence=1.5)
        Traceback (most recent call last):
        matinee_policies.errors.ConfigError: examination_persistence must be <= 1, got 1.5
    """

    click_model: str = "position"
    """How the clicks of a page depend on each other: `position` (independent), `cascade` (the user
    stops once satisfied) or `multinomial` (at most one click); see `click_models`."""
    examination_persistence: float = 0.8493
    """gamma: P(rank k + 1 is within the user's patience | rank k is), in (0, 1]."""
    cascade_enough: float = 1.0
    """e: satisfaction y after which half of the users of a cascade look no further, in z units."""
    cascade_enough_sd: float = 0.5
    """se: sd of that threshold; P(stop | y) = Phi((y - e) / se)."""

    click_base: float = -2.9646
    """a0: logit of attractiveness of an average, fresh item."""
    click_relevance: float = 0.9
    """a1: per sd of relevance x."""
    click_appeal: float = 0.7
    """a2: per sd of appeal c (promising more than the item holds)."""
    click_satiation: float = 0.60
    """a3: subtracted per unit of satiation with the item's topics."""
    click_redundancy: float = 0.8
    """a4: subtracted per unit of mean similarity to the items above in the slate."""
    click_fatigue: float = 0.3
    """a6: subtracted per earlier impression of the item that was not clicked."""
    fatigue_days: int = 14
    """Days after which an impression is forgotten."""
    fatigue_cap: int = 5
    """Impressions of one item that count at most."""
    fatigue_capacity: int = 256
    """Impressions remembered per user, the newest; 6 bytes each, so 1.5 KB per user."""

    satisfaction_base: float = 0.0
    """s0: satisfaction y with an average item, in z units."""
    satisfaction_relevance: float = 0.8
    """s1: per sd of relevance x."""
    satisfaction_appeal: float = 0.8
    """s2: subtracted per sd of appeal c; > 0 makes clicks and satisfaction disagree."""
    satisfaction_satiation: float = 0.45
    """s3: subtracted per unit of satiation with the item's topics."""
    satisfaction_noise: float = 0.6
    """sy: sd of satisfaction given all of the above."""
    watch_noise: float = 1.0
    """sd of the logit of the watched fraction given y and the user's bias."""
    watch_bias_sd: float = 0.5
    """sd over users of the logit of the watched fraction, b_u'."""
    rating_share: float = 0.1
    """p_rate: probability that a clicked item is rated."""
    rating_delay: float = 1.0
    """Mean of the exponential delay of a rating, in days."""

    satiation_half_life: float = 4.0
    """H: days after which satiation has halved."""
    satiation_impression: float = 0.03
    """e_imp: satiation by an examined item, in clicks."""
    satiation_cap: float = 12.0
    """h_max: most satiation with one topic, in clicks."""

    leave_base: float = 0.8018
    """l0: logit of leaving after the first page."""
    leave_frailty_sd: float = 0.8477
    """lf: sd over users of that logit, f_u."""
    leave_satisfaction: float = 0.5
    """l1: subtracted per unit of satisfaction, summed over the page's clicks."""
    leave_clip_low: float = -3.0
    """Least sum of satisfaction that counts."""
    leave_clip_high: float = 6.0
    """Largest sum of satisfaction that counts."""
    leave_no_click: float = 0.2713
    """l2: added when nothing was clicked."""
    leave_depth: float = 0.1755
    """l3: subtracted per log of the number of pages."""
    max_pages: int = 10
    """Pages after which every session ends."""

    utility_clicked: float = 0.9
    """zc: weight of the tanh of mean satisfaction in a session's utility Z."""
    utility_clicks: float = 0.25
    """Weight of log(1 + clicks) in a session that satisfied."""
    utility_no_click: float = -0.5
    """zn: utility of a session without a click."""
    goodwill_step: float = 0.3
    """eta: share of goodwill S that one session replaces; causal."""

    return_base: float = -0.7381
    """r0: logit of a visit on the day after a visit, at goodwill 0."""
    return_frailty_sd: float = 2.2477
    """rf: sd over users of that logit, phi_u."""
    return_goodwill: float = 1.1
    """r1: per unit of goodwill; causal."""
    return_absence: float = 1.2135
    """r2: subtracted per log(1 + whole days away)."""
    churn_base: float = -2.0754
    """k0: logit of churning for good after a session, at goodwill 0."""
    churn_goodwill: float = 1.6
    """k1: subtracted per unit of goodwill; causal."""
    churn_tenure: float = 0.6761
    """k2: subtracted per log(1 + sessions)."""
    retention_sensitivity: float = 1.0
    """Scales r1 and k1: 0 is the control in which nothing that is shown changes who returns."""

    arrival_days: int = 7
    """Users make their first visit on one of the first so many days, uniformly."""
    new_user_share: float = 0.3
    """Probability that a user has no history before the run."""
    bootstrap_noise: float = 0.2
    """Share of the variance of tastes that is drawn anew around a real user's taste."""
    history_mean: float = 40.0
    """Mean number of ratings before the run of users who have any."""
    history_least: int = 5
    """Least number of ratings before the run of users who have any."""
    history_most: int = 200
    """Largest number of ratings before the run."""
    history_taste: float = 0.15
    """How strongly relevance chose the items rated before the run, in logits per sd; MovieLens
    ratings fit 0 to 0.25: above, simulated ratings are higher than real ones."""
    history_days: float = 365.0
    """Days before the run over which those ratings are spread."""

    taste_drift: float = 0.0
    """delta: sd of what a day adds to each factor of a user's taste, in sd of that factor over the
    world's real users, in [0, 1]; see `taste_drift`."""
    item_arrivals: float = 0.0
    """A: items that become available per day on average, a Poisson process of whole days; see
    `catalogue_calendar`."""
    arriving_share: float = 0.0
    """Share of the world's items that are not there at the start, in [0, 1): those that arrive."""
    item_life_days: int = 0
    """Days for which an item is available before it retires; 0: for ever."""
    click_freshness: float = 0.0
    """a5: logit of attractiveness that an item has more on the day it arrives."""
    freshness_half_life: float = 180.0
    """F: days after which that has halved; 180 suits films (an assumption), 1.1 news."""
    shock_rate: float = 0.0
    """Shocks that begin per day on average, a Poisson process; see `shocks`."""
    shock_size: float = 1.0
    """Logit of attractiveness that a shock adds to an item of its genre alone."""
    shock_days: int = 7
    """Days that a shock lasts."""
    season_amplitude: float = 0.0
    """Logit of a visit that the peak day of the week adds; see `season`."""
    season_peak: int = 5
    """Day of the week of that peak, 0 for Monday to 6 for Sunday."""
    frailty_correlation: float = -0.4077
    """corr(f_u, phi_u), in [-1, 1]: below 0, users who leave sessions late come back more often."""

    def __post_init__(self) -> None:
        if self.click_model not in CLICK_MODELS:
            raise ConfigError(
                f"click_model must be one of {', '.join(CLICK_MODELS)}, got {self.click_model!r}"
            )
        for name in _AT_LEAST_ZERO:
            check_range(name, getattr(self, name), low=0.0)
        for name in _ABOVE_ZERO:
            check_range(name, getattr(self, name), low=0.0, low_open=True)
        for name in _SHARES:
            check_range(name, getattr(self, name), low=0.0, high=1.0)
        for name in _ANY_FINITE:
            check_range(name, getattr(self, name))
        check_range("history_taste", self.history_taste, low=0.0, high=MOST_TASTE)
        check_range("examination_persistence", self.examination_persistence, low=0.0, low_open=True)
        check_range("examination_persistence", self.examination_persistence, high=1.0)
        check_whole("fatigue_days", self.fatigue_days, low=1, high=365)
        check_whole("fatigue_cap", self.fatigue_cap, low=0, high=1_000)
        check_whole("fatigue_capacity", self.fatigue_capacity, low=1, high=65_536)
        check_whole("max_pages", self.max_pages, low=1, high=MOST_PAGES)
        check_whole("arrival_days", self.arrival_days, low=1, high=3_650)
        check_whole("history_least", self.history_least, low=1)
        check_whole("history_most", self.history_most, low=1)
        self._check_dynamics()
        if self.leave_clip_low > self.leave_clip_high:
            raise ConfigError(
                f"leave_clip_low must be <= leave_clip_high = {self.leave_clip_high:g}, "
                f"got {self.leave_clip_low!r}"
            )
        if not self.history_least <= self.history_mean <= self.history_most:
            raise ConfigError(
                f"history_mean must be within history_least = {self.history_least} and "
                f"history_most = {self.history_most}, got {self.history_mean!r}"
            )

    @property
    def catalogue_moves(self) -> bool:
        """Whether items arrive or retire."""
        return self.arriving_share > 0 or self.item_life_days > 0

    def _check_dynamics(self) -> None:
        check_range("taste_drift", self.taste_drift, low=0.0, high=1.0)
        check_range("item_arrivals", self.item_arrivals, low=0.0, high=MOST_PER_DAY)
        check_range("arriving_share", self.arriving_share, low=0.0, high=1.0, high_open=True)
        check_whole("item_life_days", self.item_life_days, low=0, high=LONGEST_DAYS)
        check_range("freshness_half_life", self.freshness_half_life, high=LONGEST_DAYS)
        check_range("shock_rate", self.shock_rate, low=0.0, high=MOST_PER_DAY)
        check_whole("shock_days", self.shock_days, low=1, high=365)
        check_whole("season_peak", self.season_peak, low=0, high=6)
        check_range("frailty_correlation", self.frailty_correlation, low=-1.0, high=1.0)
        if self.item_arrivals > 0 and self.arriving_share == 0:
            raise ConfigError(
                f"item_arrivals = {self.item_arrivals:g} needs items that are not there at the "
                f"start: arriving_share must be > 0, got {self.arriving_share!r}"
            )
