"""All dashboards."""

from matinee_dashboards.experiment import EXPERIMENT_BOARD
from matinee_dashboards.learning import LEARNING
from matinee_dashboards.service import SERVICE

BOARDS = (EXPERIMENT_BOARD, LEARNING, SERVICE)
"""In the order in which a newcomer would open them."""
