"""The log of one arm of a service, in bounded memory, as `policy_log` weighs it.

SQLite and PostgreSQL give the same rows in the same order, so the same numbers.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.explain import CandidateOrder
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_contexts import CatalogueContexts
from matinee_platform.learning.live_outcomes import page_rewards
from matinee_platform.learning.live_rows import LiveRows, live_rows
from matinee_platform.learning.rebuilt_state import state_of
from matinee_platform.learning.service_arms import ServiceStores
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.ope.inputs.components import counted, notes_of, slot_range
from matinee_platform.ope.inputs.item_genres import main_genres
from matinee_platform.ope.inputs.policy_log import DecidedPart, PolicyLog
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.storage.records import LoggedDecision, ServedBy
from matinee_platform.storage.snapshot_store import FolderSnapshotStore
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, DataError, SnapshotError
from matinee_policies.policy import Policy

_ROWS_AT_ONCE = 1_024
_STATES_KEPT = 8


def service_log(
    stores: ServiceStores,
    *,
    arm: str,
    experiment: str | None = None,
    until_ms: int | None = None,
    component: str = "value",
) -> PolicyLog:
    """The log of an arm.

    Only decisions whose every counted window had closed are read, and of these not those that a
    fallback served: their share and their moments are no doing of the policy.

    Args:
        stores: of the service, open for as long as the log is read.
        arm: name of the arm.
        experiment: key; None takes the only one there is.
        until_ms: end of the data, UTC milliseconds; now if not given.
        component: which reward is counted, see `components`.

    Raises:
        ConfigError: if there is no such arm or experiment, or the component is none.
        DataError: if no decision has matured.
        MatineeError: if the arm's bundle cannot be read.
    """
    found = service_experiment(stores, experiment)
    names = [one.name for one in found.arms]
    if arm not in names:
        raise ConfigError(f"arm of {found.key} must be one of {', '.join(names)}, got {arm!r}")
    own = stores.arm(found, found.arm(arm))
    rewards = counted(found.reward, component)
    end = stores.clock.now_ms() if until_ms is None else until_ms
    reader = _ServiceReader(stores, own, found, rewards=rewards, until_ms=end)
    if not reader.decisions:
        raise DataError(
            stores.settings.data_dir,
            rule=f"must hold a decision of {found.key}/{arm} whose windows have closed",
        )
    live = own.contexts
    source = stores.bundle(found.arm(arm)).manifest.source
    builder = live.builder if isinstance(live, CatalogueContexts) else None
    notes = notes_of(rewards)
    if reader.pending:
        notes += (f"{reader.pending:,} decisions are left out: a window had not closed",)
    if reader.fallbacks:
        notes += (f"{reader.fallbacks:,} decisions are left out: a fallback served them",)
    return PolicyLog(
        name=own.label,
        arm=arm,
        parts=reader.parts,
        slots=found.slots,
        dimension=live.dimension,
        decisions=reader.decisions,
        rewards=slot_range(rewards),
        adaptive=reader.adaptive,
        component=component,
        source=source or None,
        catalogue=None if builder is None else builder.items.version,
        genres=None if builder is None else main_genres(builder.items),
        notes=notes,
        snapshots=_snapshots(stores, found.key, arm),
        experiment=found.key,
    )


def service_experiment(stores: ServiceStores, key: str | None) -> LiveExperiment:
    """An experiment that ran, by its key, or the only one there is.

    Raises:
        ConfigError: if there is none, or no key where there are several.
    """
    found = {one.key: one for one in stores.experiments()}
    if key is None and len(found) == 1:
        return next(iter(found.values()))
    if key is None or key not in found:
        names = ", ".join(sorted(found)) or "none, for none has started"
        got = "no key" if key is None else repr(key)
        raise ConfigError(f"experiment must be one of {names}, got {got}")
    return found[key]


def _snapshots(stores: ServiceStores, experiment: str, arm: str) -> Path | None:
    """Folder of what an arm learned; None where the database holds it."""
    held = stores.snapshots
    if isinstance(held, FolderSnapshotStore):
        return held.path(experiment, arm, 0).parent
    return None


class _ServiceReader:
    """Reads one arm.

    Attributes:
        decisions: that have matured, without those of a fallback.
        pending: whose windows are open.
        fallbacks: of those that have matured.
        adaptive: whether several snapshots chose.
    """

    def __init__(
        self,
        stores: ServiceStores,
        arm: LearningArm,
        experiment: LiveExperiment,
        *,
        rewards: RewardSettings,
        until_ms: int,
    ) -> None:
        self._stores, self._arm, self._rewards = stores, arm, rewards
        self._windows = experiment.windows_ms()
        later = [self._windows[COMPONENTS.index(name)] for name in rewards.later_windows()]
        self._until_ms = until_ms - max([self._windows[0], *later])
        self._upto = stores.reader.last_seq()
        self._policies: OrderedDict[int, Policy | None] = OrderedDict()
        self.decisions = self.pending = self.fallbacks = 0
        versions: set[int] = set()
        for one in (one for rows in self._read() for one in rows):
            if one.record.decided_at > self._until_ms:
                self.pending += 1
            elif one.record.served_by is ServedBy.FALLBACK:
                self.fallbacks += 1
            else:
                self.decisions += 1
                versions.add(one.record.snapshot)
        self.adaptive = len(versions) > 1

    def parts(self, with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        """See `PolicyLog.parts`."""
        for rows in self._read():
            wanted = [
                one
                for one in rows
                if one.record.decided_at <= self._until_ms
                and one.record.served_by is not ServedBy.FALLBACK
            ]
            if wanted:
                yield list(self._parts_of(wanted, with_features=with_features))

    def _read(self) -> Iterator[list[LoggedDecision]]:
        after = 0
        while True:
            rows = self._stores.reader.decisions(
                after=after,
                upto=self._upto,
                experiment=self._arm.experiment,
                arm=self._arm.name,
                limit=_ROWS_AT_ONCE,
            )
            if rows:
                yield rows
                after = rows[-1].seq
            if len(rows) < _ROWS_AT_ONCE:
                return

    def _parts_of(
        self, decisions: list[LoggedDecision], *, with_features: bool
    ) -> Iterator[DecidedPart]:
        groups: dict[tuple[int, int, int, int], list[int]] = {}
        for place, one in enumerate(decisions):
            record = one.record
            own = record.snapshot if record.served_by is ServedBy.POLICY else -1
            # In the shape in which it was asked, so that padding has no say.
            shape = len(record.candidates), len(record.slate)
            groups.setdefault((own, int(record.served_by), *shape), []).append(place)
        for (version, *_), places in groups.items():
            rows = live_rows([decisions[place] for place in places])
            yield self._part(rows, np.array(places), version, with_features=with_features)

    def _part(
        self, rows: LiveRows, place: AnyArray, version: int, *, with_features: bool
    ) -> DecidedPart:
        self._arm.contexts.check(rows)
        rewards = self._stores.reader.rewards_of(rows.ids.tolist(), upto=self._upto)
        return DecidedPart(
            place=place,
            unit=rows.unit,
            time=rows.decided_at,
            contexts=self._arm.contexts.contexts(rows, with_features=with_features),
            positions=rows.positions(),
            items=rows.candidates,
            logged=rows.propensities,
            rewards=page_rewards(rows, rewards, settings=self._rewards, windows_ms=self._windows),
            logger=self._policy(version),
            version=version,
        )

    def _policy(self, version: int) -> Policy | None:
        """The policy in the state that chose; None if that state is gone."""
        if version not in self._policies:
            if len(self._policies) >= _STATES_KEPT:
                self._policies.popitem(last=False)
            self._policies[version] = self._restored(version)
        return self._policies[version]

    def _restored(self, version: int) -> Policy | None:
        if version < 0:
            # An apprentice shows the order of the candidates.
            return CandidateOrder()
        try:
            state = state_of(
                self._arm,
                version,
                reader=self._stores.reader,
                barriers=self._stores.barriers,
                snapshots=self._stores.snapshots,
            )
        except SnapshotError:
            return None
        return self._arm.restored(state)
