import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee_platform.join import engagement_rewards, event_values
from matinee_platform.settings import EngagementSettings

IDS = st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=30)


@given(decisions=IDS, events=IDS)
def test_event_values_equal_a_dictionary(decisions: list[int], events: list[int]) -> None:
    values = {event: place + 1.0 for place, event in enumerate(events)}
    joined = event_values(
        np.array(decisions, dtype=np.uint64),
        np.array(events, dtype=np.uint64),
        np.array(list(values.values()), dtype=np.float64),
    )
    assert joined.tolist() == [values.get(decision, 0.0) for decision in decisions]


@pytest.mark.parametrize(
    ("click", "watch", "expected"),
    [(0.0, 1.0, 0.25), (1.0, 0.0, 1.0), (0.4, 0.6, 0.55), (-0.3, 1.0, -0.05)],
)
def test_engagement_weighs_click_and_watched_fraction(
    click: float, watch: float, expected: float
) -> None:
    rewards = engagement_rewards(
        np.array([[True, False]]),
        np.array([[0.25, np.nan]], dtype=np.float32),
        EngagementSettings(weight=1.0, click=click, watch=watch),
    )
    np.testing.assert_allclose(rewards, [[expected, 0.0]], atol=1e-15)


def test_engagement_scales_with_its_weight() -> None:
    rewards = engagement_rewards(
        np.array([[True]]), np.array([[0.5]], dtype=np.float32), EngagementSettings(weight=0.5)
    )
    assert rewards.item() == 0.25
