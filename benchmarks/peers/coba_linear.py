"""Coba: rounds per CPU second of its shared linear learners, predict + learn.

`policy` is `lin_ucb` or `lin_ts`. Actions are tuples of their `d` features and the only terms of
the model, so that it has `d` weights like ours and nothing is multiplied out on the way.
"""

import importlib.metadata

from coba.learners import LinTSLearner, LinUCBLearner

from peers.made_up import shared_rounds
from peers.stopwatch import answer, arguments

LEARNERS = {"lin_ucb": LinUCBLearner, "lin_ts": LinTSLearner}


def main() -> None:
    """Answer for one learner at one size."""
    settings = arguments()
    n = settings["rounds"]
    features, rewards = shared_rounds(settings["seed"], n=n, d=settings["d"], K=settings["K"])
    learner = LEARNERS[settings["policy"]](features=["a"])
    pages = [[tuple(action) for action in page] for page in features.tolist()]
    paid = [
        dict(zip(page, row, strict=True)) for page, row in zip(pages, rewards.tolist(), strict=True)
    ]

    def play() -> None:
        for t, actions in enumerate(pages):
            action, probability = learner.predict(None, actions)[:2]
            learner.learn(None, action, paid[t][action], probability)

    answer(play, units=n, version=importlib.metadata.version("coba"))


if __name__ == "__main__":
    main()
