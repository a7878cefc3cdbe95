"""Set up an offline run: world, what the platform knows before it, and who is in which arm.

It is written to the run folder, from which each arm's process reads it back:

    RUN/model/     the platform's side: catalogue, item features, candidate models
    RUN/world/     the simulator's side: the truth, and the users' past ratings (past_ratings.py)
    RUN/initial/   the first state of every arm that starts warm
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from matinee_platform.assignment import bucket_ranges, buckets, choose_arms
from matinee_platform.data_source import open_data
from matinee_platform.json_file import read_json, write_json
from matinee_platform.model_fit import fit_serving_model
from matinee_platform.offline.past_ratings import (
    DrawnPast,
    Past,
    StoredPast,
    all_ratings,
    save_past,
)
from matinee_platform.offline.shelf import arrives, check_shelves
from matinee_platform.plays import PlayScale
from matinee_platform.pseudonyms import pseudonyms
from matinee_platform.rule_lookup import page_rules
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_platform.settings import ExperimentSettings
from matinee_platform.simulated_keys import assignment_salt, pseudonym_key
from matinee_policies.arrays import AnyArray, UInt64Array
from matinee_policies.candidates.source_data import SourceData, Units
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys
from matinee_simulator.calibration import load_calibration
from matinee_simulator.catalogue_calendar import CatalogueCalendar
from matinee_simulator.parameters import Parameters
from matinee_simulator.scenarios import scenario_parameters
from matinee_simulator.world import World

_PREPARED = "prepared.json"

PAST_RATINGS = Path("world") / "past_ratings"
"""Folder of the users' ratings before the run."""

_INITIAL = "initial"

_IDS_AT_ONCE = 65_536

KNOWN_SHARE = 0.8
"""Share of the data's ratings, drawn at random, that the platform's models are fitted on. The truth
is fitted on all of them: so the platform is wrong about items as a service is that has not seen
everything, and knows of users only what they did."""


@dataclass(frozen=True, slots=True)
class Roster:
    """Who takes part: one entry per simulated user.

    Attributes:
        pseudonyms: `uint64 [n]`.
        buckets: assignment bucket in ten-thousandths, `int16 [n]`.
        arms: index of the arm, `int16 [n]`.
    """

    pseudonyms: UInt64Array
    buckets: AnyArray
    arms: AnyArray


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the arms of a run share.

    Attributes:
        data: one plain line that says which data the run uses.
        world: the simulator's truth.
        past: the users' ratings before the run.
        model: what the platform knows.
        plays: scale of the ratings that the platform knows.
        initial: first state of the policies that start warm, by the arm's name.
    """

    data: str
    world: World
    past: Past
    model: ServingModel
    plays: PlayScale
    initial: Mapping[str, Snapshot] = field(default_factory=dict)

    def save(self, run: Path) -> None:
        """Write the folders above under the run's folder, then say that they are complete."""
        self.model.save(run / "model")
        (run / "world").mkdir(parents=True, exist_ok=True)
        self.world.save(run / "world" / "world.npz")
        save_past(self.past, run / PAST_RATINGS)
        for arm, snapshot in self.initial.items():
            (run / _INITIAL).mkdir(exist_ok=True)
            snapshot.save(run / _INITIAL / f"{arm}.npz", keys=SigningKeys.configured())
        write_json(
            run / _PREPARED,
            {"data": self.data, "plays": asdict(self.plays), "users": self.past.n_users},
        )


def is_prepared(run: Path) -> bool:
    """Whether the run's folder holds everything that `Prepared.save` writes."""
    return (run / _PREPARED).is_file()


def load_prepared(run: Path) -> Prepared:
    """Read back what `Prepared.save` wrote."""
    facts = read_json(run / _PREPARED)
    return Prepared(
        data=facts["data"],
        plays=PlayScale(**facts["plays"]),
        world=World.load(run / "world" / "world.npz"),
        past=StoredPast(run / PAST_RATINGS, n_users=facts["users"]),
        model=load_serving_model(run / "model"),
        initial=load_initial(run),
    )


def load_initial(run: Path) -> dict[str, Snapshot]:
    """First states of the arms of a run that started warm, by the arm's name."""
    keys = SigningKeys.configured()
    paths = sorted((run / _INITIAL).glob("*.npz"))
    return {path.stem: Snapshot.load(path, keys=keys) for path in paths}


def world_parameters(settings: ExperimentSettings) -> Parameters:
    """Parameters of the simulated users; raises ConfigError on a bad one."""
    base = load_calibration(settings.calibration).parameters if settings.calibration else None
    parameters = scenario_parameters(settings.scenario, settings.world, base=base)
    if parameters.max_pages * settings.slots > 4_096:
        raise ConfigError(
            f"max_pages * slots must be <= 4096, got {parameters.max_pages * settings.slots}"
        )
    return parameters


def catalogue_calendar(settings: ExperimentSettings, world: World) -> CatalogueCalendar | None:
    """When items come and go during the run; None if the catalogue stands still.

    Raises:
        ConfigError: if it stands still and places are kept for items that arrive, or no item does.
    """
    parameters = world_parameters(settings)
    if settings.fresh_candidates and not parameters.arriving_share:
        raise ConfigError(
            f"fresh_candidates needs items that arrive: world.arriving_share must be > 0, "
            f"got {parameters.arriving_share:g} with fresh_candidates = {settings.fresh_candidates}"
        )
    if not parameters.catalogue_moves:
        return None
    return CatalogueCalendar(world, parameters, seed=settings.seed, days=settings.days)


def prepare(settings: ExperimentSettings) -> Prepared:
    """Build everything that the arms of a run share; nothing is written.

    Raises:
        MatineeError: on bad data, or settings that do not fit the data.
    """
    parameters = world_parameters(settings)
    dataset = open_data(settings.data)
    world = World.from_interactions(dataset.catalogue, dataset.interactions, seed=settings.seed)
    catalogue = dataset.catalogue.subset(world.item_rows)
    _check_catalogue(settings, len(catalogue))
    rules = page_rules(
        settings,
        catalogue,
        known_items=dataset.catalogue.ids,
        item_labels=dataset.item_labels,
    )
    calendar = catalogue_calendar(settings, world)
    if calendar is not None:
        check_shelves(
            calendar,
            candidates=settings.candidates,
            rules=rules,
            fresh=settings.fresh_candidates,
        )
    past = DrawnPast(world, parameters, n_users=settings.users, seed=settings.seed)
    # One user is enough to find out that the parameters do not fit the world.
    next(past.of(np.zeros(1, dtype=np.int64)))
    _, interactions = dataset.interactions.subset_items(world.item_rows).split_random(
        KNOWN_SHARE, seed=settings.seed
    )
    if calendar is not None:
        # Nobody has rated what is yet to come.
        interactions = interactions.without_ratings_of(arrives(calendar))
    data = SourceData(
        catalogue=catalogue,
        interactions=interactions,
        known_items=dataset.catalogue.ids,
        item_labels=dataset.item_labels,
        units=_units(settings, past, interactions),
    )
    model = fit_serving_model(data, sources=settings.sources, seed=settings.seed, rules=rules)
    plays = PlayScale.of(interactions.matrix.data)
    return Prepared(dataset.description, world, past, model, plays)


def draw_roster(settings: ExperimentSettings) -> Roster:
    """Assign every simulated user to an arm by the hash of the experiment's salt and the user."""
    salt = assignment_salt(settings.name, settings.seed)
    found = [buckets(ids, salt) for ids in _unit_ids(settings)]
    ranges = bucket_ranges([arm.weight for arm in settings.arms])
    return Roster(
        pseudonyms=_pseudonyms(settings),
        buckets=np.concatenate(found),
        arms=np.concatenate([choose_arms(part, ranges) for part in found]),
    )


def _unit_ids(settings: ExperimentSettings) -> Iterator[list[str]]:
    """Raw ids of the simulated users, by number; a recommender's file names them like this."""
    for first in range(0, settings.users, _IDS_AT_ONCE):
        last = min(first + _IDS_AT_ONCE, settings.users)
        yield [unit_name(number) for number in range(first, last)]


def unit_name(number: int) -> str:
    """Raw id of a simulated user."""
    return f"user-{number}"


def _pseudonyms(settings: ExperimentSettings) -> UInt64Array:
    secret = pseudonym_secret(settings)
    return np.concatenate([pseudonyms(ids, secret=secret) for ids in _unit_ids(settings)])


def pseudonym_secret(settings: ExperimentSettings) -> bytes:
    """Key of the pseudonyms; fixed by the seed, since simulated users have nothing to hide."""
    return pseudonym_key(settings.name, settings.seed)


def _units(settings: ExperimentSettings, past: Past, data: Interactions) -> Units:
    """The simulated users as candidate sources see them: pseudonyms and past ratings."""

    def histories() -> Interactions:
        known = all_ratings(past)
        return Interactions.from_triplets(
            known.users,
            known.items,
            known.ratings,
            known.times,
            rating_range=data.rating_range,
            n_users=settings.users,
            item_ids=data.item_ids,
        )

    return Units(
        keys=_pseudonyms(settings),
        histories=histories,
        key_of=partial(pseudonyms, secret=pseudonym_secret(settings)),
        example=next(_unit_ids(settings))[0],
    )


def _check_catalogue(settings: ExperimentSettings, items: int) -> None:
    if items < settings.candidates:
        raise ConfigError(
            f"candidates must be at most the {items} items of the catalogue with enough ratings, "
            f"got {settings.candidates}"
        )
