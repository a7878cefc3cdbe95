"""The stylised facts: what each claims, where it comes from, how near is near enough.

Numbers are those of the specification of the simulated users (section 8 there). Tolerances were
set with the facts, before anything was simulated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matinee_simulator.stylised_facts.finding import Figure, Finding, Plot, Verdict, judge

_DATA = "computed from real data"
_READ = "read in an abstract or on a page"
_CODE = "read in source code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a check holds the simulated users to.

    Attributes:
        key: name for the command line, e.g. `fact-1`.
        title: the claim.
        source: where it comes from.
        evidence: how far it can be trusted.
        tolerance: what counts as reproduced.
        why_not: why the film scenario is not held to it; empty if it is.
    """

    key: str
    title: str
    source: str
    evidence: str
    tolerance: str
    why_not: str = ""

    def finding(
        self, figures: Sequence[Figure], *, plot: Plot | None = None, explain: str = ""
    ) -> Finding:
        """The finding that figures amount to.

        Args:
            figures: the numbers.
            plot: what to draw.
            explain: why it fails, if it does; said after what is out of range.
        """
        verdict, reason = judge(figures)
        if verdict is Verdict.FAIL and explain:
            reason = f"{reason} {explain}"
        return self._ended(verdict, reason, tuple(figures), plot)

    def without(self, verdict: Verdict, reason: str) -> Finding:
        """A finding without figures: not applicable, or not run."""
        return self._ended(verdict, reason, (), None)

    def _ended(
        self, verdict: Verdict, reason: str, figures: tuple[Figure, ...], plot: Plot | None
    ) -> Finding:
        return Finding(
            key=self.key,
            title=self.title,
            source=self.source,
            evidence=self.evidence,
            tolerance=self.tolerance,
            verdict=verdict,
            reason=reason,
            figures=figures,
            plot=plot,
            gated=not self.why_not,
        )


_NEEDS_TIME_OF_DAY = "A fact of news services with a time of day, which these users do not have."

FACTS: tuple[Claim, ...] = (
    Claim(
        key="fact-1",
        title="The popularity of items is heavy-tailed",
        source="MovieLens latest-small, MovieTweetings, Globo",
        evidence=_DATA,
        tolerance="Gini within ±.05 of the data's own and of the published one",
    ),
    Claim(
        key="fact-2",
        title="Popularity falls by rank as a power (Zipf)",
        source="MovieLens latest-small, MovieTweetings, Globo, Goodbooks",
        evidence=_DATA,
        tolerance="slope over ranks 5 to 500 within ±.15",
    ),
    Claim(
        key="fact-3",
        title="The counts of items have a power tail",
        source="MovieLens latest-small, MovieTweetings",
        evidence=_DATA,
        tolerance="Hill exponent over counts of at least 10 within ±.2",
    ),
    Claim(
        key="fact-4",
        title="The activity of users is heavy-tailed",
        source="MovieLens latest-small, MovieTweetings",
        evidence=_DATA,
        tolerance="quantiles of the ratings per user within a factor of 1.3, as multiples of the "
        "median: the mean is a parameter (history_mean)",
    ),
    Claim(
        key="fact-5",
        title="Many items have a single rating",
        source="MovieLens latest-small, MovieTweetings",
        evidence=_DATA,
        tolerance="share within ±.08 of the data's own and of the published one",
    ),
    Claim(
        key="fact-6",
        title="Ratings are skewed to the left, with their mode at 4 of 5",
        source="MovieLens latest-small, MovieTweetings, Goodbooks",
        evidence=_DATA,
        tolerance="Kolmogorov distance at most .05; mode 4; published shares within ±.05",
    ),
    Claim(
        key="fact-7",
        title="Popularity is weakly tied to quality",
        source="MovieLens latest-small, MovieTweetings",
        evidence=_DATA,
        tolerance="correlation of log count and mean rating (items with 5 or more) within ±.1",
    ),
    Claim(
        key="fact-8",
        title="Users and items have rating biases",
        source="MovieLens latest-small",
        evidence=_DATA,
        tolerance="sd of the mean ratings of users and of items (20 or more) within ±.08 stars",
    ),
    Claim(
        key="fact-9",
        title="The longer a session, the less likely it ends",
        source="Globo; same shape as work on session lengths with Weibull shape below 1",
        evidence=_DATA,
        tolerance="each hazard within ±.06; click k of a news session stands for page k - 1",
    ),
    Claim(
        key="fact-10",
        title="Gaps within sessions are half a minute, with a long tail",
        source="Globo",
        evidence=_DATA,
        tolerance="order of magnitude",
        why_not=_NEEDS_TIME_OF_DAY,
    ),
    Claim(
        key="fact-11",
        title="Users come back after a day, some after many",
        source="Globo",
        evidence=_DATA,
        tolerance="median gap of 20 to 32 hours",
        why_not=_NEEDS_TIME_OF_DAY,
    ),
    Claim(
        key="fact-12",
        title="Many users come once",
        source="Globo (42 % in 16 days), MovieTweetings (50 %)",
        evidence=_DATA,
        tolerance="share with one session in 16 days of 25 to 50 %",
    ),
    Claim(
        key="fact-13",
        title="Retention falls ever more slowly",
        source="benchmark pages on apps and on streaming media",
        evidence=f"{_READ}; secondary and of unequal quality, hence ranges",
        tolerance="D1 of .25 to .45, D7 of .10 to .25, D28 of .05 to .14",
    ),
    Claim(
        key="fact-14",
        title="The longer users have stayed, the less likely they leave for good",
        source="Fader and Hardie 2007, shifted beta-geometric",
        evidence=_READ,
        tolerance="R² of the fitted shifted beta-geometric above .98; the hazard falls",
    ),
    Claim(
        key="fact-15",
        title="One news reader in eight is back the next day",
        source="Globo",
        evidence=_DATA,
        tolerance="news preset alone",
        why_not="A fact of news services; there is no news scenario.",
    ),
    Claim(
        key="fact-16",
        title="Those who go deeper in their first session return more",
        source="Globo; confounded: heavy readers return anyway",
        evidence=_DATA,
        tolerance="slope of the three-day return over the depth of the first session: same sign, "
        "within ±50 %; click k stands for page k - 1, as in fact 9",
    ),
    Claim(
        key="fact-17",
        title="Clicks fall with rank, as examination does",
        source="SARDINE, RecSim (.65 to .9 per rank); Craswell et al. 2008",
        evidence=f"{_CODE}; {_READ}",
        tolerance="click-through falls with rank; gamma recovered within ±.02",
    ),
    Claim(
        key="fact-18",
        title="Random pages are clicked rarely",
        source="Open Bandit Dataset (.46 %)",
        evidence=_DATA,
        tolerance="no target for films",
        why_not="Fashion banners are clicked far less than films chosen from one's own candidates.",
    ),
    Claim(
        key="fact-19",
        title="Content ages",
        source="Globo",
        evidence=_DATA,
        tolerance="news preset alone",
        why_not="A fact of news services; there is no news scenario.",
    ),
    Claim(
        key="fact-20",
        title="Use follows the hours of the day",
        source="Globo",
        evidence=_DATA,
        tolerance="optional",
        why_not=_NEEDS_TIME_OF_DAY,
    ),
    Claim(
        key="fact-21",
        title="Personalisation: more engagement, less individual and more aggregate diversity",
        source="Holtz et al. 2020, randomised trial: +28.9 %, -11.5 %, +6.0 %",
        evidence=_READ,
        tolerance="three signs, of matrix factorization against popularity, by two standard errors",
    ),
    Claim(
        key="fact-22",
        title="Those who consume more varied items stay longer",
        source="Anderson et al. 2020",
        evidence=f"{_READ}; an association",
        tolerance="sign, after control for activity, by two standard errors",
    ),
    Claim(
        key="fact-23",
        title="What a ranking does to retention is small",
        source="RLUR in KuaiSim's table: return time -2.6 %",
        evidence=_CODE,
        tolerance="best learned policy within ±30 % of the D28 of matrix factorization",
    ),
    Claim(
        key="fact-24",
        title="Tastes have one strong direction and many weak ones",
        source="Jester: 26 % in the first factor, then 1 to 5 % each",
        evidence=_DATA,
        tolerance="first share of .17 to .39, the next nine of .007 to .075 each (a factor of 1.5; "
        "the source names none), of all ratings of 100 films, as in Jester",
    ),
)
"""All facts, in order; the film scenario is held to those without a `why_not`."""


def fact(number: int) -> Claim:
    """The fact with a number.

    Example:
        >>> fact(2).key
        'fact-2'
    """
    return FACTS[number - 1]
