"""Logs of the Open Bandit Dataset (Saito et al. 2020, arXiv:2008.07146) as they are published.

A row is one item at one of three places of a page, with the probability of the item at that place;
the pages themselves were taken apart, so each row stands for its own. What a policy earns on such a
log is its clicks per place shown. The dataset names no users: rows count as independent units.

    FOLDER/random_men.csv.gz           the small sample, plain or gzip
    FOLDER/random/men/men.csv          the full set
"""

from pathlib import Path

from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.log_columns import LogColumns
from matinee_platform.ope.inputs.propensities import Estimator
from matinee_platform.ope.inputs.table import table_log
from matinee_policies.datasets.table_file import open_table
from matinee_policies.errors import ConfigError, DataError

POSITIONS = 3

BEHAVIOURS = ("random", "bts")
CAMPAIGNS = ("all", "men", "women")

_COLUMNS = ("timestamp", "item_id", "position", "click")
_PROPENSITIES = ("propensity_score", "action_prob")
_AFFINITY, _FEATURE = "user-item_affinity_", "user_feature_"


def is_open_bandit(path: Path) -> bool:
    """Whether a path holds logs of the dataset, by the names or the columns of its files."""
    if path.is_dir():
        return bool(_logs(path))
    if not path.is_file() or not path.name.lower().endswith((".csv", ".csv.gz")):
        return False
    try:
        names = open_table(path).names
    except DataError:
        return False
    return {*_COLUMNS} <= {*names} and any(name.startswith(_AFFINITY) for name in names)


def open_bandit_log(
    path: Path | str,
    *,
    behaviour: str | None = None,
    campaign: str | None = None,
    propensities: Estimator | None = None,
) -> ActionLog:
    """Open a log of the dataset.

    Args:
        path: one of its CSV files, or a folder of them.
        behaviour: `"random"` or `"bts"`, which of the folder's policies.
        campaign: `"all"`, `"men"` or `"women"`, which of the folder's campaigns.
        propensities: estimator of probabilities, instead of those that the log has.

    Raises:
        ConfigError: if the folder holds none or several that were asked for.
        DataError: naming the column, the row, the value and the rule that it breaks.
    """
    file = _chosen(Path(path), behaviour, campaign)
    names = open_table(file).names
    given = next((name for name in _PROPENSITIES if name in names), _PROPENSITIES[0])
    columns = LogColumns(
        action=("item_id",),
        reward=("click",),
        propensity=(given,) if propensities is None else (),
        position=("position",),
        time=("timestamp",),
        context=tuple(name for name in names if name.startswith(_FEATURE)),
    )
    count = sum(name.startswith(_AFFINITY) for name in names)
    return table_log(
        file,
        columns,
        propensities=propensities,
        items=[str(item) for item in range(count)] or None,
        positions=POSITIONS,
    )


def _chosen(path: Path, behaviour: str | None, campaign: str | None) -> Path:
    for name, value, known in (
        ("behaviour", behaviour, BEHAVIOURS),
        ("campaign", campaign, CAMPAIGNS),
    ):
        if value is not None and value not in known:
            raise ConfigError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    if not path.is_dir():
        return path
    logs = _logs(path)
    found = [
        file
        for (policy, place), file in logs.items()
        if behaviour in (None, policy) and campaign in (None, place)
    ]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{policy} {place}" for policy, place in logs) or "none"
    raise ConfigError(
        f"behaviour and campaign must name one log of {path}; there are {there}, and "
        f"{len(found)} of them were asked for"
    )


def _logs(folder: Path) -> dict[tuple[str, str], Path]:
    """The logs of a folder, by policy and campaign."""
    found: dict[tuple[str, str], Path] = {}
    for policy in BEHAVIOURS:
        for campaign in CAMPAIGNS:
            for stem in (f"{policy}_{campaign}", f"{policy}/{campaign}/{campaign}"):
                for suffix in (".csv", ".csv.gz"):
                    path = folder / f"{stem}{suffix}"
                    if path.is_file():
                        found.setdefault((policy, campaign), path)
    return found
