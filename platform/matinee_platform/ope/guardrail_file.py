"""Guardrails of an arm, as `matinee analyze --json` told them."""

from pathlib import Path
from typing import Any

from matinee_platform.analysis.experiment.analysis import GUARDRAIL_WORDS
from matinee_platform.analysis.inference.non_inferiority import Verdict
from matinee_platform.json_file import read_json
from matinee_platform.ope.inputs.policy_log import PolicyLog
from matinee_policies.errors import ConfigError, DataError

_VERDICTS = {words: verdict for verdict, words in GUARDRAIL_WORDS.items()}


def read_guardrails(path: Path, arm: str, *, log: PolicyLog) -> dict[str, Verdict]:
    """Guardrails by their metric's name; while a gate forbids a conclusion, none counts as held.

    Args:
        path: of the JSON.
        arm: that runs the candidate.
        log: that values it, of the same experiment.

    Raises:
        DataError: if the file is no analysis.
        ConfigError: if the analysis has no such arm, or is of another experiment than the log.
    """
    document = read_json(path)
    try:
        kind, experiment = document["source"]["kind"], document["experiment"]
        among = list(document["arms"])
        forbidden = bool(document["verdict"]["forbids"])
        arms = list(document["verdict"]["arms"])
        metrics: dict[str, Any] = document["metrics"]
        own = {
            name: metric["effects"].get(arm, {}).get("guardrail")
            for name, metric in metrics.items()
            if metric["role"] == "guardrail"
        }
        found = {name: _VERDICTS[one["outcome"]] for name, one in own.items() if one is not None}
    except (AttributeError, KeyError, TypeError):
        raise DataError(path, rule="must hold what matinee analyze --json prints") from None
    own_kind = "service" if log.run is None else "run"
    if (kind, experiment) != (own_kind, log.experiment):
        raise ConfigError(
            f"analysis {path} must be of {log.experiment}, the experiment of {own_kind} log "
            f"{log.name}, got one of {experiment} of a {kind}"
        )
    if log.arm not in among:
        raise ConfigError(
            f"analysis {path} must have the log's arm {log.arm}, got {', '.join(among)}"
        )
    if arm not in arms:
        raise ConfigError(f"arm of {path} must be one of {', '.join(arms)}, got {arm!r}")
    if forbidden:
        return {name: Verdict.OPEN if one is Verdict.HELD else one for name, one in found.items()}
    return found
