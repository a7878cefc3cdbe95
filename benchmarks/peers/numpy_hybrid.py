"""Li et al. 2010, algorithm 2 (hybrid LinUCB), line by line in numpy, inverses kept up to date."""

from collections.abc import Callable
from typing import Any

import numpy as np

from peers.made_up import shared_rounds
from peers.stopwatch import answer, arguments


def main() -> None:
    """Answer for one size."""
    settings = arguments()
    d, K, n = settings["d"], settings["K"], settings["rounds"]
    features, rewards = shared_rounds(settings["seed"], n=n, d=d, K=K)
    answer(game(features, rewards, d=d, K=K), units=n, version=np.__version__)


def game(features: Any, rewards: Any, *, d: int, K: int, alpha: float = 1.0) -> Callable[[], None]:
    """Rounds that go on from whatever was learned before."""
    A0, b0, A0_inverse = np.eye(d), np.zeros(d), np.eye(d)
    inverse, B, b = np.tile(np.eye(d), (K, 1, 1)), np.zeros((K, d, d)), np.zeros((K, d))

    def play() -> None:
        for t, Z in enumerate(features):
            x = Z[0]
            beta = A0_inverse @ b0
            scores = np.empty(K)
            for k, z in enumerate(Z):
                theta = inverse[k] @ (b[k] - B[k] @ beta)
                own = inverse[k] @ x
                back = B[k].T @ own
                shared = A0_inverse @ back
                s = z @ A0_inverse @ z - 2.0 * z @ shared + x @ own + back @ shared
                scores[k] = z @ beta + x @ theta + alpha * np.sqrt(s)
            a = int(scores.argmax())
            A0[:] += B[a].T @ inverse[a] @ B[a]
            b0[:] += B[a].T @ inverse[a] @ b[a]
            gain = inverse[a] @ x
            inverse[a] -= np.outer(gain, gain) / (1.0 + x @ gain)
            B[a] += np.outer(x, Z[a])
            b[a] += rewards[t, a] * x
            A0[:] += np.outer(Z[a], Z[a]) - B[a].T @ inverse[a] @ B[a]
            b0[:] += rewards[t, a] * Z[a] - B[a].T @ inverse[a] @ b[a]
            A0_inverse[:] = np.linalg.inv(A0)

    return play


if __name__ == "__main__":
    main()
