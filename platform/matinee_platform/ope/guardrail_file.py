"""Guardrails of an arm, as `matinee analyze --json` told them."""

from pathlib import Path
from typing import Any

from matinee_platform.analysis.experiment.analysis import GUARDRAIL_WORDS
from matinee_platform.analysis.inference.non_inferiority import Verdict
from matinee_platform.json_file import read_json
from matinee_policies.errors import ConfigError, DataError

_VERDICTS = {words: verdict for verdict, words in GUARDRAIL_WORDS.items()}


def read_guardrails(path: Path, arm: str) -> dict[str, Verdict]:
    """Guardrails by their metric's name; while a gate forbids a conclusion, none counts as held.

    Args:
        path: of the JSON.
        arm: that runs the candidate.

    Raises:
        DataError: if the file is no analysis.
        ConfigError: if the analysis has no such arm.
    """
    document = read_json(path)
    try:
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
    if arm not in arms:
        raise ConfigError(f"arm of {path} must be one of {', '.join(arms)}, got {arm!r}")
    if forbidden:
        return {name: Verdict.OPEN if one is Verdict.HELD else one for name, one in found.items()}
    return found
