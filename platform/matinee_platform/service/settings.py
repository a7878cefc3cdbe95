"""Settings of the live service: file, environment and defaults."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.strict_settings import Share, StrictSettings


class Holdout(StrictSettings):
    """Units that no experiment touches: the order of the candidates, never learned from."""

    share: Share = 0.0
    """Of all units; 0.01 to 0.05 is usual."""
    salt: str = "holdout"


class Limits(StrictSettings):
    """What a request may be, and how many may come."""

    body_bytes: Annotated[int, Field(ge=1_024, le=16_777_216)] = 262_144
    features: Annotated[int, Field(ge=1, le=1_000)] = 200
    feature_size: Annotated[float, Field(gt=0.0, le=1e6, strict=False)] = 1e3
    """Largest feature of a caller, up or down; set it to what yours really reach."""
    id_chars: Annotated[int, Field(ge=8, le=1_024)] = 128
    json_depth: Annotated[int, Field(ge=4, le=64)] = 8
    batch: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Most decisions or rewards of one request."""
    requests_per_second: Annotated[float, Field(gt=0, strict=False)] = 1_000.0
    """Per API key, or in all without keys."""
    burst: Annotated[int, Field(ge=1)] = 2_000
    in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Requests that are answered at once by a process; beyond it, 503 with Retry-After."""
    rewards_per_decision: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Reward events of one decision that are taken in."""


class ServiceSettings(StrictSettings):
    """Everything that `matinee serve --config FILE` may say. `MATINEE_SERVICE_*` replaces a value.

    Secrets are not settings: they come from `MATINEE_SECRET_FILE`, or from `DATA_DIR/secret`.
    """

    data_dir: Annotated[Path, Field(strict=False)]
    """Folder of everything the service keeps; made if it is not there."""
    database: str = "sqlite"
    """`sqlite`, in `data_dir`, or the address of a PostgreSQL: `postgresql://USER@HOST/NAME`."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_400
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that answer; more than one needs PostgreSQL."""
    on_database_loss: Literal["spool", "strict"] = "spool"
    """`spool` answers from a local file while the database is away, `strict` with 503."""
    decision_budget_ms: Annotated[float, Field(gt=0, le=10_000, strict=False)] = 50.0
    """After which the order of the candidates is served in place of the policy's slate."""
    queue_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Rows that may wait for a commit; beyond it, 503 with Retry-After."""
    units_in_memory: Annotated[int, Field(ge=16, le=10_000_000)] = 20_000
    """Units of an arm whose state is kept; others are folded from the log again."""
    learn_every_seconds: Annotated[float, Field(gt=0, le=86_400, strict=False)] = 5.0
    keep_snapshots: Annotated[int, Field(ge=60, le=1_000_000)] = 720
    """Newest snapshots of an arm that are kept: an hour of barriers every 5 seconds. Of older ones
    stay version 0, those where replay starts, and the first of each hour for `retention_days`."""
    supervise_learner: bool = True
    """Whether `matinee serve` starts and restarts the learner; else run `matinee learn`."""
    analyse_every_seconds: Annotated[float, Field(ge=1, le=86_400, strict=False)] = 60.0
    """Between analyses of the running experiments for metrics, at least; longer where they take
    long, so that they never take more than a twentieth of one core's time."""
    supervise_kpis: bool = True
    """Whether `matinee serve` keeps the key figures of running experiments for metrics, in a
    process of its own. Of several services of one database, one makes them."""
    kpi_every_seconds: Annotated[float, Field(ge=0.1, le=86_400, strict=False)] = 15.0
    """Between looks at the log for key figures; the first one comes so long after the start."""
    signed_tokens: bool = False
    """Whether rewards must carry the token that came with their decision."""
    request_lines: bool = False
    """Whether each request leaves a line: its id and trace id, route, status and time."""
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    """Age after which raw events are deleted (`matinee maintain`)."""
    limits: Limits = Limits()
    holdout: Holdout = Holdout()
    experiments: Annotated[list[LiveExperiment], Field(max_length=1_000, default_factory=list)]
    """Experiments to create at the start if they are not there; those there must be the same."""
