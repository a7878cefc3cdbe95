"""A folder of made data in the layout of MovieLens, small enough that tests start in a moment."""

import csv
import itertools
from pathlib import Path

from matinee_policies.datasets.synthetic import synthetic_dataset

_AT = 1_500_000_000


def write_small_movielens(folder: Path, *, n_users: int, n_items: int) -> None:
    """Write `movies.csv` and `ratings.csv` of synthetic data into a folder that is there."""
    dataset = synthetic_dataset(seed=2, n_users=n_users, n_items=n_items)
    catalogue, ratings = dataset.catalogue, dataset.interactions.matrix.tocoo()
    with (folder / "movies.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["movieId", "title", "genres"])
        for row, (item, title) in enumerate(zip(catalogue.ids, catalogue.titles, strict=True)):
            names = list(itertools.compress(catalogue.genre_names, catalogue.genres[row]))
            rows.writerow([int(item), title, "|".join(names) or "(no genres listed)"])
    with (folder / "ratings.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["userId", "movieId", "rating", "timestamp"])
        for user, item, rating in zip(*ratings.coords, ratings.data, strict=True):
            rows.writerow([int(user) + 1, int(catalogue.ids[item]), float(rating), _AT])
