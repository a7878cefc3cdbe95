"""Vowpal Wabbit's contextual bandits on slates: it supplies values, our sampler explores.

What is learned. `--cb_explore_adf --cb_type mtr` fits the cost of the action shown by regression
with the importance weight 1 / (p K), for a logged propensity p among K actions (Bietti, Agarwal and
Langford 2021, "A contextual bandit bake-off", section 2.3: importance-weighted regression). The
other actions of the decision enter that fit by their number alone, so an outcome needs the features
of the items shown only. Here each slot of a slate is such a decision: cost = -reward, p its logged
propensity given the slots before, K = `actions` of the config, written out as an importance weight
for Vowpal Wabbit's own regressor underneath. Given p and K the weights equal, to rounding, those of
a `--cb_explore_adf --cb_type mtr` that is fed whole action sets of that size. Without
`propensity_weighted` all weights are 1, the plain online regression that SquareCB asks for (Foster
and Rakhlin 2020, "Beyond UCB", section 3), which Vowpal Wabbit gives for p = 1 / K.

What is not. Such a regressor cannot correct an example once taken in: components of which
`OutcomeBatch.first` is false (a return visit, say) are counted as `ignored` and not learned, as are
windows longer than the first one's. Rewards must be those of the first component alone.

What is decided. The value of a candidate is minus its predicted cost. At diversity 0 and floor 0
the law of the first slot is Vowpal Wabbit's own, to 1e-6 (its pmf is float32):

    epsilon   --epsilon e --first_only, e the uniform weight of a slot; of a slate of one: `epsilon`
    squarecb  --squarecb --gamma_scale s --gamma_exponent x, its counter being the rows learned
    softmax   --softmax --lambda 1/temperature

How. Without interactions the prediction is linear: weights are read once per state and a kernel
computes the values. With interactions Vowpal Wabbit predicts every candidate from text. Numbers
reach it as text of nine digits, which it reads to a relative 3e-7.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, UInt8Array
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError, ContextError, SnapshotError
from matinee_policies.linear import RidgeState, ridge_values
from matinee_policies.linear_policy import counter_of
from matinee_policies.records import PAD, ContextBatch, OutcomeBatch
from matinee_policies.rules import Rule, epsilon_rule, inverse_gap_rule, softmax_rule
from matinee_policies.snapshot import Snapshot
from matinee_policies.value_policy import ValuePolicy, config_of
from matinee_policies.vw_checks import (
    BOTH_NAMESPACES,
    check_columns_fit,
    check_dimension,
    check_interactions,
    check_numbers,
    check_outcomes,
)
from matinee_policies.vw_config import VowpalWabbitSettings, check_flag, listed
from matinee_policies.vw_text import (
    ACTION_NAMESPACE,
    CONTEXT_NAMESPACE,
    row_format,
    rows_text,
)
from matinee_policies.vw_workspace import CHUNK_ROWS, Workspace

EXPLORATIONS = ("epsilon", "squarecb", "softmax")


@dataclass(frozen=True, slots=True, kw_only=True)
class VowpalWabbitConfig(VowpalWabbitSettings):
    """Parameters of `VowpalWabbit`."""

    exploration: str = "epsilon"
    """`epsilon`, `squarecb` or `softmax`."""

    propensity_weighted: bool = True
    """Whether a row weighs 1 / (propensity * actions); else 1."""

    actions: int = 100
    """Usual number of candidates: a row drawn with probability 1 / actions weighs 1."""

    interactions: tuple[str, ...] = ()
    """Products of features, by their namespaces, e.g. `["ac", "aa"]`; two or three letters each.
    Without any, unit and session shift all candidates alike and cannot change their order."""

    bits: int = 18
    """Weights are 2^bits, 8 to 24; interactions share them by hash."""

    def __post_init__(self) -> None:
        VowpalWabbitSettings.__post_init__(self)
        if self.exploration not in EXPLORATIONS:
            raise ConfigError(
                f"exploration must be one of {', '.join(EXPLORATIONS)}, got {self.exploration!r}"
            )
        check_whole("actions", self.actions, low=1, high=1_000_000)
        check_whole("bits", self.bits, low=8, high=24)
        check_flag("propensity_weighted", self.propensity_weighted)
        object.__setattr__(self, "interactions", listed("interactions", self.interactions))
        check_interactions(
            self.interactions,
            namespaces=BOTH_NAMESPACES,
            has_context=bool(self.context_features),
        )


class VowpalWabbit(ValuePolicy[VowpalWabbitConfig]):
    """Lowest predicted cost first, explored by epsilon, SquareCB or softmax.

    It learns the first component of a slate's reward to mature, and no other: a learner that goes
    row by row cannot correct a row later. Later components are counted in `ignored`.

    The state is the bytes of a Vowpal Wabbit model; a workspace is open during `learn` and, where
    there are interactions, from a first decision until the next `learn` or `close`.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.

    Attributes:
        dimension: of the features.
        rows: shown items learned from.
        ignored: shown items of later components, not learned from.
    """

    name: ClassVar[str] = "vowpal_wabbit"
    learns: ClassVar[bool] = True

    def __init__(self, config: VowpalWabbitConfig | None = None, *, dimension: int) -> None:
        config = config or VowpalWabbitConfig()
        check_whole("dimension", dimension, low=1)
        check_columns_fit(config.context_features, dimension)
        super().__init__(
            config, rule=_rule(config, rows=0), diversity=config.diversity, caps=config.caps
        )
        self.dimension = dimension
        self.rows = 0
        self.ignored = 0
        self._options = _options(config)
        self._labelled, self._plain = (
            row_format(dimension, context_features=config.context_features, labelled=labelled)
            for labelled in (True, False)
        )
        self._reader: Workspace | None = None
        with Workspace(self._options) as workspace:
            self._indices = self._feature_indices(workspace)
            self._adopt(workspace, model=workspace.model(), rows=0)

    @property
    def weights(self) -> FloatArray:
        """Weight of each feature in the predicted cost, interactions apart, `float64 [d]`."""
        return self._weights.copy()

    def close(self) -> None:
        """Give back the memory of an open workspace; a later decision opens one again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def values(self, contexts: ContextBatch) -> FloatArray:
        """Minus the predicted cost of each candidate, `float64 [B, K]`."""
        check_dimension(contexts.features.shape[2], self.dimension)
        if self.config.interactions:
            return self._predicted_values(contexts)
        # No width is asked for, so the inverse is not read.
        nothing = np.zeros((self.dimension, self.dimension))
        return ridge_values(contexts.features, RidgeState(nothing, -self._weights), alpha=0.0)

    def learn(self, outcomes: OutcomeBatch) -> None:
        """See `Policy.learn`; components that are not the first are counted and ignored."""
        check_dimension(outcomes.features.shape[2], self.dimension)
        if not outcomes.first:
            self.ignored += int(outcomes.shown.sum())
            return
        numbers = self._training_rows(outcomes)
        if not len(numbers):
            return
        with Workspace(self._options, model=self._model) as workspace:
            for start in range(0, len(numbers), CHUNK_ROWS):
                chunk = numbers[start : start + CHUNK_ROWS]
                workspace.learn(rows_text(chunk, self._labelled), rows=len(chunk))
            self._adopt(workspace, model=workspace.model(), rows=self.rows + len(numbers))

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        manifest = self._manifest()
        return Snapshot(
            kind=self.name,
            version=super().snapshot().version,
            arrays={"model": self._model},
            manifest={**manifest, "digest": _digest(manifest, self._model)},
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        config = config_of(snapshot, VowpalWabbitConfig, kind=cls.name)
        rows, ignored = (counter_of(snapshot, name, low=0) for name in ("rows", "ignored"))
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))
        model = snapshot.arrays.get("model")
        manifest = {key: value for key, value in snapshot.manifest.items() if key != "digest"}
        if model is None or model.dtype != np.uint8 or model.ndim != 1:
            raise SnapshotError(f"snapshot of {cls.name!r} must hold a model as uint8 bytes")
        # A model that was cut short would load without complaint.
        if _digest(manifest, model) != snapshot.manifest.get("digest"):
            raise SnapshotError(f"snapshot of {cls.name!r} is damaged: its digest does not match")
        with Workspace(policy._options, model=model) as workspace:
            policy._adopt(workspace, model=model.copy(), rows=rows)
        policy.ignored = ignored
        return policy

    def _manifest(self) -> dict[str, Any]:
        return {
            "config": self.config.to_json(),
            "dimension": self.dimension,
            "rows": self.rows,
            "ignored": self.ignored,
        }

    def _adopt(self, workspace: Workspace, *, model: UInt8Array, rows: int) -> None:
        """Take over a model and the workspace that it is open in, or keep the own state."""
        weights = workspace.weights(self._indices)
        # A row of ones has every weight in its sum, those of interactions too.
        ones = rows_text(np.ones((1, self.dimension)), self._plain)
        total = workspace.predict(ones, rows=1)
        if not (np.isfinite(weights).all() and np.isfinite(total).all()):
            raise ContextError("features and rewards must be moderate, got weights that overflow")
        self._model = model
        self._weights = weights
        self.rows = rows
        self._rule = _rule(self.config, rows=rows)
        self.close()

    def _feature_indices(self, workspace: Workspace) -> list[int]:
        context = self.config.context_features
        indices = [
            workspace.feature_index(
                CONTEXT_NAMESPACE if column in context else ACTION_NAMESPACE, column
            )
            for column in range(self.dimension)
        ]
        if len(set(indices)) < self.dimension:
            raise ConfigError(
                f"bits must be so many that {self.dimension} features have a weight each, "
                f"got {self.config.bits}"
            )
        return indices

    def _training_rows(self, outcomes: OutcomeBatch) -> FloatArray:
        """Cost, weight and features of each shown item in order, `float64 [n, 2 + d]`."""
        check_outcomes(outcomes)
        features = outcomes.features[outcomes.shown]
        rewards = outcomes.rewards[outcomes.shown]
        propensities = outcomes.propensities[outcomes.shown]
        weights = np.ones(len(rewards))
        if self.config.propensity_weighted:
            kept = np.maximum(propensities, self.config.least_propensity)
            weights = 1.0 / (kept * self.config.actions)
        ordered = features[:, self._labelled.columns].astype(np.float64)
        return np.column_stack([-rewards, weights, ordered])

    def _predicted_values(self, contexts: ContextBatch) -> FloatArray:
        """Values by Vowpal Wabbit itself, decision by decision."""
        if self._reader is None:
            self._reader = Workspace(self._options, model=self._model)
        values = np.zeros(contexts.candidates.shape)
        present = contexts.candidates != PAD
        for b in range(len(contexts)):
            features = contexts.features[b, present[b]]
            check_numbers("features of candidates", features)
            ordered = features[:, self._plain.columns].astype(np.float64)
            text = rows_text(ordered, self._plain)
            if len(ordered):
                values[b, present[b]] = -self._reader.predict(text, rows=len(ordered))
        return values


def _options(config: VowpalWabbitConfig) -> list[str]:
    """The command line of the regressor."""
    options = ["--bit_precision", str(config.bits), "--learning_rate", repr(config.learning_rate)]
    for names in config.interactions:
        options += ["--interactions", names]
    return options


def _rule(config: VowpalWabbitConfig, *, rows: int) -> Rule:
    """The rule of a state that has learned from so many rows."""
    if config.exploration == "squarecb":
        gamma = config.gamma_scale * float(rows) ** config.gamma_exponent
        return inverse_gap_rule(gamma, floor=config.floor)
    if config.exploration == "softmax":
        return softmax_rule(config.temperature, floor=config.floor)
    return epsilon_rule(config.epsilon, floor=config.floor)


def _digest(manifest: dict[str, Any], model: AnyArray) -> str:
    text = json.dumps(manifest, sort_keys=True).encode()
    return hashlib.sha256(text + b"\n" + model.tobytes()).hexdigest()
