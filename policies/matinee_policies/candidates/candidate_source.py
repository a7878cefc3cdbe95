"""Fit a candidate source: a factor model, and what it has for single units.

Fitted kinds (`registry.py`) are a factor model alone. Sources of the user's own may add vectors of
units (`factor_file.py`) or lists of units (`score_table.py`), with the model as what serves all
others. Everything is arrays, so that a source is saved and loaded without the code that made it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matinee_policies.candidates import custom_source, factor_file, score_table_file
from matinee_policies.candidates.custom_source import fit_custom_source
from matinee_policies.candidates.factor_file import FactorFileConfig, read_factor_file
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.registry import candidate_kinds, fit_candidates
from matinee_policies.candidates.score_table import ABSENT, ScoreTable
from matinee_policies.candidates.score_table_file import ScoreTableConfig, read_score_table
from matinee_policies.candidates.source_data import SourceData
from matinee_policies.candidates.unit_ranker import OwnCandidates
from matinee_policies.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CandidateSource:
    """A fitted source.

    Attributes:
        model: folds units in, and ranks for units without anything of their own.
        own: what the source has for single units, if anything.
        note: one line on how the units of the run are served, empty for fitted kinds.
    """

    model: FactorModel
    own: OwnCandidates | None = None
    note: str = ""


def source_kinds() -> tuple[str, ...]:
    """Kinds that a config may name under `sources:`."""
    return (*candidate_kinds(), factor_file.KIND, score_table_file.KIND, custom_source.KIND)


def fit_source(
    kind: str,
    settings: Mapping[str, Any],
    data: SourceData,
    *,
    seed: int,
    object_name: str | None = None,
) -> CandidateSource:
    """Fit, read or ask for a candidate source.

    Args:
        kind: one of `source_kinds()`.
        settings: of that kind.
        data: what to fit to, and the units to serve.
        seed: of the fit.
        object_name: `module:Class` of a custom source.

    Raises:
        MatineeError: on a bad setting, file or class.
    """
    if kind == factor_file.KIND:
        return _from_factor_file(FactorFileConfig.from_json(settings), data)
    if kind == score_table_file.KIND:
        return _from_score_table(ScoreTableConfig.from_json(settings), data, seed=seed)
    if kind == custom_source.KIND:
        return _from_class(object_name, settings, data, seed=seed)
    if kind not in candidate_kinds():
        raise ConfigError(f"kind must be one of {', '.join(source_kinds())}, got {kind!r}")
    return CandidateSource(fit_candidates(kind, data.interactions, settings, seed=seed))


def _from_factor_file(config: FactorFileConfig, data: SourceData) -> CandidateSource:
    reading = read_factor_file(config, data)
    found, units = reading.vectors.keys.size, data.units.keys.size
    note = f"factors of {reading.model.n_items:,} items"
    if reading.other_items:
        note += f" ({reading.other_items:,} more are not in the catalogue)"
    note += f"; {found:,} of {units:,} units have a given vector"
    if reading.given > found:
        note += f" ({reading.given - found:,} given vectors are of other units)"
    note += f", {units - found:,} are folded in from their history"
    return CandidateSource(reading.model, reading.vectors if found else None, note)


def _from_score_table(config: ScoreTableConfig, data: SourceData, *, seed: int) -> CandidateSource:
    if config.fallback not in candidate_kinds():
        raise ConfigError(
            f"fallback must be one of {', '.join(candidate_kinds())}, got {config.fallback!r}"
        )
    fallback = fit_candidates(
        config.fallback, data.interactions, config.fallback_settings, seed=seed
    )
    reading = read_score_table(config, data)
    note = _served(reading.table, data, config.fallback)
    if reading.other_units:
        note += f"; {reading.other_units:,} of {reading.rows:,} rows are of other units"
    if reading.other_items:
        note += f"; {reading.other_items:,} rows are of items outside the catalogue"
    return CandidateSource(replace(fallback, kind=score_table_file.KIND), reading.table, note)


def _from_class(
    name: str | None, settings: Mapping[str, Any], data: SourceData, *, seed: int
) -> CandidateSource:
    model, table = fit_custom_source(name, settings, data, seed=seed)
    if model is not None:
        return CandidateSource(
            model, note=f"{name} gave a factor model; all units are folded in from their history"
        )
    fallback = fit_candidates("popularity", data.interactions, seed=seed)
    note = f"{name}: " + _served(table, data, "popularity") if table is not None else ""
    return CandidateSource(replace(fallback, kind=custom_source.KIND), table, note)


def _served(table: ScoreTable, data: SourceData, fallback: str) -> str:
    listed = int((table.rows_of(data.units.keys) != ABSENT).sum())
    units = data.units.keys.size
    average = int(np.diff(table.starts).mean()) if len(table) else 0
    return (
        f"{listed:,} of {units:,} units have a list (of {average:,} items on average), "
        f"{units - listed:,} fall back to {fallback}"
    )
