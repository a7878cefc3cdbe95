"""What the users of a run rated before its first day, for a service that they are to ask."""

from pathlib import Path

import numpy as np

from matinee_platform.offline.past_ratings import StoredPast, all_ratings
from matinee_platform.offline.prepare import PAST_RATINGS, draw_roster
from matinee_platform.serving.past_units import PastUnits
from matinee_platform.settings import ExperimentSettings
from matinee_platform.unit_state import age_in_days
from matinee_simulator.history import RUN_START


def first_day_units(run: Path, settings: ExperimentSettings) -> PastUnits:
    """Past ratings of all users of a run, by pseudonym.

    Args:
        run: folder of the run.
        settings: of it.

    Raises:
        DataError: its files cannot be read.
    """
    past = all_ratings(StoredPast(run / PAST_RATINGS, n_users=settings.users))
    return PastUnits.of(
        draw_roster(settings).pseudonyms,
        past.users,
        past.items,
        past.ratings.astype(np.float32),
        age_in_days(past.times, RUN_START),
    )
