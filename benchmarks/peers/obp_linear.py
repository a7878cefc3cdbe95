"""Open Bandit Pipeline: rounds per CPU second of its linear policies, decide + learn.

`policy` is `lin_ucb`, `lin_epsilon_greedy` or `lin_ts`; `d`, `K`, `seed` and `rounds` are numbers.
The package's front door imports all it has (torch, plots, estimators), of which its linear
policies use nothing but the names of torch's array type. So we put empty packages in front of its
folders and a torch with those names alone; its `policy/linear.py`, `policy/base.py` and `utils.py`
run unaltered.
"""

import importlib.metadata
import importlib.util
import sys
from types import ModuleType
from typing import Any

import numpy as np

from peers.made_up import disjoint_rounds
from peers.stopwatch import answer, arguments

KINDS = {"lin_ucb": "LinUCB", "lin_epsilon_greedy": "LinEpsilonGreedy", "lin_ts": "LinTS"}
EXPLORATION = {"lin_ucb": 1.0, "lin_epsilon_greedy": 0.1}


def main() -> None:
    """Answer for one policy at one size."""
    settings = arguments()
    d, K, n = settings["d"], settings["K"], settings["rounds"]
    contexts, rewards = disjoint_rounds(settings["seed"], n=n, d=d, K=K)
    policy = _policy(settings["policy"], d=d, K=K)
    rows = [contexts[t : t + 1] for t in range(n)]

    def play() -> None:
        for t, context in enumerate(rows):
            action = policy.select_action(context)[0]
            policy.update_params(action=action, reward=rewards[t, action], context=context)

    answer(play, units=n, version=importlib.metadata.version("obp"))


def _policy(kind: str, *, d: int, K: int) -> Any:
    _open_folders("obp", "obp.policy")
    torch: Any = ModuleType("torch")
    torch.Tensor = torch.tensor = np.ndarray
    sys.modules["torch"] = torch
    linear: Any = importlib.import_module("obp.policy.linear")
    exploration = {"epsilon": EXPLORATION[kind]} if kind in EXPLORATION else {}
    return getattr(linear, KINDS[kind])(dim=d, n_actions=K, random_state=0, **exploration)


def _open_folders(*packages: str) -> None:
    spec = importlib.util.find_spec("obp")
    if spec is None or spec.origin is None:
        raise SystemExit("obp is not installed")
    root = spec.origin.rsplit("obp", 1)[0]
    for name in packages:
        package = ModuleType(name)
        package.__path__ = [root + name.replace(".", "/")]
        sys.modules[name] = package


if __name__ == "__main__":
    main()
