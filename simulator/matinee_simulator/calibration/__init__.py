"""Calibration: parameters of simulated users from figures of a real service.

    targets = merged(session_targets(read_session_log(path), source="my log"), literature_targets())
    calibration = calibrate(dataset, targets, settings=CalibrationSettings(), ...)
    write_calibration(Path("mine.json"), calibration)

Fitted by the simulated method of moments on training seeds, judged on fresh ones. What goodwill
does to returns is causal, and never fitted.
"""

from matinee_simulator.calibration.calibrate import (
    QUICK,
    CalibrationSettings,
    calibrate,
    data_digest,
)
from matinee_simulator.calibration.calibration_file import (
    film_parameters,
    load_calibration,
    read_calibration,
    write_calibration,
)
from matinee_simulator.calibration.fit import FitSettings
from matinee_simulator.calibration.free import FREE, NEVER_FITTED
from matinee_simulator.calibration.log_targets import rating_return_targets, session_targets
from matinee_simulator.calibration.record import Calibration
from matinee_simulator.calibration.service import Service
from matinee_simulator.calibration.session_log import read_session_log
from matinee_simulator.calibration.target import Target, merged
from matinee_simulator.calibration.target_file import literature_targets, read_targets

__all__ = [
    "FREE",
    "NEVER_FITTED",
    "QUICK",
    "Calibration",
    "CalibrationSettings",
    "FitSettings",
    "Service",
    "Target",
    "calibrate",
    "data_digest",
    "film_parameters",
    "literature_targets",
    "load_calibration",
    "merged",
    "rating_return_targets",
    "read_calibration",
    "read_session_log",
    "read_targets",
    "session_targets",
    "write_calibration",
]
