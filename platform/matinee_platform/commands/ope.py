"""`matinee ope`: what other policies would have earned on the pages that were logged."""

import json
from typing import Annotated

import typer

from matinee_platform.commands.ope_actions import (
    ActionOptions,
    AdaptiveOption,
    BehaviourOption,
    CampaignOption,
    ClustersOption,
    ColumnOption,
    DistinctOption,
    FormatOption,
    PropensitiesOption,
    RewardsOption,
    check_fits,
    compare_on_actions,
    is_action_log,
)
from matinee_platform.commands.ope_options import (
    ComponentOption,
    ConfidenceOption,
    ConfigOption,
    EstimatorsOption,
    ExperimentOption,
    IntervalOption,
    LargestOption,
    LogArgument,
    ModelOption,
    PolicyOption,
    method_of,
    progress_bar,
    the_log,
)


def ope(
    log: LogArgument = None,
    policies: PolicyOption = None,
    config: ConfigOption = None,
    arms: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="ARM", help="Whose log; repeatable. Default: every arm's."),
    ] = None,
    experiment: ExperimentOption = None,
    estimators: EstimatorsOption = None,
    intervals: IntervalOption = None,
    reward_model: ModelOption = "ridge",
    confidence: ConfidenceOption = 0.95,
    component: ComponentOption = "value",
    largest_weight: LargestOption = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", metavar="NAME", help="The same as --component; retention is refused."
        ),
    ] = None,
    form: FormatOption = None,
    columns: ColumnOption = None,
    behaviour: BehaviourOption = None,
    campaign: CampaignOption = None,
    propensities: PropensitiesOption = None,
    distinct: DistinctOption = False,
    rewards: RewardsOption = None,
    adaptive: AdaptiveOption = False,
    clusters: ClustersOption = None,
    slots: Annotated[bool, typer.Option("--slots", help="Print values of single slots.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Value policies off-policy: the expected reward of a page at the contexts that were logged.

    Each page is weighed by how likely the policy would have shown what was shown, over how likely
    the policy that logged was to show it. Where the log cannot tell (too few pages left, choices
    that were never logged, propensities that do not fit) there is no number but the reasons, and
    the value in JSON is null. Several policies are ranked by lower bounds that hold for all.
    It says nothing of who comes back: `matinee analyze` does, of an experiment.

    The log should explore: an arm with epsilon or softmax can tell much of others, one that always
    shows its best nothing. Examples:
    matinee ope runs/demo:mf_explored --policy softer.yaml;
    matinee ope runs/demo --arm mf_explored --policy runs/demo:lin_ucb --estimators snips,rips;
    matinee ope service --arm home --policy new.npz --json.

    Logs of others are single actions or slates with propensities (`--format`); a policy is then a
    table of item, position and probability (CSV or Parquet), obp's action_dist (.npy), "uniform",
    or "column" for the log's own columns of it:
    matinee ope open-bandit --behaviour random --campaign men --policy bts.csv;
    matinee ope log.parquet --column action=item --column reward=click --column propensity=p
    --policy uniform
    """
    from matinee_platform.ope.comparison import compare
    from matinee_platform.ope.inputs.components import check_component
    from matinee_platform.ope.inputs.item_genres import clustered
    from matinee_platform.ope.inputs.open_log import open_logs
    from matinee_platform.report.ope_text import print_comparison

    wanted = component if metric is None else metric
    check_component(wanted)
    how = method_of(
        estimators,
        intervals,
        reward_model=reward_model,
        confidence=confidence,
        largest_weight=largest_weight,
    )
    said = ActionOptions(
        form=form,
        columns=None if columns is None else tuple(columns),
        behaviour=behaviour,
        campaign=campaign,
        propensities=propensities,
        distinct=distinct or None,
    )
    found = []
    if log is not None and config is None and is_action_log(log, said):
        check_fits({"--arm": bool(arms), "--experiment": bool(experiment)}, logs="others")
        with progress_bar() as progress:
            found.append(
                compare_on_actions(
                    log,
                    policies or [],
                    how,
                    options=said,
                    component="reward" if wanted == "value" else wanted,
                    rewards="0,1" if rewards is None else rewards,
                    adaptive=adaptive,
                    clusters=clusters,
                    progress=progress,
                )
            )
        if not as_json:
            print_comparison(found[-1], slots=slots)
    else:
        with open_logs(
            the_log(log, config), arms=tuple(arms or ()), experiment=experiment, component=wanted
        ) as logs:
            own = {"--rewards": rewards is not None, "--adaptive": adaptive}
            check_fits(own, logs="runs and services, which tell it themselves")
            for one in logs:
                log_of_arm = clustered(one, clusters)
                with progress_bar() as progress:
                    found.append(compare(log_of_arm, policies or [], how, progress=progress))
                if not as_json:
                    if len(found) > 1:
                        print()
                    print_comparison(found[-1], slots=slots)
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=2, allow_nan=False))
