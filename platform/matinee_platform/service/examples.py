"""Examples of the OpenAPI document that their models do not hold themselves."""

from typing import Any

_DECISION = {
    "decision_id": "visit 4711, page 1",
    "experiment": "home",
    "arm": "new",
    "items": ["heat", "alien"],
    "propensities": [0.9, 0.95],
    "served_by": "policy",
    "snapshot": 12,
    "token": None,
}
_PROBLEM = {
    "type": "about:blank",
    "title": "There is nothing here",
    "status": 404,
    "code": "not_found",
    "detail": "no experiment of this key runs",
    "request_id": "",
    "faults": [],
}
_DEFINITION = {
    "key": "home",
    "salt": "home-1",
    "coverage": 0.1,
    "slots": 2,
    "reward": {"engagement": {"weight": 1.0}, "return_visit": {"weight": 0.1}},
    "arms": [
        {"name": "old", "weight": 0.5, "bundle": "mf_order", "learning": "log_only"},
        {"name": "new", "weight": 0.5, "bundle": "lin_ucb", "learning": "online"},
    ],
}
_WHOLE_DEFINITION = {
    **_DEFINITION,
    "layer": "home",
    "layer_slice": [0.0, 1.0],
    "control": "old",
    "candidates": 100,
    "rest": 50,
    "engagement_minutes": 30.0,
}
_EXPERIMENT = {
    "state": "running",
    "version": 2,
    "created_at": 1_767_225_600_000,
    "changed_at": 1_767_225_660_000,
    "definition": _WHOLE_DEFINITION,
}
_REWARD = {"id": "click 99", "outcome": "stored", "state": "joined", "problem": None}

EXAMPLES: dict[str, Any] = {
    "LiveExperiment": _DEFINITION,
    "DecisionsRequest": {
        "decisions": [
            {"experiment": "home", "unit": "user 17", "decision_id": "visit 4711, page 1"},
            {"experiment": "shelf", "unit": "user 17"},
        ]
    },
    "RewardsRequest": {
        "rewards": [
            {
                "id": "click 99",
                "decision_id": "visit 4711, page 1",
                "component": "click",
                "slot": 0,
                "value": 1,
            },
            {
                "id": "watch 99",
                "decision_id": "visit 4711, page 1",
                "component": "watch",
                "slot": 0,
                "value": 0.8,
                "occurred_at": "2026-11-22T20:15:00+01:00",
            },
        ]
    },
    "DecisionsAnswer": {
        "results": [
            {"status": 200, "decision": _DECISION, "problem": None},
            {"status": 404, "decision": None, "problem": _PROBLEM},
        ]
    },
    "RewardsAnswer": {"results": [_REWARD]},
    "ExperimentAnswer": _EXPERIMENT,
    "ExperimentsAnswer": {"experiments": [_EXPERIMENT]},
    "DecisionView": {
        "decision_id": "ec85f73919c853ad",
        "seq": 4711,
        "experiment": "home",
        "arm": "new",
        "unit": "381c72a1022f7c27",
        "bucket": 311,
        "decided_at": 1_767_225_600_000,
        "page": 0,
        "snapshot": 12,
        "feature_version": 1,
        "catalogue_version": "5f1d0c9a7b3e2468",
        "served_by": "policy",
        "items": ["heat", "alien"],
        "propensities": [0.9, 0.95],
        "rewards": [
            {
                "seq": 4720,
                "component": "click",
                "slot": 0,
                "value": 1.0,
                "received_at": 1_767_225_605_000,
                "occurred_at": None,
            }
        ],
    },
    "ReplayAnswer": {
        "decision_id": "ec85f73919c853ad",
        "equal": True,
        "items": ["heat", "alien"],
        "propensities": [0.9, 0.95],
        "note": "",
    },
    "ExplanationAnswer": {
        "decision_id": "ec85f73919c853ad",
        "explanation": {"policy": "lin_ucb", "slots": []},
    },
    "AuditAnswer": {
        "entries": [
            {
                "number": 1,
                "at": 1_767_225_600_000,
                "who": "ops",
                "action": "experiment.create",
                "subject": "home",
                "details": {"version": 1},
            }
        ]
    },
}
"""By the name of the schema."""
