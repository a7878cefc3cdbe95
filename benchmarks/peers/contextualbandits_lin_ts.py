"""contextualbandits: rounds per CPU second of its disjoint Thompson sampling, with learning.

Its updates (Cholesky or Sherman-Morrison) and its draws (coefficients or scores) come in two kinds
each; the pair that is fastest at this size counts.
"""

import importlib.metadata
from collections.abc import Callable

import numpy as np
from contextualbandits.online import LinTS

from peers.made_up import disjoint_rounds
from peers.stopwatch import answer, arguments, rate

PAIRS = [(method, drawn) for method in ("sm", "chol") for drawn in ("coef", "ci")]


def main() -> None:
    """Answer for one size."""
    settings = arguments()
    d, K, n, seed = (settings[name] for name in ("d", "K", "rounds", "seed"))
    plays = [game(d, K, n, seed, method=method, drawn=drawn) for method, drawn in PAIRS]
    fastest = max(plays, key=lambda play: rate(play, units=n, seconds=0.0))
    answer(fastest, units=n, version=importlib.metadata.version("contextualbandits"))


def game(d: int, K: int, n: int, seed: int, *, method: str, drawn: str) -> Callable[[], None]:
    """Rounds of a policy that has seen each arm at least once, if there are rounds enough."""
    contexts, rewards = disjoint_rounds(seed, n=n, d=d, K=K)
    policy = LinTS(
        K,
        fit_intercept=False,
        method=method,
        sample_from=drawn,
        use_float=True,
        random_state=1,
        njobs=1,
    )
    first = np.arange(n) % K
    policy.fit(contexts, first, rewards[np.arange(n), first])
    rows = [contexts[t : t + 1] for t in range(n)]

    def play() -> None:
        for t, context in enumerate(rows):
            action = policy.predict(context)
            policy.partial_fit(context, action, rewards[t, action])

    return play


if __name__ == "__main__":
    main()
