"""The progress line of a calibration: stage, simulations of it, least loss."""

from matinee_platform.report.progress_frame import ProgressFrame


class CalibrationProgress(ProgressFrame):
    """Shows a calibration's progress.

    Args:
        quiet: whether to show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet, plain_seconds=20.0)

    def report(self, stage: str, done: int, budget: int, loss: float) -> None:
        """Count one simulation of a stage."""
        text = f"{stage}: {done} of at most {budget} simulations, loss {loss:.3g}"
        self.show(text, completed=done, total=budget)
