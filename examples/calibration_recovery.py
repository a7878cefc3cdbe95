"""How well does calibration find parameters that are known?

    python examples/calibration_recovery.py [--users 4000] [--budget 300] [--seed 1]

Users of known parameters are simulated in a drawn world. From their figures alone, with their
sampling errors, `fit` looks for the parameters with other users; printed are truth, finding, the
standard error that the fit states, and their distance in those errors. A minute or so.
"""

import argparse

import numpy as np

from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_simulator.calibration import FitSettings, Service, Target
from matinee_simulator.calibration.fit import fit
from matinee_simulator.calibration.moment_names import days_needed
from matinee_simulator.parameters import Parameters

TRUE = Parameters(
    click_base=-2.9,
    examination_persistence=0.78,
    leave_base=0.3,
    leave_frailty_sd=1.3,
    leave_no_click=0.6,
    leave_depth=0.3,
    return_base=-0.2,
    return_frailty_sd=1.5,
    return_absence=0.8,
    churn_base=-2.6,
    churn_tenure=0.9,
    frailty_correlation=-0.5,
)

NAMES = (
    *(f"slot_ctr_{slot}" for slot in range(1, 11)),
    "leave_unclicked",
    *(f"leave_{page}" for page in range(1, 7)),
    *(f"return_day_{day}" for day in (1, 3, 7, 14, 28)),
    "once_within_16",
    "return_slope",
    *(f"return_after_{number}" for number in range(1, 5)),
)


def main() -> None:
    """Draw, fit, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--users", type=int, default=4_000)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    data = synthetic_dataset(seed=0, n_users=300, n_items=1_500)
    days = max(days_needed(name) for name in NAMES)
    # One world: a service knows its own catalogue. The users are others.
    drawn, model = (
        Service.build(
            data.catalogue,
            data.interactions,
            seeds=(given.seed,),
            users=given.users,
            parameters=TRUE,
            workers=2,
        )
        for _ in range(2)
    )
    room = model.rooms[0]
    other = room.sight.meet(room.world, users=given.users, seed=given.seed + 1_000, parameters=TRUE)
    model = Service(
        rooms=(room._replace(seed=given.seed + 1_000, audience=other),),
        users=given.users,
        workers=2,
    )
    seen = drawn(TRUE, NAMES, days)
    targets = [
        Target(
            name=name,
            value=seen[name].value,
            # The simulations have an error of the same size.
            tolerance=2**0.5 * seen[name].error,
            standard_error=seen[name].error,
            kind="log",
            source="drawn",
        )
        for name in NAMES
    ]
    found = fit(
        model,
        targets,
        start=Parameters(),
        settings=FitSettings(budget=given.budget, restarts=0, pull=0.1, polish=4),
    )
    print("| parameter | start | truth | found | s.e. | distance, s.e. |")
    print("|---|---|---|---|---|---|")
    distances = []
    for free, error in zip(found.free, found.errors.tolist(), strict=True):
        start, truth, value = (
            getattr(parameters, free.name) for parameters in (Parameters(), TRUE, found.parameters)
        )
        distances.append((value - truth) / error)
        print(
            f"| {free.name} | {start:.3f} | {truth:.3f} | {value:.3f} | {error:.3f} "
            f"| {distances[-1]:+.1f} |"
        )
    print(
        f"Loss {found.stages[0].before:.0f} in the first stage at the start, "
        f"{found.loss:.1f} at the end over {len(targets)} targets; root mean square distance "
        f"{np.sqrt(np.mean(np.square(distances))):.2f} standard errors."
    )


if __name__ == "__main__":
    main()
