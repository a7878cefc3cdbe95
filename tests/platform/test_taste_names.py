"""Groups of taste are called by the genres of the catalogue where it is at hand, else numbered."""

from pathlib import Path

import numpy as np

from matinee_platform.analysis.experiment.of_service import genre_names_of
from matinee_platform.analysis.unit_days.first_states import FirstStates
from matinee_platform.experiments.definition import LiveExperiment
from matinee_policies.catalogue import Catalogue, TagTable

EXPERIMENT = LiveExperiment.model_validate(
    {
        "key": "home",
        "salt": "home-1",
        "arms": [{"name": "old", "bundle": "first"}, {"name": "new", "bundle": "second"}],
    }
)


def _deployed(data_dir: Path, bundle: str, names: tuple[str, ...]) -> None:
    folder = data_dir / "bundles" / bundle / "model"
    folder.mkdir(parents=True)
    Catalogue(
        ids=np.arange(2),
        titles=("A", "B"),
        years=np.zeros(2, dtype=np.int16),
        genre_names=names,
        genres=np.zeros((2, len(names)), dtype=np.bool_),
        people=TagTable.from_lists([[], []]),
        keywords=TagTable.from_lists([[], []]),
        embeddings=np.zeros((2, 0), dtype=np.float32),
    ).save(folder / "catalogue.npz")


def _labels(names: tuple[str, ...], genres: int = 2) -> tuple[str, ...]:
    states = FirstStates(names)
    states.add(np.arange(1), np.ones((1, 2 * genres + 2), dtype=np.float32))
    return states.told(np.arange(1))[2]["taste"]


def test_bundles_that_agree_name_the_groups(tmp_path: Path) -> None:
    for bundle in ("first", "second"):
        _deployed(tmp_path, bundle, ("Comedy", "Drama"))
    assert genre_names_of(tmp_path, EXPERIMENT) == ("Comedy", "Drama")
    assert _labels(("Comedy", "Drama")) == ("Comedy", "Drama")


def test_groups_are_numbered_where_names_are_not_sure(tmp_path: Path) -> None:
    assert genre_names_of(tmp_path / "none", EXPERIMENT) == ()
    _deployed(tmp_path, "first", ("Comedy", "Drama"))
    assert genre_names_of(tmp_path, EXPERIMENT) == ()
    _deployed(tmp_path, "second", ("Drama", "Comedy"))
    assert genre_names_of(tmp_path, EXPERIMENT) == ()
    (tmp_path / "bundles" / "second" / "model" / "catalogue.npz").write_bytes(b"damaged")
    assert genre_names_of(tmp_path, EXPERIMENT) == ()
    assert _labels(()) == _labels(("Comedy",)) == ("genre 0", "genre 1")
