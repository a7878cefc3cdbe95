"""One arm at work: from asks that came together to slates, and to the rows that log them.

What is decided depends on each ask, its unit's state and the snapshot alone, never on what came
with it: a policy that fails on a batch is asked for each page alone.
"""

from collections.abc import Sequence

import numpy as np

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_keys import DecisionKeys
from matinee_platform.engine import FEATURE_SAMPLE, catalogue_number
from matinee_platform.experiments.definition import HOLDOUT_ARM, Learning
from matinee_platform.serving.asks import Decided
from matinee_platform.serving.bundle import LoadedBundle
from matinee_platform.serving.errors import BundleError
from matinee_platform.serving.fallback import (
    INVALID,
    RAISED,
    default_slates,
    is_valid,
    together,
)
from matinee_platform.serving.given_features import GIVEN, GivenContexts, given_contexts
from matinee_platform.serving.live_candidates import CatalogueCandidates
from matinee_platform.serving.observer import Observer
from matinee_platform.serving.quick_contexts import QuickContexts
from matinee_platform.serving.quick_records import record_maker
from matinee_platform.serving.unit_fold import Unit, UnitFold
from matinee_platform.serving.unit_memory import PREVIEWS, UnitMemory
from matinee_platform.serving.work import Chosen, Page, Work
from matinee_platform.storage.records import DecisionRecord, ServedBy
from matinee_policies.arrays import Float32Array, IndexArray, UInt64Array
from matinee_policies.errors import ContextError
from matinee_policies.features import FEATURE_VERSION, rows_of
from matinee_policies.policy import Policy, reads_features
from matinee_policies.records import PAD, ContextBatch, SlateBatch

MOST_TOGETHER = PREVIEWS
"""Decisions that are taken in one call of a policy."""

_record = record_maker(DecisionRecord)
_decided = record_maker(Decided)

UNKNOWN_SCORE = 0.5
"""Score of a candidate that nobody has given one."""


class ArmRuntime:
    """Decides slates of one arm.

    Args:
        experiment: key.
        name: of the arm, as logged; `HOLDOUT_ARM` for units that no experiment touches.
        bundle: what it starts from.
        learning: how it learns; an apprentice shows the order of the candidates.
        draws: 16 bytes that key its draws.
        slots: most items of a slate.
        candidates: of a page, `K`.
        rest: impressions after which an item that was not watched is a candidate again.
        start_ms: when the experiment began, UTC milliseconds.
        observer: told of another snapshot.

    Attributes:
        memory: of its units, set by who owns the log; None without a catalogue.
    """

    def __init__(
        self,
        experiment: str,
        name: str,
        *,
        bundle: LoadedBundle,
        learning: Learning,
        draws: bytes,
        slots: int,
        candidates: int,
        rest: int,
        start_ms: int,
        observer: Observer,
    ) -> None:
        self.experiment, self.name = experiment, name
        self.bundle, self.learning = bundle, learning
        self.slots, self.candidates = slots, candidates
        # One pair, so that a thread of its own never sees a policy with another's version.
        self._serving: tuple[Policy, int] = (bundle.policy(), 0)
        self.memory: UnitMemory | None = None
        self.shows_default = learning == "apprentice" or name == HOLDOUT_ARM
        self._observer = observer
        self._keys = DecisionKeys(draws)
        self._rest, self._start_ms = rest, start_ms
        self._builder: ContextBuilder | None = None
        self._contexts: QuickContexts | None = None
        self._shelf: CatalogueCandidates | None = None
        self._given: GivenContexts | None = None
        self._nobody: UnitFold | None = None
        self._catalogue_version = 0
        model, manifest = bundle.model, bundle.manifest
        if model is None or manifest.source is None:
            self._given = given_contexts(self.policy, dimension=manifest.dimension)
            return
        arm = str(manifest.arm)
        self._builder = model.contexts(arm)
        self._contexts = QuickContexts(self._builder)
        self._catalogue_version = catalogue_number(model.items)
        self._shelf = CatalogueCandidates(
            model,
            source=manifest.source,
            item_ids=bundle.item_ids,
            rules=model.rules.get(arm),
            candidates=candidates,
        )
        self._nobody = self.new_fold(1)
        nobody = Unit(0, 0)
        self._nobody.open_visit([nobody], np.zeros(1, dtype=np.int32), [start_ms])

    @property
    def policy(self) -> Policy:
        """That decides."""
        return self._serving[0]

    @property
    def version(self) -> int:
        """Of the policy's snapshot."""
        return self._serving[1]

    @property
    def dimension(self) -> int | None:
        """Numbers that callers give for each item; None where the catalogue has the features."""
        return None if self._given is None else self._given.dimension

    @property
    def shelf(self) -> CatalogueCandidates:
        """Candidates of the catalogue.

        Raises:
            BundleError: if the arm has none.
        """
        if self._shelf is None:
            raise BundleError(f"bundle {self.bundle.manifest.name!r} has no catalogue")
        return self._shelf

    def new_fold(self, rows: int) -> UnitFold:
        """A fold of units of this arm.

        Raises:
            BundleError: if the arm has no catalogue, hence no state of units.
        """
        model, manifest = self.bundle.model, self.bundle.manifest
        if model is None or manifest.source is None or manifest.plays is None:
            raise BundleError(
                f"bundle {manifest.name!r} must have a catalogue and a scale of plays"
            )
        return UnitFold(
            rows,
            items=model.items,
            model=model.sources[manifest.source],
            rest=self._rest,
            plays=manifest.plays.scale(),
            start_ms=self._start_ms,
            catalogue=catalogue_number(model.items),
            past=self.bundle.past,
        )

    def swap(self, policy: Policy, *, version: int) -> None:
        """Serve another state of the policy from now on."""
        self._serving = (policy, version)
        self._observer.swapped(self.experiment, self.name, version=version)

    def pages(self, works: Sequence[Work]) -> list[Page]:
        """What is to be decided, in as few parts as its shapes allow."""
        first = _kind(works[0])
        if all(_kind(work) == first for work in works):
            return [self._page(works)]
        parts: dict[tuple[int, bool, bool], list[Work]] = {}
        for work in works:
            parts.setdefault(_kind(work), []).append(work)
        return [self._page(part) for part in parts.values()]

    def is_default(self, page: Page) -> bool:
        """Whether the policy is not asked about these pages."""
        return self.shows_default or page.works[0].by_default or page.works[0].fallback is not None

    def choose(self, page: Page) -> Chosen:
        """Ask the policy; where it fails, the order of the candidates takes its place."""
        (policy, version), contexts, slots = self._serving, page.contexts, page.slots
        slates = _tried(policy, self._builder, contexts, slots=slots, keys=page.keys)
        if isinstance(slates, SlateBatch):
            return Chosen(slates, version)
        if len(contexts) == 1:
            return Chosen(default_slates(contexts, slots=slots), version, [slates])
        # One page alone may be what it fails on.
        ones = [np.arange(row, row + 1) for row in range(len(contexts))]
        parts = [
            _tried(policy, self._builder, contexts.rows(one), slots=slots, keys=page.keys[one])
            for one in ones
        ]
        return together(parts, default_slates(contexts, slots=slots), version=version)

    def instead(self, page: Page, reason: str | None = None) -> Chosen:
        """The order of the candidates.

        Args:
            page: what is to be decided.
            reason: why the policy did not choose, if it should have.
        """
        reasons = [reason or work.fallback for work in page.works]
        return Chosen(default_slates(page.contexts, slots=page.slots), self.version, reasons)

    def answers(self, page: Page, chosen: Chosen) -> list[Decided]:
        """Slates with the rows that log them."""
        slates, state = chosen.slates, page.state
        # Where candidates are numbered within the batch, rows of items come back here.
        items = slates.items
        if page.contexts.candidates is not page.candidates:
            places = np.maximum(slates.positions, 0)
            items = np.take_along_axis(page.candidates, places, axis=1)
            items = np.where(slates.positions == PAD, np.int32(PAD), items)
        states = page.packed
        lasts = None if state is None else state.last_watched.tolist()
        rows, positions = items.tolist(), slates.positions.tolist()
        propensities = slates.propensities.tolist()
        otherwise = ServedBy.DEFAULT if self.is_default(page) else ServedBy.POLICY
        found = []
        for place, work in enumerate(page.works):
            reason = None if chosen.reasons is None else chosen.reasons[place]
            served = otherwise if reason is None else ServedBy.FALLBACK
            record = None
            if work.logged:
                base, share = None, None
                if served is ServedBy.POLICY and slates.base is not None:
                    base, share = _base(slates, place)
                record = _record(
                    work.ask.decision_id,
                    work.ask.body_digest,
                    self.experiment,
                    self.name,
                    work.pseudonym,
                    work.bucket,
                    work.at,
                    page.numbers[place],
                    chosen.version,
                    GIVEN if states is None else FEATURE_VERSION,
                    self._catalogue_version,
                    served,
                    PAD if lasts is None else lasts[place],
                    b"" if states is None else states[place].tobytes(),
                    work.candidates or page.candidates[place].tobytes(),
                    page.scores[place].tobytes(),
                    items[place].tobytes(),
                    slates.propensities[place].tobytes(),
                    self._features(page, place),
                    base,
                    share,
                )
            names = self._names(work, rows[place], positions[place])
            found.append(_decided(record, names, propensities[place][: len(names)], reason))
        return found

    def _page(self, works: Sequence[Work]) -> Page:
        slots, n = works[0].slots, len(works)
        ids = np.array([work.ask.decision_id for work in works], dtype=np.uint64)
        keys = self._keys.of(ids)
        if self._given is not None:
            candidates, scores = _joined(works, self.candidates)
            features = np.zeros((n, self.candidates, self._given.dimension), dtype=np.float32)
            for row, work in enumerate(works):
                if work.features is not None:
                    features[row, : len(work.features)] = work.features
            contexts = self._given.build(candidates, scores, features)
            return Page(works, contexts, candidates, scores, None, None, [0] * n, keys, slots)
        fold, rows, numbers = self._view(works)
        candidates, scores = self._candidates(works, fold, rows, numbers)
        if self._contexts is None:
            raise BundleError("an arm with a catalogue must have features")
        contexts, state, packed = self._contexts.build(
            fold.states,
            rows,
            candidates,
            scores,
            with_features=reads_features(self.policy),
        )
        return Page(works, contexts, candidates, scores, state, packed, numbers, keys, slots)

    def _view(self, works: Sequence[Work]) -> tuple[UnitFold, IndexArray, list[int]]:
        """Where the state of each unit is as it is now, and the number of its page."""
        units = [work.unit for work in works if work.unit is not None]
        if self._nobody is not None and (self.memory is None or not units):
            return self._nobody, np.zeros(len(works), dtype=np.int32), [0] * len(works)
        if self.memory is None:
            raise BundleError("an arm with a catalogue must have a memory of units")
        times = [work.at for work in works]
        rows = self.memory.view(units, times)
        numbers = [
            unit.pages if unit.is_visiting(at) else 0 for unit, at in zip(units, times, strict=True)
        ]
        return self.memory.fold, rows, numbers

    def _candidates(
        self, works: Sequence[Work], fold: UnitFold, rows: IndexArray, numbers: list[int]
    ) -> tuple[IndexArray, Float32Array]:
        candidates, scores = _joined(works, self.candidates)
        unnamed = [place for place, work in enumerate(works) if work.candidates is None]
        if unnamed:
            own = rows[unnamed]
            first = np.array([numbers[place] == 0 for place in unnamed])
            ranked = self.shelf.rank(fold.vectors(own), fold.hidden[own], first_pages=first)
            candidates[unnamed], scores[unnamed] = ranked.items, ranked.scores
        bare = [
            place
            for place, work in enumerate(works)
            if work.candidates is not None and work.scores is None
        ]
        if bare:
            scores[bare] = self.shelf.scores_of(fold.vectors(rows[bare]), candidates[bare])
        return candidates, scores

    def _features(self, page: Page, place: int) -> bytes | None:
        """What the log keeps of features: those of the caller, and of a sampled decision."""
        work = page.works[place]
        if page.state is None:
            return bytes(page.contexts.features[place].tobytes())
        if self._builder is None or work.ask.decision_id % FEATURE_SAMPLE:
            return None
        if page.contexts.features.shape[2]:
            return bytes(page.contexts.features[place].tobytes())
        one = np.array([place])
        features = self._builder.features(
            rows_of(page.state, one), page.candidates[one], page.scores[one]
        )
        return features.tobytes()

    def _names(self, work: Work, rows: list[int], positions: list[int]) -> list[str]:
        """The items of a slate as the caller names them; empty slots at its end are left out."""
        while rows and rows[-1] == PAD:
            rows.pop()
        named = work.ask.candidates
        if named is not None:
            return [named[place] if place != PAD else "" for place in positions[: len(rows)]]
        names = self.shelf.item_ids
        return [names[row] if row != PAD else "" for row in rows]


def _kind(work: Work) -> tuple[int, bool, bool]:
    """Works of one kind go together."""
    return work.slots, work.by_default or work.fallback is not None, work.unit is None


def _tried(
    policy: Policy,
    builder: ContextBuilder | None,
    contexts: ContextBatch,
    *,
    slots: int,
    keys: UInt64Array,
) -> SlateBatch | str:
    """What a policy chose, or why it did not."""
    try:
        slates = policy.decide(contexts, slots=slots, keys=keys)
        if not is_valid(slates, contexts, slots=slots):
            return INVALID
        if builder is not None and builder.rules is not None:
            builder.rules.check(contexts, slates, policy=policy.name)
    except Exception:
        return RAISED
    return slates


def _joined(works: Sequence[Work], k: int) -> tuple[IndexArray, Float32Array]:
    """Candidates and scores of some works, writable; zeros where they are not named.

    Raises:
        ContextError: on a score outside [0, 1].
    """
    nothing = bytes(4 * k)
    candidates = bytearray().join([work.candidates or nothing for work in works])
    scores = bytearray().join([work.scores or nothing for work in works])
    given = np.frombuffer(scores, dtype=np.float32).reshape(len(works), k)
    # NaN fails every comparison.
    if not (given.min() >= 0.0 and given.max() <= 1.0):
        raise ContextError("scores must be within 0 and 1")
    return np.frombuffer(candidates, dtype=np.int32).reshape(len(works), k), given


def _base(slates: SlateBatch, place: int) -> tuple[int | None, float | None]:
    if slates.base is None or slates.base_propensity is None:
        return None, None
    return int(slates.base[place]), float(slates.base_propensity[place])
