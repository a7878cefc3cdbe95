"""T5: the tabular world's optimum against simulated lives, and against what can be learned."""

import numpy as np

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot
from matinee_simulator.tabular import (
    START,
    TabularModel,
    best_fixed_action,
    fixed_action,
    greedy,
    myopic_clicks,
    myopic_satisfaction,
    policy_evaluation,
    q_learning,
    share_of_optimum,
    simulate_lifetimes,
    uniform_law,
    value_iteration,
)

_ERRORS = 3.0
_SHARE = 0.98


def optimum_is_right(*, lifetimes: int, seed: int) -> Finding:
    """The finding of T5.

    Args:
        lifetimes: simulated lives for each policy.
        seed: of the lives and of Q-learning.
    """
    model = TabularModel.from_parameters()
    solution = value_iteration(model)
    laws = {
        "optimum": greedy(solution.q),
        "myopic satisfaction": myopic_satisfaction(model),
        "myopic clicks": myopic_clicks(model),
        "best fixed action": fixed_action(best_fixed_action(model)),
        "uniform": uniform_law(),
    }
    figures, exact, simulated, errors = [], [], [], []
    for name, law in laws.items():
        value = float(policy_evaluation(model, law)[START])
        lives = simulate_lifetimes(model, law, np.arange(lifetimes), seed=seed)
        exact.append(value)
        simulated.append(lives.value)
        errors.append(lives.standard_error)
        figures.append(
            Figure(
                name=f"discounted clicks, {name}",
                value=lives.value,
                standard_error=lives.standard_error,
                reference=value,
                source="value iteration" if name == "optimum" else "exact evaluation",
                low=value - _ERRORS * lives.standard_error,
                high=value + _ERRORS * lives.standard_error,
                digits=2,
            )
        )
    figures.append(
        Figure(
            name="Q-learning, share of the optimum",
            value=share_of_optimum(model, q_learning(model, seed=seed).law, solution),
            low=_SHARE,
            source="exact evaluation of what was learned",
        )
    )
    figures.append(
        Figure(
            name="myopic clicks, share of the optimum",
            value=share_of_optimum(model, laws["myopic clicks"], solution),
            gated=False,
        )
    )
    places = np.arange(1.0, len(laws) + 1)
    middles, halves = np.array(simulated), _ERRORS * np.array(errors)
    return ACCEPTANCE["T5"].finding(
        figures,
        plot=Plot(
            x_title="policy",
            categories=tuple(laws),
            y_title="discounted clicks of a life",
            lines=(
                Line(name="exact", role="literature", x=places, y=np.array(exact)),
                Line(
                    name="Monte Carlo",
                    role="simulated",
                    x=places,
                    y=middles,
                    low=middles - halves,
                    high=middles + halves,
                    dots=True,
                ),
            ),
        ),
    )
