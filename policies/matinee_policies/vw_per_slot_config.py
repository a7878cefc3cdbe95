"""The parameters of `VowpalWabbitPerSlot`, and the command line they stand for."""

from dataclasses import dataclass

from matinee_policies.config import check_range, check_seed, check_whole
from matinee_policies.diversity import Diversity
from matinee_policies.errors import ConfigError
from matinee_policies.vw_checks import BOTH_NAMESPACES, check_interactions
from matinee_policies.vw_config import VowpalWabbitSettings, check_flag, listed
from matinee_policies.vw_text import SLOT_NAMESPACE

EXPLORATIONS = ("epsilon", "squarecb", "softmax", "bag", "cover", "rnd", "regcb", "regcbopt")

SLOT_FEATURES = ("none", "number", "one_hot")


@dataclass(frozen=True, slots=True, kw_only=True)
class VowpalWabbitPerSlotConfig(VowpalWabbitSettings):
    """Parameters of `VowpalWabbitPerSlot`; `diversity` must be 0."""

    exploration: str = "bag"
    """`epsilon`, `squarecb`, `softmax`, `bag`, `cover`, `rnd`, `regcb` or `regcbopt`."""

    members: int = 5
    """Of `bag`, `cover` and `rnd`: how many policies or noise predictors, 1 to 64."""

    cover_epsilon: float = 0.05
    """Of `cover`: least probability of an action times their number, in (0, 1]; never falls."""

    psi: float = 1.0
    """Of `cover`: how much later policies avoid what earlier ones choose, at least 0."""

    rnd_alpha: float = 0.1
    """Of `rnd`: width of intervals, above 0; explores features seen before."""

    rnd_invlambda: float = 0.1
    """Of `rnd`: inverse of the regularisation, above 0; explores new features."""

    mellowness: float = 0.1
    """Of `regcb` and `regcbopt`: width of the intervals, at least 0."""

    least_reward: float = 0.0
    """Of `regcb` and `regcbopt`: least reward of a slot."""

    most_reward: float = 1.0
    """Of `regcb` and `regcbopt`: largest reward of a slot, above the least."""

    propensity_weighted: bool = True
    """Whether a row counts with its logged propensity; else with 1 / actions."""

    actions: int = 100
    """Number of actions in a learned set, 2 to 10,000; those not kept in the log are blank."""

    slot_features: str = "none"
    """What tells slots apart, in namespace `s`: `none`, `number` (1 / log2(slot + 2), slots counted
    from 0) or `one_hot`."""

    interactions: tuple[str, ...] = ()
    """Products of features, by their namespaces, e.g. `["ac", "as"]`; two or three letters each."""

    bits: int = 14
    """Weights of one regressor are 2^bits, 8 to 24."""

    rows_per_save: int = 1024
    """Rows after which the model is saved and opened anew, 1 to 1,000,000; part of the law."""

    seed: int = 0
    """Of the draws of `bag` and `rnd`, in [0, 2^31 - 1]."""

    def __post_init__(self) -> None:
        VowpalWabbitSettings.__post_init__(self)
        _check_choice("exploration", self.exploration, EXPLORATIONS)
        _check_choice("slot_features", self.slot_features, SLOT_FEATURES)
        price = self.diversity.price if isinstance(self.diversity, Diversity) else self.diversity
        if price > 0:
            raise ConfigError(
                "diversity must be 0 where Vowpal Wabbit gives the law, which knows no price of "
                f"redundancy (kind vowpal_wabbit has one), got {self.diversity!r}"
            )
        for name in ("gamma_scale", "psi", "mellowness"):
            check_range(name, getattr(self, name), low=0, high=1e6)
        for name in ("rnd_alpha", "rnd_invlambda"):
            check_range(name, getattr(self, name), low=0, high=1e6, low_open=True)
        check_range("cover_epsilon", self.cover_epsilon, low=0, high=1, low_open=True)
        check_range("least_reward", self.least_reward, low=-1e6, high=1e6)
        check_range("most_reward", self.most_reward, low=self.least_reward, high=1e6, low_open=True)
        for name, low, high in (
            ("members", 1, 64),
            ("actions", 2, 10_000),
            ("bits", 8, 24),
            ("rows_per_save", 1, 1_000_000),
        ):
            check_whole(name, getattr(self, name), low=low, high=high)
        check_seed("seed", self.seed)
        if self.seed >= 2**31:
            raise ConfigError(f"seed must be below 2^31, got {self.seed}")
        check_flag("propensity_weighted", self.propensity_weighted)
        object.__setattr__(self, "interactions", listed("interactions", self.interactions))
        slot = SLOT_NAMESPACE if self.slot_features != "none" else ""
        check_interactions(
            self.interactions,
            namespaces=BOTH_NAMESPACES + slot,
            has_context=bool(self.context_features),
        )

    def options(self) -> list[str]:
        """The command line of Vowpal Wabbit."""
        words = ["--cb_explore_adf", "--cb_type", "mtr", *self._exploration_options()]
        words += ["--bit_precision", str(self.bits), "--learning_rate", repr(self.learning_rate)]
        for names in self.interactions:
            words += ["--interactions", names]
        return words

    def _exploration_options(self) -> list[str]:
        members, costs = str(self.members), [-self.most_reward, -self.least_reward]
        regcb = ["--regcb", "--mellowness", repr(self.mellowness)]
        regcb += ["--cb_min_cost", repr(costs[0]), "--cb_max_cost", repr(costs[1])]
        return {
            # The floor of a slot's law holds its share of epsilon.
            "epsilon": ["--epsilon", "0", "--first_only"],
            "squarecb": [
                "--squarecb",
                *("--gamma_scale", repr(self.gamma_scale)),
                *("--gamma_exponent", repr(self.gamma_exponent)),
            ],
            "softmax": ["--softmax", "--lambda", repr(1.0 / self.temperature)],
            "bag": ["--bag", members],
            "cover": [
                *("--cover", members, "--epsilon", repr(self.cover_epsilon)),
                *("--psi", repr(self.psi)),
            ],
            "rnd": [
                *("--rnd", members, "--rnd_alpha", repr(self.rnd_alpha)),
                *("--rnd_invlambda", repr(self.rnd_invlambda)),
            ],
            "regcb": regcb,
            "regcbopt": [*regcb, "--regcbopt"],
        }[self.exploration]


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
