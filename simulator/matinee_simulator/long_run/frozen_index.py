"""The constants of the long-run index, tuned once and kept with the package.

    frozen_index()    what `frozen_index.json` holds

They were tuned on training seeds (`index_tuning`). Whoever measures the index asks `check_seeds`
first, so that no figure is of a seed that the constants were chosen on.
"""

import functools
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.rollout.rankers import Ranker, index_order

FORMAT = 1
"""Version of the file."""

_FILE = "frozen_index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenIndex:
    """Constants of the index, and how they were found.

    Attributes:
        satisfaction_weight: ws.
        satiation_price: wh.
        mmr_price: of the largest similarity to the items above, in clicks.
        training_seeds: seeds that they were tuned on.
        objective: what was maximised.
        score: the objective at these constants, on the training seeds.
        users: per training seed.
        days: per training seed.
        data: the world's data, in words.
        parameters: version of the parameters of the users.
        generations: mean, sd, best point, best score and elite score of each generation.
    """

    satisfaction_weight: float
    satiation_price: float
    mmr_price: float
    training_seeds: tuple[int, ...]
    objective: str
    score: float
    users: int
    days: int
    data: str
    parameters: str
    generations: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name in ("satisfaction_weight", "satiation_price", "mmr_price"):
            check_range(name, getattr(self, name), low=0.0)

    def ranker(self) -> Ranker:
        """The index as a ranker of rollouts."""
        ranker = index_order(self.satisfaction_weight, self.satiation_price, self.mmr_price)
        return ranker._replace(name="index (frozen)")

    def check_seeds(self, seeds: Iterable[int]) -> None:
        """Refuse seeds that the constants were tuned on.

        Raises:
            ConfigError: naming the seed.
        """
        for seed in seeds:
            if seed in self.training_seeds:
                raise ConfigError(
                    f"seed must be none of the training seeds "
                    f"{', '.join(map(str, self.training_seeds))} of the index, got {seed}"
                )

    def save(self, path: Path) -> None:
        """Write to a JSON file."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, indent=2)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def parse(cls, text: str, *, origin: str) -> "FrozenIndex":
        """Read what `save` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            values = json.loads(text)
            if values.pop("format") != FORMAT:
                raise DataError(origin, rule=f"format must be {FORMAT}")
            values["training_seeds"] = tuple(values["training_seeds"])
            values["generations"] = tuple(values["generations"])
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            raise DataError(origin, rule=f"must hold a frozen index ({error})") from None


@functools.cache
def frozen_index() -> FrozenIndex:
    """The constants that come with the package."""
    text = files("matinee_simulator.long_run").joinpath(_FILE).read_text(encoding="utf-8")
    return FrozenIndex.parse(text, origin=_FILE)
