"""An invented catalogue: films with a theme, and from it genres, title, year, people, keywords."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matinee_policies.arrays import FloatArray, Int64Array
from matinee_policies.catalogue import Catalogue, TagTable
from matinee_policies.datasets.synthetic_words import (
    FIRST_NAMES,
    GENRES,
    PLACES,
    SURNAME_ENDS,
    SURNAME_STARTS,
    THEMES,
    Theme,
)

_NO_GENRE_SHARE = 0.0035
_NOIR_YEARS = (1940, 1959)
_ROMAN = ("", " II", " III", " IV", " V", " VI", " VII", " VIII", " IX", " X")

# Quantiles of the years of the films of MovieLens latest-small.
_YEAR_SHARES = (0.0, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_YEARS = (1915.0, 1938.0, 1967.0, 1988.0, 1999.0, 2008.0, 2013.0, 2018.99)


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """What is fixed about the films before anyone rates them.

    Attributes:
        themes: row of `THEMES` of each film, `int64 [M]`.
        years: year of release, `int16 [M]`.
        popularity: score whose order is the order of popularity, `float64 [M]`.
    """

    themes: Int64Array
    years: NDArray[np.int16]
    popularity: FloatArray

    def theme_of(self, film: int) -> Theme:
        """Theme of one film."""
        return THEMES[int(self.themes[film])]


def plan_films(random: np.random.Generator, n_items: int) -> FilmPlan:
    """Draw theme, year and popularity score of `n_items` films."""
    weights = np.array([theme.weight for theme in THEMES])
    themes = random.choice(len(THEMES), size=n_items, p=weights / weights.sum())
    years = np.interp(random.random(n_items), _YEAR_SHARES, _YEARS)
    noir = np.array([theme.name == "film noir" for theme in THEMES])[themes]
    years = np.where(noir, random.integers(*_NOIR_YEARS, n_items, endpoint=True), years)
    shifts = np.array([theme.popularity for theme in THEMES])[themes]
    # The nineties were on every shelf when most of the ratings were given; what came out later had
    # fewer years to be rated.
    shifts += 0.5 * np.exp(-(((years - 1996.0) / 7.0) ** 2))
    shifts -= 0.08 * np.maximum(years - 2003.0, 0.0)
    return FilmPlan(
        themes=themes.astype(np.int64),
        years=years.astype(np.int16),
        popularity=shifts + random.normal(size=n_items),
    )


def make_catalogue(
    random: np.random.Generator, plan: FilmPlan, item_counts: Int64Array
) -> Catalogue:
    """Invent what a catalogue says of the planned films.

    Args:
        random: generator to draw from.
        plan: the films.
        item_counts: their numbers of ratings; films that many saw have more keywords, `int64 [M]`.
    """
    n = plan.themes.size
    return Catalogue(
        ids=np.arange(1, n + 1, dtype=np.int64),
        titles=_titles(random, plan),
        years=plan.years,
        genre_names=GENRES,
        genres=_genres(random, plan),
        people=_people(random, plan),
        keywords=_keywords(random, plan, item_counts),
        embeddings=np.zeros((n, 0), dtype=np.float32),
    )


def _genres(random: np.random.Generator, plan: FilmPlan) -> NDArray[np.bool_]:
    chances = np.array([[theme.genres.get(name, 0.0) for name in GENRES] for theme in THEMES])
    genres = random.random((plan.themes.size, len(GENRES))) < chances[plan.themes]
    genres[random.random(plan.themes.size) < _NO_GENRE_SHARE] = False
    return np.asarray(genres)


def _titles(random: np.random.Generator, plan: FilmPlan) -> tuple[str, ...]:
    draws = random.random((plan.themes.size, 5))
    used: dict[str, int] = {}
    titles = []
    for film, (pattern, first, second, third, place) in enumerate(draws.tolist()):
        theme = plan.theme_of(film)
        adjective, noun = _pick(theme.adjectives, first), _pick(theme.nouns, second)
        name = _title(pattern, adjective, noun, _pick(theme.nouns, third), _pick(PLACES, place))
        year = int(plan.years[film])
        # A title taken in the same year becomes a sequel.
        key = f"{name} ({year})"
        sequel = used.get(key, 0)
        used[key] = sequel + 1
        titles.append(f"{name}{_roman(sequel)} ({year})")
    return tuple(titles)


def _title(pattern: float, adjective: str, noun: str, other: str, place: str) -> str:
    if pattern < 0.30:
        return f"The {adjective} {noun}"
    if pattern < 0.45:
        return f"{adjective} {noun}"
    if pattern < 0.60:
        return f"{noun} of {place}"
    if pattern < 0.72 and noun != other:
        return f"{noun} and {other}"
    if pattern < 0.85:
        return f"The {place} {noun}"
    return f"{adjective} {noun} in {place}"


def _roman(sequel: int) -> str:
    return _ROMAN[sequel] if sequel < len(_ROMAN) else f" {sequel + 1}"


def _people(random: np.random.Generator, plan: FilmPlan) -> TagTable:
    """One director, who keeps to a theme, and three to six actors, some of them stars."""
    n = plan.themes.size
    names = _person_names(random)
    n_directors = max(len(THEMES), min(n // 3, len(names) // 3))
    actors = names[n_directors:]
    # A power of a uniform number favours the first of each list.
    director = (random.random(n) ** 1.6 * (n_directors // len(THEMES))).astype(np.int64)
    director = director * len(THEMES) + plan.themes
    cast = (random.random((n, 6)) ** 2.2 * min(n * 2, len(actors))).astype(np.int64)
    sizes = random.integers(3, 7, n)
    return TagTable.from_lists(
        [
            [names[director[film]], *(actors[actor] for actor in cast[film, : sizes[film]])]
            for film in range(n)
        ]
    )


def _person_names(random: np.random.Generator) -> list[str]:
    names = [
        f"{first} {start}{end}"
        for first in FIRST_NAMES
        for start in SURNAME_STARTS
        for end in SURNAME_ENDS
    ]
    return [names[row] for row in random.permutation(len(names))]


def _keywords(random: np.random.Generator, plan: FilmPlan, item_counts: Int64Array) -> TagTable:
    sizes = np.minimum(random.poisson(np.minimum(item_counts / 25.0, 4.0)), 5)
    draws = random.random((plan.themes.size, 5))
    foreign = random.integers(0, len(THEMES), (plan.themes.size, 5))
    own = random.random((plan.themes.size, 5)) < 0.8
    lists = []
    for film, size in enumerate(sizes.tolist()):
        themes = np.where(own[film], plan.themes[film], foreign[film])
        lists.append(
            [_pick(THEMES[int(themes[k])].keywords, float(draws[film, k])) for k in range(size)]
        )
    return TagTable.from_lists(lists)


def _pick(words: tuple[str, ...], share: float) -> str:
    return words[int(share * len(words))]
