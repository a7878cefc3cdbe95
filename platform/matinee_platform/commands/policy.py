"""`matinee policy`: the policies there are, and whether one of your own keeps the contract."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Policies: list them, explain their settings, check your own.", no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("list")
def list_policies(as_json: AsJson = False) -> None:
    """Print every kind of policy, in one line each; as JSON, with its settings' defaults."""
    from matinee_policies.config_docs import first_line
    from matinee_policies.errors import MatineeError
    from matinee_policies.registry import POLICY_KINDS, policy_types

    if not as_json:
        for kind in POLICY_KINDS:
            print(f"{kind}: {first_line(policy_types(kind)[0])}")
        print("module:Class: a class of your own; see docs/your_own_policy.md")
        print("`matinee policy show KIND` explains the settings of one.")
        return
    kinds: dict[str, Mapping[str, Any] | str] = {}
    for kind in POLICY_KINDS:
        try:
            kinds[kind] = _build(kind, {}).config.to_json()
        except MatineeError as error:
            kinds[kind] = str(error)
    print(json.dumps(kinds, indent=2))


@app.command()
def show(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="A kind that `list` names.")],
    as_json: AsJson = False,
) -> None:
    """Print the settings of one kind of policy: default and meaning of each."""
    from matinee_policies.config_docs import field_docs, first_line
    from matinee_policies.registry import policy_types

    policy, config_type = policy_types(kind)
    defaults = config_type().to_json()
    docs = field_docs(config_type)
    if as_json:
        settings = {name: {"default": defaults[name], "meaning": docs[name]} for name in docs}
        print(json.dumps({"policy": kind, "settings": settings}, indent=2))
        return
    print(f"{kind}: {first_line(policy)}")
    for name, text in docs.items():
        head = f"  {name}={json.dumps(defaults[name])}"
        print(textwrap.fill(text, 100, initial_indent=f"{head}  ", subsequent_indent=" " * 6))


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
    from matinee_policies.policy_check import check_policy, notes_on

    settings = key_values(overrides or [])
    _build(policy, settings)
    results = check_policy(lambda: _build(policy, settings), dimension=len(FEATURE_NAMES))
    passed = all(result.passed for result in results)
    # A policy that breaks a rule may fail at anything.
    notes = (
        notes_on(lambda: _build(policy, settings), dimension=len(FEATURE_NAMES)) if passed else []
    )
    if as_json:
        report = {
            "policy": policy,
            "settings": settings,
            "passed": passed,
            "rules": [asdict(result) for result in results],
            "notes": notes,
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
        for note in notes:
            print(f"Note: {note}.")
    if not passed:
        raise typer.Exit(1)


def _build(kind: str, settings: Mapping[str, Any]) -> Any:
    from matinee_policies.features import FEATURE_NAMES
    from matinee_policies.registry import build_policy

    return build_policy(kind, settings, dimension=len(FEATURE_NAMES))
