"""Vowpal Wabbit's own exploration at every slot: bag, cover, rnd, RegCB and the simple ones.

What is decided. At slot l Vowpal Wabbit is asked for its law over the candidates R that remain, and
the item is drawn from that law, normalised in float64, under the floor:

    p_i = (1 - w) vw_i(R) + w / |R|

So every propensity is exact, and the first slot has Vowpal Wabbit's own law. With `slot_features`
each question also tells the slot: a slate is then a sequence of contextual bandits that know their
place, which is our form of a conditional contextual bandit (CCB).

    epsilon    the best by `--cb_explore_adf --first_only`; w holds the slot's share of epsilon
    squarecb   `--squarecb`, its counter being the rows learned
    softmax    `--softmax --lambda 1/temperature`
    bag        `--bag`: share of bootstrapped regressors that like an item best
    cover      `--cover`: the same of policies that were taught to differ (Agarwal et al. 2014,
               "Taming the monster", online cover)
    rnd        `--rnd`: softmax of lower bounds on cost whose widths are errors of predicting noise
    regcb      `--regcb`: uniform over the items whose best plausible cost is not beaten for sure;
    regcbopt   the item of least plausible cost (Foster et al. 2018, "Practical contextual bandits
               with regression oracles")

What is learned. Each shown slot is one event of its cost, -reward, and its logged propensity, in a
set of `actions` actions. The log keeps features of shown items only; the others are blank lines,
which count as actions and teach nothing. For all but cover the chosen action alone teaches, so the
regressors are those of whole action sets of that size. Cover compares actions: it sees the items
of later slots, which could have been shown at this one, and blanks for all others. Later components
of a reward are counted as `ignored`, as in `vowpal_wabbit.py`.

State. A Vowpal Wabbit that was saved and loaded has the law it had, and epsilon, squarecb, softmax
and RegCB learn on as if nothing had happened. Bag, rnd and cover do not: the first two go on with
other random numbers, and of cover's regressors not everything is kept. So the model is saved and
opened anew after every `rows_per_save` rows, counted from the first one: a state is the model of
the last such save and the rows since then. What is lost is lost at the same rows always, so states
depend neither on batches nor on when they were stored, and a restored policy decides and learns on
to the last bit.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np

from matinee_policies.arrays import (
    AnyArray,
    FloatArray,
    IndexArray,
    UInt8Array,
    UInt64Array,
)
from matinee_policies.config import check_whole
from matinee_policies.diversity import Caps
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.linear_policy import counter_of
from matinee_policies.records import PAD, ContextBatch, OutcomeBatch, SlateBatch
from matinee_policies.rules import epsilon_rule, softmax_rule
from matinee_policies.slate import NO_CAPS, check_slots, slate_length
from matinee_policies.slate_by_law import next_by_law, sample_by_law, score_by_law
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import SNAPSHOT_VERSION, config_of
from matinee_policies.vw_action_sets import Actions, ActionSets, open_action_sets
from matinee_policies.vw_checks import (
    check_columns_fit,
    check_dimension,
    check_numbers,
    check_outcomes,
)
from matinee_policies.vw_events import EventFormat, events_of, packed, slot_words, unpacked
from matinee_policies.vw_per_slot_config import VowpalWabbitPerSlotConfig
from matinee_policies.vw_text import rows_text

DECISIONS_AT_ONCE = 8
"""Decisions whose candidates are parsed together; an example takes tens of kilobytes."""

_BLANK = "|"
_NO_MODEL = np.zeros(0, dtype=np.uint8)


class VowpalWabbitPerSlot:
    """Draws every slot from the law that Vowpal Wabbit has over the candidates that remain.

    It learns the first component of a slate's reward to mature, and no other. Thousands of pages a
    second are for `VowpalWabbit`; this one asks Vowpal Wabbit itself, slot by slot.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.

    Attributes:
        name: the kind of policy.
        learns: whether `learn` changes the state.
        config: parameters.
        dimension: of the features.
        rows: shown items learned from.
        ignored: shown items of later components, not learned from.
    """

    name: ClassVar[str] = "vowpal_wabbit_per_slot"
    learns: ClassVar[bool] = True
    reads_features: ClassVar[bool] = True

    def __init__(self, config: VowpalWabbitPerSlotConfig | None = None, *, dimension: int) -> None:
        self.config = config or VowpalWabbitPerSlotConfig()
        check_whole("dimension", dimension, low=1)
        check_columns_fit(self.config.context_features, dimension)
        self.dimension = dimension
        self.rows = 0
        self.ignored = 0
        self._format = EventFormat.of(self.config, dimension=dimension)
        self._reader: ActionSets | None = None
        self._slots: list[Actions] = []
        self._model: UInt8Array = _NO_MODEL
        self._pending: list[str] = []
        # Options that Vowpal Wabbit refuses are refused now.
        self._open(_NO_MODEL).close()

    @property
    def leaves_gaps(self) -> bool:
        """Whether slots may stay empty while candidates are left."""
        return self._caps != NO_CAPS

    @property
    def _caps(self) -> Caps:
        return self.config.caps

    def close(self) -> None:
        """Give back the memory of an open workspace; a later decision opens one again."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._slots = None, []

    def check_length(self, slots: int) -> None:
        """Refuse a length of slates that the floor cannot serve, as `ValuePolicy.check_length`."""
        check_slots(slots)
        self._weight(slots)

    def decide(self, contexts: ContextBatch, *, slots: int, keys: UInt64Array) -> SlateBatch:
        """See `Policy.decide`."""
        check_slots(slots)
        if len(keys) != len(contexts) or not len(contexts):
            return sample_by_law(contexts, _never, slots=slots, keys=keys, caps=self._caps)
        weight = self._weight(slots)
        parts = [
            sample_by_law(some, law, slots=slots, keys=keys[rows], weight=weight, caps=self._caps)
            for rows, some, law in self._blocks(contexts)
        ]
        names = ("positions", "items", "propensities")
        return SlateBatch(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in names)
        )

    def propensities(self, contexts: ContextBatch, slates: IndexArray) -> FloatArray:
        """See `Policy.propensities`."""
        slots = slate_length(slates)
        if len(slates) != len(contexts) or not len(contexts):
            return score_by_law(contexts, _never, slates, caps=self._caps)
        weight = self._weight(slots)
        return np.concatenate(
            [
                score_by_law(some, law, slates[rows], weight=weight, caps=self._caps)
                for rows, some, law in self._blocks(contexts)
            ]
        )

    def next_law(self, contexts: ContextBatch, prefix: IndexArray, *, slots: int) -> FloatArray:
        """Law of the slot that follows a prefix, `float64 [B, K]`; see `slate.next_law`."""
        weight = self._weight(slots)
        return np.concatenate(
            [
                next_by_law(some, law, prefix[rows], slots=slots, weight=weight, caps=self._caps)
                for rows, some, law in self._blocks(contexts)
            ]
        )

    def learn(self, outcomes: OutcomeBatch) -> None:
        """See `Policy.learn`; components that are not the first are counted and ignored."""
        check_dimension(outcomes.features.shape[2], self.dimension)
        if not outcomes.first:
            self.ignored += int(outcomes.shown.sum())
            return
        check_outcomes(outcomes)
        events = events_of(outcomes, self._format)
        if not events:
            return
        model, pending = self._model, self._pending + events
        size = self.config.rows_per_save
        while len(pending) >= size:
            with self._open(model) as sets:
                self._teach(sets, pending[:size])
                model = sets.model()
            pending = pending[size:]
        self._adopt(model, pending, rows=self.rows + len(events))

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        pending = np.frombuffer(packed(self._pending), dtype=np.uint8)
        arrays = {"model": self._model, "pending": pending}
        manifest = {
            "config": self.config.to_json(),
            "dimension": self.dimension,
            "rows": self.rows,
            "ignored": self.ignored,
        }
        return Snapshot(
            kind=self.name,
            version=SNAPSHOT_VERSION,
            arrays=arrays,
            manifest={**manifest, "digest": _digest(manifest, arrays)},
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        config = config_of(snapshot, VowpalWabbitPerSlotConfig, kind=cls.name)
        rows, ignored = (counter_of(snapshot, name, low=0) for name in ("rows", "ignored"))
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))
        arrays = {}
        for name in ("model", "pending"):
            array = snapshot.arrays.get(name)
            if array is None or array.dtype != np.uint8 or array.ndim != 1:
                raise SnapshotError(f"snapshot of {cls.name!r} must hold {name} as uint8 bytes")
            arrays[name] = array
        manifest = {key: value for key, value in snapshot.manifest.items() if key != "digest"}
        # A model that was cut short would load without complaint.
        if _digest(manifest, arrays) != snapshot.manifest.get("digest"):
            raise SnapshotError(f"snapshot of {cls.name!r} is damaged: its digest does not match")
        pending = unpacked(arrays["pending"].tobytes())
        policy._adopt(arrays["model"].copy(), pending, rows=rows)
        policy.ignored = ignored
        return policy

    def _weight(self, slots: int) -> float:
        """Weight of the uniform law at each slot."""
        config = self.config
        if config.exploration == "epsilon":
            return epsilon_rule(config.epsilon, floor=config.floor).uniform_weight(slots)
        return softmax_rule(1.0, floor=config.floor).uniform_weight(slots)

    def _open(self, model: UInt8Array) -> ActionSets:
        return open_action_sets(
            self.config.options(), model=model if len(model) else None, seed=self.config.seed
        )

    def _adopt(self, model: UInt8Array, pending: list[str], *, rows: int) -> None:
        """Take over a state, or keep the own one if it gives no laws."""
        reader = self._reader_of(model, pending)
        try:
            one = rows_text(np.ones((1, self.dimension)), self._format.plain)
            actions = reader.parse(f"{one}{_BLANK}", rows=2)
            reader.law(actions)
            reader.release(actions)
        except ContextError:
            reader.close()
            raise ContextError(
                "features and rewards must be moderate, got weights that overflow"
            ) from None
        self.close()
        self._reader = reader
        self._model, self._pending, self.rows = model, pending, rows

    def _reader_of(self, model: UInt8Array, pending: list[str]) -> ActionSets:
        """A workspace that decides in a state; what it decides does not touch the state."""
        reader = self._open(model)
        self._teach(reader, pending)
        return reader

    def _teach(self, sets: ActionSets, events: list[str]) -> None:
        """Learn events in order."""
        if not events:
            return
        count = self.config.actions
        blanks = sets.parse("\n".join([_BLANK] * count), rows=count)
        for event in events:
            lines = event.count("\n") + 1
            sets.learn_choice(event, blanks.first(count - lines + 1), chosen=0, rows=lines)
        sets.release(blanks)

    def _blocks(
        self, contexts: ContextBatch
    ) -> Iterator[tuple[AnyArray, ContextBatch, "_ParsedLaw"]]:
        """Some decisions at a time, with the law of their slots while they are held."""
        check_dimension(contexts.features.shape[2], self.dimension)
        present = contexts.candidates != PAD
        check_numbers("features of candidates", contexts.features[present])
        if self._reader is None:
            self._reader = self._reader_of(self._model, self._pending)
        reader = self._reader
        for start in range(0, len(contexts), DECISIONS_AT_ONCE):
            rows = np.arange(start, min(start + DECISIONS_AT_ONCE, len(contexts)))
            some = contexts.rows(rows)
            ordered = some.features[present[rows]][:, self._format.plain.columns].astype(np.float64)
            parsed = reader.parse(rows_text(ordered, self._format.plain), rows=len(ordered))
            try:
                yield rows, some, _ParsedLaw(self, reader, parsed, present[rows])
            finally:
                if not reader.closed:
                    reader.release(parsed)

    def _shared(self, reader: ActionSets, slot: int) -> Actions:
        """What tells a slot to all actions of a set; parsed once."""
        while len(self._slots) <= slot:
            words = slot_words(self.config.slot_features, len(self._slots))
            line = f"shared{words}"
            self._slots.append(reader.parse(line, rows=1) if words else Actions([]))
        return self._slots[slot]


class _ParsedLaw:
    """The law of Vowpal Wabbit over parsed candidates of a block of decisions."""

    def __init__(
        self, policy: VowpalWabbitPerSlot, reader: ActionSets, parsed: Actions, present: AnyArray
    ) -> None:
        self._policy, self._reader, self._parsed = policy, reader, parsed
        # Where the example of each candidate stands; padding has none.
        self._places = np.cumsum(present).reshape(present.shape) - 1

    def __call__(self, decision: int, remaining: AnyArray, *, slot: int) -> FloatArray:
        """See `slate_by_law.Law`."""
        places = self._places[decision, remaining].tolist()
        shared = self._policy._shared(self._reader, slot)
        return self._reader.law(shared + self._parsed.chosen(places))


def _never(decision: int, remaining: AnyArray, *, slot: int) -> FloatArray:
    """The law where there is no decision, or one that is refused before it is asked for."""
    raise ContextError(f"decision {decision} has no law")


def _digest(manifest: dict[str, Any], arrays: dict[str, AnyArray]) -> str:
    total = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode())
    for name in sorted(arrays):
        total.update(f"\n{name}:{arrays[name].size}\n".encode() + arrays[name].tobytes())
    return total.hexdigest()
