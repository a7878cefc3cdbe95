"""Off-policy evaluation: what would another policy have earned on the pages that were logged?

from matinee_platform.ope import evaluate

found = evaluate("runs/demo:mf_explored", "softer.yaml")
print(found.headline.value, found.headline.interval, found.verdict.words())
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matinee_platform.ope.action_evaluation import evaluate_actions
    from matinee_platform.ope.evaluator import Method, evaluate, evaluate_stream

__all__ = ["Method", "evaluate", "evaluate_actions", "evaluate_stream"]


def __getattr__(name: str) -> Any:
    # Late, so that whoever wants the numerics alone does not load what reads logs.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from matinee_platform.ope import action_evaluation, evaluator

    return getattr(action_evaluation if name == "evaluate_actions" else evaluator, name)
