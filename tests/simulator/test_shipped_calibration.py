from matinee_simulator.calibration import film_parameters
from matinee_simulator.parameters import Parameters


def test_default_users_are_the_calibrated_ones() -> None:
    assert film_parameters() == Parameters()
