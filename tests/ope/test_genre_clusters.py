"""MIPS of runs, with genres of the catalogue as clusters: its two ends, and the law in between."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.ope import evaluate
from matinee_platform.ope.inputs.item_genres import clustered, main_genres
from matinee_platform.ope.inputs.policy_log import LogCheck, PolicyLog, weighed
from matinee_platform.ope.inputs.run_log import run_log
from matinee_platform.serving_model import load_serving_model
from matinee_policies.errors import ConfigError
from matinee_policies.registry import build_policy
from matinee_policies.slot_laws import slot_laws

QUICK: dict[str, Any] = {"estimators": ["mips", "ips"], "reward_model": "none"}
TARGET = {"kind": "softmax", "temperature": 0.2}


@pytest.fixture
def log(explored: Path) -> PolicyLog:
    return run_log(explored, "soft")


def test_genres_are_those_that_weigh_most(explored: Path, log: PolicyLog) -> None:
    genres = load_serving_model(explored / "model").items.genres
    found = main_genres(load_serving_model(explored / "model").items)
    clusters = clustered(log, "genre").clusters
    assert clusters is not None
    assert np.array_equal(found, clusters)
    known = genres.max(axis=1) > 0
    assert (genres[known, found[known]] == genres[known].max(axis=1)).all()
    assert (found[~known] == genres.shape[1]).all()


def test_items_of_their_own_are_ips_and_one_cluster_is_the_mean(log: PolicyLog) -> None:
    assert log.genres is not None
    alone = evaluate(replace(log, clusters=np.arange(log.genres.size)), TARGET, **QUICK)
    assert alone.value("mips").value == pytest.approx(alone.value("ips").value, rel=1e-12)
    together = evaluate(replace(log, clusters=np.zeros(log.genres.size, int)), TARGET, **QUICK)
    assert together.current is not None
    assert together.value("mips").value == pytest.approx(together.current.value, rel=1e-12)


def test_slots_have_the_default_interval_too(log: PolicyLog) -> None:
    assert log.genres is not None
    found = evaluate(replace(log, clusters=np.arange(log.genres.size)), TARGET, **QUICK)
    slots = [one for one in found.by_slot if one.estimator == "mips"]
    assert len(slots) == log.slots
    for one in slots:
        assert one.interval is not None
        assert one.value is not None
        assert one.interval.method == "Cressie-Read"
        assert one.value in one.interval


def test_weights_are_the_ratio_of_masses_on_the_genre(log: PolicyLog) -> None:
    clusters = clustered(log, "genre").clusters
    assert clusters is not None
    policy = build_policy("softmax", {"temperature": 0.2}, dimension=log.dimension)
    batches = weighed(clustered(log, "genre"), policy, model=None, check=LogCheck())
    ((part,), batch) = next(zip(log.parts(True), batches, strict=False))
    assert part.logger is not None
    could, would = (slot_laws(one, part.contexts, part.positions) for one in (part.logger, policy))
    assert batch.marginal is not None
    for slot in range(log.slots):
        for row in range(0, 40, 7):
            genre = clusters[part.items[row]]
            alike = genre == genre[part.positions[row, slot]]
            masses = [law.law(slot)[row, alike].sum() for law in (would, could)]
            assert batch.marginal[row, slot] == pytest.approx(masses[0] / masses[1], rel=1e-12)


def test_the_command_takes_genres_and_no_file(explored: Path, tmp_path: Path) -> None:
    path = tmp_path / "softer.yaml"
    path.write_text("{kind: softmax, temperature: 0.2}", encoding="utf-8")
    words = ["ope", f"{explored}:soft", "--policy", str(path), "--estimators", "snmips"]
    words += ["--reward-model", "none", "--clusters"]
    said = CliRunner().invoke(app, [*words, "genre"])
    assert said.exit_code == 0, said.output
    assert "by snmips" in said.output
    refused = CliRunner().invoke(app, [*words, "clusters.csv"])
    assert refused.exit_code != 0
    assert "must be 'genre'" in str(refused.exception or "") + refused.output


def test_what_has_no_genres_is_refused(log: PolicyLog) -> None:
    with pytest.raises(ConfigError, match="must be 'genre'"):
        clustered(log, "shirts.csv")
    with pytest.raises(ConfigError, match="need a catalogue"):
        clustered(replace(log, genres=None), "genre")
    assert clustered(log, None) is log
