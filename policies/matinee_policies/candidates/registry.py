"""Candidate sources by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from matinee_policies.candidates import implicit_als, popularity, rating_model, truncated_svd
from matinee_policies.candidates.biased_als import BiasedALSConfig
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.implicit_als import ImplicitALSConfig
from matinee_policies.candidates.popularity import PopularityConfig
from matinee_policies.candidates.truncated_svd import TruncatedSVDConfig
from matinee_policies.config import Config
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class _Source(Generic[C]):
    """A source's config type, and the function `fit(interactions, config, seed=...)`."""

    config_type: type[C]
    fitter: Callable[..., FactorModel]

    def fit(
        self, interactions: Interactions, config: Config | Mapping[str, Any], *, seed: int
    ) -> FactorModel:
        settings = config if isinstance(config, Config) else self.config_type.from_json(config)
        if not isinstance(settings, self.config_type):
            raise ConfigError(
                f"config must be a {self.config_type.__name__}, got {type(settings).__name__}"
            )
        return self.fitter(interactions, settings, seed=seed)


_SOURCES: dict[str, _Source[Any]] = {
    rating_model.KIND: _Source(BiasedALSConfig, rating_model.biased_als_model),
    implicit_als.KIND: _Source(ImplicitALSConfig, implicit_als.fit_implicit_als),
    truncated_svd.KIND: _Source(TruncatedSVDConfig, truncated_svd.fit_truncated_svd),
    popularity.KIND: _Source(PopularityConfig, popularity.fit_popularity),
}


def candidate_kinds() -> tuple[str, ...]:
    """Names of the sources."""
    return tuple(_SOURCES)


def fit_candidates(
    kind: str,
    interactions: Interactions,
    config: Config | Mapping[str, Any] | None = None,
    *,
    seed: int,
) -> FactorModel:
    """Fit a candidate source to past ratings.

    Args:
        kind: one of `candidate_kinds()`.
        interactions: ratings; all sources but `"biased_als"` and `"popularity"` read them as
            strengths and need them above 0.
        config: the source's own config, or its fields as JSON values; defaults if missing.
        seed: seed of everything the fit draws.

    Raises:
        ConfigError: the kind is unknown, or the config is not one of it.
        ContextError: there is no rating, or one that the source cannot take.
    """
    if kind not in _SOURCES:
        raise ConfigError(f"kind must be one of {', '.join(_SOURCES)}, got {kind!r}")
    return _SOURCES[kind].fit(interactions, {} if config is None else config, seed=seed)
