"""`matinee policy`: the policies there are, and whether one of your own keeps the contract."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

app = typer.Typer(help="Policies: list them, check your own.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_policies(as_json: AsJson = False) -> None:
    """Print every kind of policy with its settings and their defaults."""
    from matinee_policies.errors import MatineeError
    from matinee_policies.registry import POLICY_KINDS

    kinds: dict[str, Mapping[str, Any] | str] = {}
    for kind in POLICY_KINDS:
        try:
            kinds[kind] = _build(kind, {}).config.to_json()
        except MatineeError as error:
            kinds[kind] = str(error)
    if as_json:
        print(json.dumps(kinds, indent=2))
        return
    for kind, settings in kinds.items():
        if isinstance(settings, str):
            print(f"{kind}: {settings}")
        else:
            shown = ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
            print(f"{kind}: {shown or 'no settings'}")
    print("module:Class: a class of your own; see docs/your_own_recommender.md")


@app.command()
def check(
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="module:Class, or the kind of a policy.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the policy; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try every rule of the contract on a policy; exit status 1 if it breaks one.

    Example: matinee policy check examples.custom_policy:NoveltyBoltzmann --set novelty=0.2
    """
    from matinee_platform.settings import key_values
    from matinee_policies.features import FEATURE_NAMES
    from matinee_policies.policy_check import check_policy

    settings = key_values(overrides or [])
    _build(policy, settings)
    results = check_policy(lambda: _build(policy, settings), dimension=len(FEATURE_NAMES))
    passed = all(result.passed for result in results)
    if as_json:
        report = {
            "policy": policy,
            "settings": settings,
            "passed": passed,
            "rules": [asdict(result) for result in results],
        }
        print(json.dumps(report, indent=2))
    else:
        for result in results:
            print(f"{'ok    ' if result.passed else 'FAILED'}  {result.rule}")
            if not result.passed:
                print(f"        {result.reason}")
        broken = sum(not result.passed for result in results)
        print(
            f"{policy} keeps all {len(results)} rules."
            if passed
            else f"{policy} breaks {broken} of {len(results)} rules."
        )
    if not passed:
        raise typer.Exit(1)


def _build(kind: str, settings: Mapping[str, Any]) -> Any:
    from matinee_policies.features import FEATURE_NAMES
    from matinee_policies.registry import build_policy

    return build_policy(kind, settings, dimension=len(FEATURE_NAMES))
