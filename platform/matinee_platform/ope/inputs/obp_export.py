"""Write logs of actions in the form of the Open Bandit Pipeline, which `obp_arrays.py` reads."""

from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_policies.errors import ConfigError


def obp_feedback(log: ActionLog) -> dict[str, Any]:
    """A log as obp's dict of arrays, all of it in memory.

    Args:
        log: of actions; which items were offered, and their features, are not part of the form.
    """
    batches = [batch.arrays() for batch in log.stream()]
    arrays = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    flat = {name: arrays[name].reshape(-1) for name in ("actions", "rewards", "logged")}
    feedback: dict[str, Any] = {
        "n_rounds": log.rows,
        "n_actions": len(log.items),
        "context": arrays.get("context"),
        "action_context": None,
        "action": flat["actions"],
        "position": arrays["positions"].reshape(-1) if log.positions > 1 else None,
        "reward": flat["rewards"],
        "pscore": flat["logged"],
        "items": np.array(log.items),
        "positions": log.positions,
        "propensities": log.propensities,
    }
    if log.slots > 1:
        cascade = np.cumprod(arrays["logged"], axis=1)
        feedback |= {
            "n_unique_action": len(log.items),
            "slate_id": np.repeat(np.arange(log.rows), log.slots),
            "pscore": np.repeat(cascade[:, -1], log.slots),
            "pscore_cascade": cascade.reshape(-1),
            "pscore_slot": flat["logged"],
            "pscore_item_position": None,
        }
    feedback |= {name: arrays[name] for name in _identity(log)}
    feedback |= {"contexts": np.array(log.contexts)} if log.contexts else {}
    feedback |= {"notes": np.array(log.notes)} if log.notes else {}
    return feedback | ({"distinct": True} if log.distinct else {})


def write_obp(path: Path, log: ActionLog) -> None:
    """Write `obp_feedback` as a `.npz` file without pickle; what is None is left out.

    Raises:
        ConfigError: if the file is there, or is not named `.npz`.
    """
    if path.suffix != ".npz" or path.exists():
        raise ConfigError(f"the file must end in .npz and not be there yet, got {path}")
    arrays = {
        name: np.asarray(value) for name, value in obp_feedback(log).items() if value is not None
    }
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    partial.replace(path)


def _identity(log: ActionLog) -> list[str]:
    return [*(["unit"] if log.has_units else []), *(["time"] if log.has_times else [])]
