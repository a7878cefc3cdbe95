"""Every estimator by the name that people ask for it, in a sentence each."""

from collections.abc import Sequence
from dataclasses import dataclass

from matinee_platform.ope.row_columns import Weights
from matinee_policies.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Estimator:
    """One estimator of a page's value.

    Attributes:
        name: as asked for.
        weights: that it is made of.
        base: its name among estimators of these weights.
        model: whether it reads predictions.
        residual: whether what is weighed is reward less prediction; with `interval`, its interval
            is moved by the mean of the expected predictions.
        interval: whether intervals from sums of weights hold for it.
        grid: whether it has a hyper-parameter.
        limit: of a tamed one, the estimator that it turns into where nothing is tamed.
        words: what it does.
    """

    name: str
    weights: Weights
    base: str
    words: str
    model: bool = False
    residual: bool = False
    interval: bool = False
    grid: bool = False
    limit: str = ""


_ALL = (
    Estimator("ips", "slot", "ips", "reward times weight, slot by slot", interval=True),
    Estimator("snips", "slot", "snips", "IPS over the mean weight", interval=True),
    Estimator("dm", "slot", "dm", "expected prediction; as good as the model", model=True),
    Estimator(
        "dr",
        "slot",
        "dr",
        "expected prediction plus weighted residual",
        model=True,
        residual=True,
        interval=True,
    ),
    Estimator(
        "sndr",
        "slot",
        "sndr",
        "DR with the residual over the mean weight",
        model=True,
        residual=True,
        interval=True,
    ),
    Estimator("clipped", "slot", "clipped", "IPS, weights clipped", grid=True, limit="ips"),
    Estimator(
        "subgaussian",
        "slot",
        "subgaussian",
        "IPS, weights bent smoothly",
        grid=True,
        limit="ips",
    ),
    Estimator(
        "switch_dr",
        "slot",
        "switch_dr",
        "DR, the model alone where weights are large",
        model=True,
        grid=True,
        limit="dr",
    ),
    Estimator(
        "dros",
        "slot",
        "dros",
        "DR with weights shrunk for least error",
        model=True,
        grid=True,
        limit="dr",
    ),
    Estimator(
        "subgaussian_dr",
        "slot",
        "subgaussian_dr",
        "DR, weights bent smoothly",
        model=True,
        grid=True,
        limit="dr",
    ),
    Estimator("replay", "slot", "replay", "mean over the pages both would show; uniform logs"),
    Estimator("mips", "marginal", "mips", "IPS with weights of clusters of items", interval=True),
    Estimator("snmips", "marginal", "snmips", "MIPS over the mean weight", interval=True),
    Estimator("standard", "slate", "ips", "page reward times weight of the page", interval=True),
    Estimator("sn_standard", "slate", "snips", "standard over the mean weight", interval=True),
    Estimator("iips", "slot", "ips", "IPS of a page: slots do not mind each other", interval=True),
    Estimator("sn_iips", "slot", "snips", "IIPS over the mean weights", interval=True),
    Estimator("rips", "cascade", "ips", "weights of the slots above and its own", interval=True),
    Estimator("sn_rips", "cascade", "snips", "RIPS over the mean weights", interval=True),
    Estimator("cascade_dr", "cascade", "dr", "RIPS with predictions", model=True, interval=True),
    Estimator(
        "sn_cascade_dr",
        "cascade",
        "sndr",
        "cascade-DR over the mean weights",
        model=True,
        interval=True,
    ),
)

ESTIMATORS: dict[str, Estimator] = {one.name: one for one in _ALL}

SLATES = ("standard", "sn_standard", "iips", "sn_iips", "rips", "sn_rips")
"""Forms for whole pages, of which single slots know but one."""

_CASCADE = ("cascade_dr", "sn_cascade_dr")


def chosen(
    names: Sequence[str] | None, *, model: bool, slots: int, marginal: bool, adaptive: bool = False
) -> tuple[Estimator, ...]:
    """The estimators that are meant, the first of which is the headline.

    Args:
        names: as asked for; None for all that the log allows. First then is cascade-DR for pages
            (RIPS without a model): right where what stands below a slot does not matter, while
            weights of single slots value a slot below what the *log* showed above it. Of single
            actions it is DR (IPS). Where the policy learned while it logged, those without a model
            come first: they alone have intervals that hold at any time.
        model: whether there are predictions.
        slots: of a page.
        marginal: whether the log has weights of clusters.
        adaptive: whether the policy that logged changed as it did.

    Raises:
        ConfigError: on an unknown name, or one that the log does not allow.
    """
    if names is None:
        first = ["dr", "ips"] if model else ["ips"]
        if slots > 1:
            first = ["cascade_dr", "rips", *first] if model else ["rips", *first]
        if adaptive:
            first.sort(key=lambda name: ESTIMATORS[name].model)
        rest = [one.name for one in _ALL if one.name not in ("replay", "iips", "sn_iips")]
        ordered = [*first, *(name for name in rest if name not in first)]
        found = [ESTIMATORS[name] for name in ordered]
        found = [one for one in found if model or not one.model]
        found = [one for one in found if marginal or one.weights != "marginal"]
        return tuple(one for one in found if slots > 1 or one.name not in (*SLATES, *_CASCADE))
    if not names:
        raise ConfigError("at least one estimator must be named, got none")
    unknown = [name for name in names if name not in ESTIMATORS]
    if unknown:
        raise ConfigError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {unknown[0]!r}")
    asked = tuple(ESTIMATORS[name] for name in dict.fromkeys(names))
    for one in asked:
        if one.model and not model:
            raise ConfigError(f"{one.name} needs a reward model: ridge, logistic or empirical")
        if one.weights == "marginal" and not marginal:
            raise ConfigError(f"{one.name} needs clusters of items, and none are given")
    return asked
