"""contextualbandits: rounds per CPU second of its disjoint Thompson sampling, with learning.

Sherman-Morrison updates in single precision. It draws either coefficients or scores; the kind that
is faster at this size counts. (Cholesky updates were never faster by more than the clock's noise.)
"""

import importlib.metadata
from collections.abc import Callable

import numpy as np
from contextualbandits.online import LinTS

from peers.made_up import disjoint_rounds
from peers.stopwatch import answer, arguments, rate

DRAWS = ("coef", "ci")


def main() -> None:
    """Answer for one size."""
    settings = arguments()
    d, K, n, seed = (settings[name] for name in ("d", "K", "rounds", "seed"))
    plays = [game(d, K, n, seed, drawn=drawn) for drawn in DRAWS]
    fastest = max(plays, key=lambda play: rate(play, units=n, seconds=0.0))
    answer(fastest, units=n, version=importlib.metadata.version("contextualbandits"))


def game(d: int, K: int, n: int, seed: int, *, drawn: str) -> Callable[[], None]:
    """Rounds of a policy that has seen each arm once before."""
    contexts, rewards = disjoint_rounds(seed, n=max(n, K), d=d, K=K)
    policy = LinTS(
        K,
        fit_intercept=False,
        method="sm",
        sample_from=drawn,
        use_float=True,
        random_state=1,
        njobs=1,
    )
    arms = np.arange(K)
    policy.fit(contexts[:K], arms, rewards[arms, arms])
    rows = [contexts[t : t + 1] for t in range(n)]

    def play() -> None:
        for t, context in enumerate(rows):
            action = policy.predict(context)
            policy.partial_fit(context, action, rewards[t, action])

    return play


if __name__ == "__main__":
    main()
