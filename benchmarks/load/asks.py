"""Requests of a load by their number: decisions, and clicks on what was decided a while before."""

from chaos.served_arm import EXPERIMENT
from http_connection import post_bytes

UNITS = 5_000
_MIX = 0x9E37_79B9_7F4A_7C15
_GROUP = 5
_BEHIND = 100


def decision_id(number: int) -> str:
    """Sixteen digits, spread over all numbers of 64 bits.

    Example:
        >>> decision_id(1)
        '9e3779b97f4a7c15'
    """
    return f"{number * _MIX % 2**64:016x}"


def decision(number: int, *, units: int = UNITS) -> bytes:
    """A decision, from the arm's own candidates; units come in another order each time round."""
    body = {
        "experiment": EXPERIMENT,
        "unit": f"unit-{number * 7_919 % units}",
        "decision_id": decision_id(number),
    }
    return post_bytes("/v1/decisions", body)


def decision_or_clicks(number: int) -> bytes:
    """Four decisions, then one request with five rewards of decisions from some time before.

    So 200 requests a second are 160 decisions and 200 rewards.
    """
    group, place = divmod(number, _GROUP)
    if place < _GROUP - 1 or group < _BEHIND:
        return decision(number)
    return clicks(number, [(group - _BEHIND) * _GROUP + at for at in range(_GROUP - 1)])


def clicks(number: int, decisions: list[int]) -> bytes:
    """A click in each of some decisions, and a second one in the first."""
    shown = [(one, 0) for one in decisions] + [(decisions[0], 1)]
    events = [
        {
            "id": f"{number}-{place}",
            "decision_id": decision_id(one),
            "component": "click",
            "slot": slot,
            "value": 1.0,
        }
        for place, (one, slot) in enumerate(shown)
    ]
    return post_bytes("/v1/rewards", {"rewards": events})
