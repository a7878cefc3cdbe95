"""Options of `matinee ope` for logs of actions that others wrote, and what it does with them."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from matinee_platform.ope.comparison import Comparison
    from matinee_platform.ope.evaluator import Method, Progress
    from matinee_platform.ope.interval import RewardRange

_PANEL = "Logs of others"

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORM",
        help="open-bandit, obp, dsjson, exported or table; found out unless told.",
        rich_help_panel=_PANEL,
    ),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="USE=COLUMN",
        help="Of a table: action, reward, propensity, position, unit, time, context, offered, "
        "target or unreachable; repeatable, several columns between commas.",
        rich_help_panel=_PANEL,
    ),
]
BehaviourOption = Annotated[
    str | None,
    typer.Option(
        "--behaviour",
        metavar="NAME",
        help="Of a folder of Open Bandit: random or bts.",
        rich_help_panel=_PANEL,
    ),
]
CampaignOption = Annotated[
    str | None,
    typer.Option(
        "--campaign",
        metavar="NAME",
        help="Of a folder of Open Bandit: all, men or women.",
        rich_help_panel=_PANEL,
    ),
]
PropensitiesOption = Annotated[
    str | None,
    typer.Option(
        "--propensities",
        metavar="ESTIMATOR",
        help="For logs without: uniform, empirical or logistic. Every result will say so.",
        rich_help_panel=_PANEL,
    ),
]
RewardsOption = Annotated[
    str | None,
    typer.Option(
        "--rewards",
        metavar="LOW,HIGH",
        help="What a slot can earn, known before the log was seen; 0,1 unless told.",
        rich_help_panel=_PANEL,
    ),
]
AdaptiveOption = Annotated[
    bool,
    typer.Option(
        "--adaptive",
        help="The policy that logged learned as it did: intervals hold at any time.",
        rich_help_panel=_PANEL,
    ),
]

DistinctOption = Annotated[
    bool,
    typer.Option(
        "--distinct",
        help="Pages of a table or of obp show no item twice by design: an item above cannot be "
        "drawn again.",
        rich_help_panel=_PANEL,
    ),
]
ClustersOption = Annotated[
    str | None,
    typer.Option(
        "--clusters",
        metavar="FILE",
        help="For mips and snmips: genre, of the catalogue of runs and services; or, of a log of "
        "others that draws uniformly, a table of item and cluster.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionOptions:
    """What was said of a log of actions; None is not said."""

    form: str | None = None
    columns: tuple[str, ...] | None = None
    behaviour: str | None = None
    campaign: str | None = None
    propensities: str | None = None
    distinct: bool | None = None

    @property
    def any(self) -> bool:
        """Whether anything was said that only such logs have."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def opened(self) -> dict[str, Any]:
        """As `open_actions` takes it."""
        given: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        given["columns"] = None if self.columns is None else _columns(self.columns)
        return given


def is_action_log(log: str | None, options: ActionOptions) -> bool:
    """Whether a log of actions is meant: an option says so, or the path holds one.

    Raises:
        DataError: if the path is a file of no form that is known.
    """
    from matinee_platform.ope.inputs.open_actions import log_form
    from matinee_policies.errors import DataError

    if log is None or options.any:
        return log is not None
    try:
        log_form(Path(log))
    except DataError:
        # Runs and services are folders: a file that is no such log is nothing else.
        if Path(log).is_file():
            raise
        return False
    return True


def check_fits(said: dict[str, bool], *, logs: str) -> None:
    """Refuse options that were given and have no meaning for a kind of logs.

    Args:
        said: whether each was given, by name.
        logs: what they are not for.

    Raises:
        ConfigError: naming the first.
    """
    from matinee_policies.errors import ConfigError

    for name, given in said.items():
        if given:
            raise ConfigError(f"{name} is not for logs of {logs}")


def compare_on_actions(
    log: str,
    policies: list[str],
    how: "Method",
    *,
    options: ActionOptions,
    component: str,
    rewards: str,
    adaptive: bool,
    clusters: str | None,
    progress: "Progress | None",
) -> "Comparison":
    """What a log of actions says of some policies.

    Args:
        log: its path.
        policies: as `action_evaluation.FORMS`.
        how: values are made.
        options: what was said of it.
        component: what its reward is called.
        rewards: what a slot can earn, `LOW,HIGH`.
        adaptive: whether the policy that logged learned as it did.
        clusters: path of a table of items and their clusters.
        progress: told how far it is.

    Raises:
        ConfigError: on what is no option, policy or range.
        DataError: if a file breaks a rule.
        ContextError: if the log or a policy does.
    """
    from matinee_platform.ope.action_evaluation import compare_actions
    from matinee_platform.ope.inputs.open_actions import open_actions

    return compare_actions(
        open_actions(log, **options.opened()),
        policies,
        how,
        rewards=_range(rewards),
        name=log,
        component=component,
        adaptive=adaptive,
        clusters=clusters,
        progress=progress,
    )


def _columns(texts: tuple[str, ...]) -> dict[str, str]:
    from matinee_policies.errors import ConfigError

    found: dict[str, str] = {}
    for text in texts:
        use, equals, name = text.partition("=")
        if not (use and equals and name) or use in found:
            raise ConfigError(f"--column must be USE=COLUMN, once for each use, got {text!r}")
        found[use] = name
    return found


def _range(text: str) -> "RewardRange":
    from matinee_platform.ope.interval import RewardRange
    from matinee_policies.errors import ConfigError

    try:
        low, high = (float(end) for end in text.split(","))
    except ValueError:
        raise ConfigError(f"--rewards must be LOW,HIGH, got {text!r}") from None
    return RewardRange(low, high)
