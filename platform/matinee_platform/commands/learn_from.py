"""`matinee learn-from`: train a policy on the log of another arm."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer


def learn_from(
    source: Annotated[
        str,
        typer.Argument(metavar="RUN:ARM", help="Folder of a finished run, and whose log to take."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Snapshot to write; must be new.")
    ],
    policy: Annotated[
        str,
        typer.Option("--policy", metavar="KIND", help="A kind of policy, or module:Class."),
    ] = "lin_ucb",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the policy; repeatable."),
    ] = None,
    estimator: Annotated[
        str, typer.Option("--estimator", help="plain, mtr, ips or dr; see docs/rewards.md.")
    ] = "mtr",
    clip: Annotated[
        float,
        typer.Option("--clip", metavar="W", help="Largest weight; a uniform draw weighs 1."),
    ] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Train a new policy on what another arm logged, weighing its choices by their propensities.

    Example: matinee learn-from runs/demo:mf_explored --policy lin_ucb --out start.npz
    """
    from matinee_platform.learn_from_log import learn_from_log
    from matinee_platform.settings import key_values
    from matinee_platform.warm_start import versions_of_run
    from matinee_policies.errors import ConfigError
    from matinee_policies.features import FEATURE_NAMES
    from matinee_policies.registry import build_policy
    from matinee_policies.snapshot_signature import SigningKeys

    folder, colon, arm = source.rpartition(":")
    if not (folder and colon and arm):
        raise ConfigError(f"source must be RUN:ARM, got {source!r}")
    if out.exists() or not out.parent.is_dir():
        raise ConfigError(f"--out must name a new file in a folder that exists, got {out}")
    learner = build_policy(policy, key_values(overrides or []), dimension=len(FEATURE_NAMES))
    learned = learn_from_log(learner, Path(folder), arm, estimator=estimator, clip=clip)
    features, catalogue = versions_of_run(Path(folder))
    bare = learner.snapshot()
    noted = {"feature_version": features, "catalogue_version": catalogue}
    snapshot = replace(bare, manifest={**bare.manifest, **noted})
    snapshot.save(out, keys=SigningKeys.configured())
    if as_json:
        report = {**asdict(learned), "snapshot": str(out), "content_hash": snapshot.content_hash}
        print(json.dumps(report, indent=2))
        return
    print(
        f"{learner.name} learned {learned.impressions:,} impressions of {learned.decisions:,} "
        f"decisions of {arm} by {estimator}; mean reward {learned.reward:.4f}"
    )
    if learned.pending:
        print(f"{learned.pending:,} decisions were left out: a window had not closed.")
    if estimator != "plain":
        print(
            f"Weights: effective sample {learned.effective:,.0f} impressions; mean "
            f"{learned.mean_weight:.3f}, clipped at {clip:g} {learned.kept_weight:.3f}; "
            f"{learned.clipped_share:.2%} of impressions clipped"
        )
    print(f"Snapshot: {out}")
