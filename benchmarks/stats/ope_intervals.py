"""S3, the part on off-policy values: intervals hold the truth also where clicks are rare.

Single actions drawn uniformly, a softmax target, click rates that rise with what the target
likes: a closed form knows its value. Rows are independent and few distinct, so a log is a draw of
counts, and a thousand of them cost little. Beside the default interval: what people use instead.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.ope.anytime import anytime_sequence
from matinee_platform.ope.cressie_read import cressie_read_bounds
from matinee_platform.ope.diagnostics import Diagnostics
from matinee_platform.ope.empirical_bernstein import empirical_bernstein_bounds
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.refusal import judge
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import FloatArray, Int64Array
from promises import Promise
from stats.effort import Effort

ACTIONS = 26
CONFIDENCE = 0.95
LEAST = 0.93
DRAWS = 400
"""Resamples of one log."""

LOOKS = 50
Bounds = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True)
class Setting:
    """A log of single actions.

    Attributes:
        rows: in it.
        rate: of clicks under the logging law.
        sharpness: of the target, 0 for uniform.
    """

    rows: int
    rate: float
    sharpness: float

    @property
    def weights(self) -> FloatArray:
        """Weight of each action under the target, `float64 [ACTIONS]`."""
        return np.asarray(
            special.softmax(np.linspace(0, self.sharpness, ACTIONS)) * ACTIONS, dtype=np.float64
        )

    @property
    def clicks(self) -> FloatArray:
        """Click rate of each action, `float64 [ACTIONS]`."""
        return self.rate * np.linspace(0.5, 1.5, ACTIONS)

    @property
    def truth(self) -> float:
        """Click rate under the target."""
        return float((self.weights * self.clicks).mean())

    def draw(self, rng: np.random.Generator, logs: int) -> FloatArray:
        """Rows with and without a click, by action, `float64 [logs, 2, ACTIONS]`."""
        law = np.stack([self.clicks, 1 - self.clicks]) / ACTIONS
        counts = rng.multinomial(self.rows, law.ravel(), size=logs)
        return counts.reshape(logs, 2, ACTIONS).astype(np.float64)


RARE = (
    Setting(rows=5_000, rate=0.003, sharpness=5),
    Setting(rows=5_000, rate=0.003, sharpness=40),
    Setting(rows=5_000, rate=0.0045, sharpness=40),
)
SHIPPED = (
    Setting(rows=20_000, rate=0.003, sharpness=5),
    Setting(rows=20_000, rate=0.003, sharpness=40),
)


def measure(effort: Effort) -> list[Promise]:
    """The function alone below the gate, the gate and the function above it, and any time."""
    promises = [_rare(setting, effort) for setting in RARE]
    promises += [_shipped(setting, effort) for setting in SHIPPED]
    return [*promises, *_any_time(effort)]


def covered(setting: Setting, *, logs: int, seed: int) -> dict[str, tuple[float, float]]:
    """Share of logs whose interval holds the truth, and its mean width, by method."""
    rng = np.random.default_rng([33, seed])
    counts = setting.draw(rng, logs)
    sums = _sums(setting, counts)
    largest = float(setting.weights.max())
    known = {"largest": largest, "rewards": RewardRange(), "confidence": CONFIDENCE}
    found: dict[str, Bounds] = {
        "Cressie-Read": cressie_read_bounds(sums, **known),  # type: ignore[arg-type]
        "empirical Bernstein": empirical_bernstein_bounds(sums, **known),  # type: ignore[arg-type]
        "Gaussian": _gaussian(sums),
        "SNIPS delta": _delta(sums),
        "bootstrap": _bootstrap(setting, counts, rng),
    }
    return {
        name: (
            float(((low <= setting.truth) & (setting.truth <= high)).mean()),
            float((high - low).mean()),
        )
        for name, (low, high) in found.items()
    }


def _rare(setting: Setting, effort: Effort) -> Promise:
    found = covered(setting, logs=effort.experiments, seed=1)
    share, width = found["Cressie-Read"]
    others = ", ".join(
        f"{name} {one[0]:.0%}" for name, one in found.items() if name != "Cressie-Read"
    )
    return Promise(
        name=f"S3 Cressie-Read alone, {_named(setting)}",
        measured=f"{share:.1%}, {found['empirical Bernstein'][1] / width:.1f} times narrower than "
        f"empirical Bernstein; {others}",
        asked=f"at least {LEAST:.0%}",
        kept=effort.at_least(share, LEAST, trials=effort.experiments),
    )


def _shipped(setting: Setting, effort: Effort) -> Promise:
    """Default interval behind the gate: only logs that are not refused count."""
    counts = setting.draw(np.random.default_rng(34), effort.experiments)
    sums = _sums(setting, counts)
    low, high = cressie_read_bounds(
        sums,
        largest=float(setting.weights.max()),
        rewards=RewardRange(),
        confidence=CONFIDENCE,
    )
    held = (low <= setting.truth) & (setting.truth <= high)
    shown = np.array([not _refused(setting, log) for log in counts])
    share = float(held[shown].mean()) if shown.any() else math.nan
    return Promise(
        name=f"S3 Cressie-Read behind the gate, {_named(setting)}",
        measured=f"{share:.1%} of {shown.sum():,}; {1 - shown.mean():.1%} refused",
        asked=f"at least {LEAST:.0%}",
        kept=bool(shown.any()) and effort.at_least(share, LEAST, trials=int(shown.sum())),
    )


def _any_time(effort: Effort) -> list[Promise]:
    """A log whose policy learns as it goes, read at fifty looks."""
    logs = max(effort.experiments // 4, 200)
    weights, clicks, truth = adaptive_logs(logs=logs, rows=2_000, seed=35)
    looks = np.linspace(40, weights.shape[1], LOOKS).astype(np.int64)
    peeking = _peeking(weights * clicks, looks, truth)
    promises = []
    for name, largest in (("known", float(LARGEST)), ("unknown", math.inf)):
        low, high = anytime_sequence(weights, clicks, looks=looks, largest=largest)
        missed = float(((low > truth) | (high < truth)).any(axis=1).mean())
        promises.append(
            Promise(
                name=f"S3 anytime on an adaptive log, largest weight {name}",
                measured=f"{missed:.1%} of {logs} ever miss; "
                f"width {(high - low)[:, -1].mean():.3f} at the end; Gaussian {peeking:.0%}",
                asked=f"at most 5 % over {LOOKS} looks",
                kept=effort.at_most(missed, 1 - CONFIDENCE, trials=logs),
            )
        )
    return promises


ARMS = 4
EPSILON = 0.2
LARGEST = ARMS / EPSILON


def adaptive_logs(*, logs: int, rows: int, seed: int) -> tuple[FloatArray, FloatArray, float]:
    """Weights and clicks of epsilon-greedy logs that learn from themselves, and the truth.

    The target always takes the best arm. `float64 [logs, rows]` twice.
    """
    rng = np.random.default_rng(seed)
    rates = np.linspace(0.1, 0.25, ARMS)
    shown, clicked = np.ones((2, logs, ARMS))
    weights, clicks = np.zeros((2, logs, rows))
    log = np.arange(logs)
    for t in range(rows):
        greedy = (clicked / shown).argmax(axis=1)
        arm = np.where(rng.random(logs) < EPSILON, rng.integers(ARMS, size=logs), greedy)
        p = EPSILON / ARMS + (1 - EPSILON) * (arm == greedy)
        click = rng.random(logs) < rates[arm]
        weights[:, t], clicks[:, t] = (arm == ARMS - 1) / p, click
        shown[log, arm] += 1
        clicked[log, arm] += click
    return weights, clicks, float(rates[-1])


def _peeking(values: FloatArray, looks: Int64Array, truth: float) -> float:
    first, second = np.cumsum(values, axis=1), np.cumsum(values * values, axis=1)
    at = looks - 1
    mean = first[:, at] / looks
    error = np.sqrt(np.maximum(second[:, at] / looks - mean * mean, 0) / looks)
    return float((np.abs(mean - truth) > 1.96 * error).any(axis=1).mean())


def _sums(setting: Setting, counts: FloatArray) -> WeightedSums:
    logs = len(counts)
    shape = logs, 2 * ACTIONS
    weights = np.broadcast_to(np.tile(setting.weights, 2), shape)
    rewards = np.broadcast_to(np.repeat([1.0, 0.0], ACTIONS), shape)
    return WeightedSums.of(weights, rewards, counts=counts.reshape(shape))


def _refused(setting: Setting, log: FloatArray) -> bool:
    one = _sums(setting, log[None])
    first = WeightedSums(*(getattr(one, name)[0] for name in WeightedSums.__slots__))
    return judge(Diagnostics.from_sums(first, unreachable=0.0)).is_refused


def _gaussian(sums: WeightedSums) -> Bounds:
    n, value = sums.rows, sums.value
    half = 1.96 * np.sqrt((sums.gain2 - n * value * value) / (n - 1) / n)
    return value - half, value + half


def _delta(sums: WeightedSums) -> Bounds:
    value = sums.gain / sums.weight
    squares = sums.gain2 - 2 * value * sums.weight_gain + value * value * sums.weight2
    half = 1.96 * np.sqrt(squares) / sums.weight
    return value - half, value + half


def _bootstrap(setting: Setting, counts: FloatArray, rng: np.random.Generator) -> Bounds:
    """Percentiles of the inverse propensity score; only clicks enter, so only they are drawn."""
    ends = np.empty((2, len(counts)))
    for log, (clicked, _) in enumerate(counts):
        law = np.append(clicked, setting.rows - clicked.sum()) / setting.rows
        drawn = rng.multinomial(setting.rows, law, size=DRAWS)[:, :-1]
        ends[:, log] = np.quantile(drawn @ setting.weights / setting.rows, [0.025, 0.975])
    return ends[0], ends[1]


def _named(setting: Setting) -> str:
    return (
        f"{setting.rate:.2%} clicks, {setting.rows:,} rows, weights to {setting.weights.max():.0f}"
    )
