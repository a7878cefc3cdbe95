"""Single events of a contextual bandit through Vowpal Wabbit, from Python and by its own program.

An event is a context and some actions of a fixed catalogue. The peer is Vowpal Wabbit's own Python
package, which takes a text per call; the limit is its program, run as `python -m vowpalwabbit` over
a file of the same events. Ours is `matinee_policies.vw_action_sets`.

`vowpal_wabbit.py` prints its rows.
"""

import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import Bars, Effort, Limit, Peer, Row, Work, compare
from made_up_rounds import SEED
from matinee_policies.vw_action_sets import ActionSets
from peers.made_up_events import FEATURES, OPTIONS, Events, made_up_events

ACTIONS = 20


class Ours:
    """The same events by action sets; a workspace per way, since learning changes it."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._asked = [events.text(event, labelled=False) for event in range(len(events))]
        self._sets = ActionSets(OPTIONS[1:])
        lines = "\n".join(events.items)
        self._items = self._sets.parse(lines, rows=len(events.items))

    def predict_text(self) -> None:
        """Parse every event."""
        rows = 1 + ACTIONS
        for text in self._asked:
            self._sets.law_of(text, rows=rows)

    def predict_parsed(self) -> None:
        """Parse contexts only."""
        sets, items = self._sets, self._items
        for context, actions in zip(self._events.contexts, self._events.actions, strict=True):
            sets.law_given(context, items.chosen(actions))

    def predict_and_learn(self) -> None:
        """Parse contexts, and once more the one line that has the label."""
        sets, items, events = self._sets, self._items, self._events
        rows = zip(events.contexts, events.actions, events.chosen, events.labels, strict=True)
        for context, actions, chosen, label in rows:
            shared = sets.parse(context, rows=1)
            chosen_from = items.chosen(actions)
            sets.law(shared + chosen_from)
            lesson = f"{label} {events.items[actions[chosen]]}"
            sets.learn_after(shared, lesson, chosen_from, chosen=chosen)


def driver(path: Path, *more: str) -> Callable[[], None]:
    """Vowpal Wabbit's program over a file, started as `python -m vowpalwabbit`."""

    def run() -> None:
        before = sys.argv
        sys.argv = ["vowpalwabbit", *OPTIONS, *more, "--data", str(path)]
        try:
            runpy.run_module("vowpalwabbit", run_name="__main__")
        finally:
            sys.argv = before

    return run


def measure(effort: Effort) -> list[Row]:
    """Three rows."""
    count = 20 if effort.tiny else 2_000
    events = made_up_events(SEED, events=count, actions=ACTIONS)
    settings: dict[str, int | str] = {"seed": SEED, "events": count, "actions": ACTIONS}
    ours = Ours(events)
    with tempfile.TemporaryDirectory() as folder:
        asked, taught = (_written(Path(folder), events, labelled=flag) for flag in (False, True))
        program = "its program over a file of the same texts, python -m vowpalwabbit"
        tests = Limit(f"{program}, only predicting", Work(driver(asked, "-t"), units=count))
        learns = Limit(program, Work(driver(taught), units=count))

        def row(
            name: str, run: Callable[[], None], kind: str, *, limit: Limit, bars: Bars, note: str
        ) -> Row:
            return compare(
                f"Vowpal Wabbit, {name}",
                size=f"{ACTIONS} actions, {FEATURES} + {FEATURES} features",
                unit="events/s",
                ours=Work(run, units=count),
                peer=Peer("vowpalwabbit", "pyvw_events", None, {**settings, "kind": kind}),
                limit=limit,
                bars=bars,
                effort=effort,
                note=note,
            )

        return [
            row(
                "predict from text",
                ours.predict_text,
                "predict",
                limit=tests,
                bars=Bars(peer=3.0, limit_goal=0.8),
                note="Peer: `predict(str)`.",
            ),
            row(
                "predict, items parsed once",
                ours.predict_parsed,
                "predict",
                limit=tests,
                bars=Bars(peer=5.0, limit_goal=0.8),
                note="The context of an event is parsed, its items are not.",
            ),
            row(
                "predict and learn",
                ours.predict_and_learn,
                "pair",
                limit=learns,
                bars=Bars(peer=3.0, limit=0.6, limit_goal=0.8),
                note="Peer: `predict(str)` and `learn(str)`. The program predicts and learns at "
                "once. Ours, with items parsed once, predicts before the label is known.",
            ),
        ]


def _written(folder: Path, events: Events, *, labelled: bool) -> Path:
    path = folder / f"events-{int(labelled)}.txt"
    texts = (events.text(event, labelled=labelled) for event in range(len(events)))
    path.write_text("".join(f"{text}\n\n" for text in texts), encoding="ascii")
    return path
