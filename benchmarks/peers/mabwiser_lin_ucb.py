"""MABWiser: contexts per CPU second of its LinUCB, scored in batches of `batch` by `predict`."""

import importlib.metadata

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

from peers.made_up import disjoint_rounds
from peers.stopwatch import answer, arguments


def main() -> None:
    """Answer for one size."""
    settings = arguments()
    K, batch = settings["K"], settings["batch"]
    contexts, rewards = disjoint_rounds(settings["seed"], n=batch, d=settings["d"], K=K)
    decisions = np.arange(batch) % K
    mab = MAB(arms=list(range(K)), learning_policy=LearningPolicy.LinUCB(alpha=1.0))
    mab.fit(decisions, rewards[np.arange(batch), decisions], contexts)
    version = importlib.metadata.version("mabwiser")
    answer(lambda: mab.predict(contexts), units=batch, version=version)


if __name__ == "__main__":
    main()
