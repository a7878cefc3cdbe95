"""Find the data that a person named, or draw data when none was named."""

from dataclasses import replace
from pathlib import Path

from matinee_policies.datasets import film_metadata
from matinee_policies.datasets.csv_file import find_csv
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.film_metadata import add_people
from matinee_policies.datasets.movielens import load_movielens
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.errors import DataError

_NEEDED = ("movies", "ratings")


def open_dataset(folder: Path | None, *, seed: int = 0) -> Dataset:
    """Load the data in a folder, or draw synthetic data.

    Directors and cast are added when a folder `film-metadata-wikipedia` stands beside the
    MovieLens folder.

    Args:
        folder: what `find_movielens` accepts; None for synthetic data.
        seed: seed of synthetic data.

    Raises:
        DataError: the folder holds no such data, or a file breaks a rule.
    """
    if folder is None:
        return synthetic_dataset(seed=seed)
    found = find_movielens(folder)
    dataset = load_movielens(found)
    people = found.resolve().parent / film_metadata.FOLDER
    if not people.is_dir():
        return dataset
    return replace(
        dataset,
        catalogue=add_people(dataset.catalogue, people),
        description=f"{dataset.description}, people from {film_metadata.FOLDER}",
    )


def find_movielens(folder: Path) -> Path:
    """The folder with `movies.csv` and `ratings.csv`, plain or `.gz`.

    Args:
        folder: that folder itself, or one that holds exactly one such folder.

    Raises:
        DataError: there is none, or more than one.
    """
    if not folder.is_dir():
        raise DataError(folder, rule="must be a folder that exists")
    missing = [stem for stem in _NEEDED if find_csv(folder, stem) is None]
    if not missing:
        return folder
    if len(missing) < len(_NEEDED):
        raise DataError(folder / f"{missing[0]}.csv", rule="file must exist, plain or as .csv.gz")
    inside = [
        child
        for child in sorted(folder.iterdir())
        if child.is_dir() and all(find_csv(child, stem) for stem in _NEEDED)
    ]
    if len(inside) == 1:
        return inside[0]
    names = [child.name for child in inside]
    if names:
        raise DataError(folder, rule="must hold one MovieLens folder; name the one", value=names)
    raise DataError(
        folder,
        rule="must hold movies.csv and ratings.csv (plain or .gz), or one folder that does",
    )
