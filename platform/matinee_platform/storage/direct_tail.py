"""Tell the only process of a log of the rows that it commits.

A commit that fails may have stored its rows all the same: a disk that answers with an error, say.
Nobody is told of them then. The next commit shows it, by the place after which its rows come.
"""

from matinee_platform.storage.append_plan import Plan
from matinee_platform.storage.ports import Published, Skipped


class DirectTail:
    """Tells of commits; on the event loop.

    Args:
        published: told of rows.
        skipped: told where rows were stored of which nobody was told.
    """

    def __init__(self, *, published: Published, skipped: Skipped | None = None) -> None:
        self._published, self._skipped = published, skipped
        self._told: int | None = None

    def committed(self, plan: Plan) -> None:
        """This process committed some rows, or found that the log has them."""
        # The first one, too, may follow on one that failed.
        if plan.before != self._told and self._skipped is not None:
            self._skipped()
        self._told = plan.last_seq
        if plan.decisions or plan.rewards:
            self._published(plan.decisions, plan.rewards)
