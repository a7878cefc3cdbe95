"""Vowpal Wabbit by its own Python package, as its documentation shows: an event is a text."""

import importlib.metadata
from collections.abc import Callable

import vowpalwabbit

from peers.made_up_events import OPTIONS, made_up_events
from peers.stopwatch import answer, arguments


def main() -> None:
    """Answer for predictions, or for pairs of a prediction and what was learned from it."""
    settings = arguments()
    events = made_up_events(
        settings["seed"], events=settings["events"], actions=settings["actions"]
    )
    asked = [events.text(event, labelled=False) for event in range(len(events))]
    taught = [events.text(event, labelled=True) for event in range(len(events))]
    workspace = vowpalwabbit.Workspace(" ".join(OPTIONS))

    def predict() -> None:
        for text in asked:
            workspace.predict(text)

    def predict_and_learn() -> None:
        for question, lesson in zip(asked, taught, strict=True):
            workspace.predict(question)
            workspace.learn(lesson)

    kinds: dict[str, Callable[[], None]] = {"predict": predict, "pair": predict_and_learn}
    version = importlib.metadata.version("vowpalwabbit")
    answer(kinds[settings["kind"]], units=len(events), version=version)


if __name__ == "__main__":
    main()
