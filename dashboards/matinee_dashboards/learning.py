"""The *Learning* dashboard: lag, updates, exploration, propensities, drift."""

from math import inf

from matinee_dashboards.records import ARM, Board, Bound, Panel, Query, Row
from matinee_dashboards.variables import CHOICE_OF_ARM, CHOICE_OF_EXPERIMENT


def _share(part: str, whole: str) -> str:
    return f"max by (arm) ({part}{ARM}) / (max by (arm) ({whole}{ARM}) > 0)"


def _events(outcomes: str) -> str:
    """Events of what was learned; every process shows the same counts, hence max."""
    selector = f'{{experiment="$experiment", arm=~"$arm", outcome=~"{outcomes}"}}'
    each = f"max by (arm, component, outcome) (matinee_learned_events_total{selector})"
    return f"sum by (arm, component) ({each})"


_LAG = Row(
    "Does it keep up?",
    (
        Panel(
            "Lag",
            "Age of the moment up to which every window that ended has been learned. While all is "
            "well it stays within two looks of the learner (learn_every_seconds) and the step "
            "itself; it rises while no learner runs.",
            "s",
            (Query(f"min by (arm) (matinee_learner_lag_seconds{ARM})", "{{arm}}"),),
            runbook="matineelearnerlags",
            bounds=(Bound(30.0, "red"),),
            least=0.0,
        ),
        Panel(
            "Silence of the learner",
            "Time since the learner last did something.",
            "s",
            (Query("min(matinee_learner_beat_age_seconds)", "learner"),),
            runbook="matineelearnersilent",
            bounds=(Bound(60.0, "red"),),
            least=0.0,
        ),
        Panel(
            "Arms that cannot be learned",
            "Failed means that the newest barrier of the arm could not be made; learner.json has "
            "the reason. Decisions go on with the last snapshot.",
            "short",
            (Query(f"max by (arm) (matinee_learner_failed{ARM})", "{{arm}}"),),
            kind="figure",
            runbook="matineelearnerfails",
            bounds=(Bound(1.0, "red"),),
            words=((0, "learns"), (1, "failed")),
        ),
    ),
)

_UPDATES = Row(
    "What has it learned?",
    (
        Panel(
            "Decisions learned",
            "Decisions learned per second, by arm and lesson: the components whose windows end "
            "together. They follow the decisions at the distance of the window.",
            "ops",
            (
                Query(
                    "max by (arm, lesson) (rate(matinee_learned_decisions_total"
                    f"{ARM}[$__rate_interval]))",
                    "{{arm}} {{lesson}}",
                ),
            ),
            least=0.0,
        ),
        Panel(
            "Snapshots",
            "Version that the learner made last and version that processes serve. The second "
            "follows the first within a second; where it stays behind, a snapshot was refused.",
            "short",
            (
                Query(f"max by (arm) (matinee_learner_snapshot_version{ARM})", "{{arm}} made"),
                Query(f"min by (arm) (matinee_serving_snapshot_version{ARM})", "{{arm}} served"),
            ),
            runbook="matineesnapshotrefused",
            least=0.0,
        ),
        Panel(
            "Age of the served snapshot",
            "Time since the snapshot that decides was made, the oldest of all processes; it grows "
            "while there is nothing to learn.",
            "s",
            (Query(f"max by (arm) (matinee_serving_snapshot_age_seconds{ARM})", "{{arm}}"),),
            least=0.0,
        ),
        Panel(
            "Time of a barrier",
            "Time that the newest barrier of the arm took; several times the pause between two "
            "looks means that learning cannot follow.",
            "s",
            (Query(f"max by (arm) (matinee_learner_barrier_seconds{ARM})", "{{arm}}"),),
            least=0.0,
        ),
        Panel(
            "From a window's end to its lesson",
            "How long what the newest barrier learned had waited since its earliest window ended.",
            "s",
            (Query(f"max by (arm) (matinee_learner_delay_seconds{ARM})", "{{arm}}"),),
            least=0.0,
        ),
        Panel(
            "Rewards of what was learned",
            "Share of the reward events of learned decisions that were joined in time, by "
            "component. The rest came late, twice, or belonged to no slot.",
            "percentunit",
            (
                Query(
                    f"{_events('joined')} / {_events('joined|late|duplicate|orphan')}",
                    "{{arm}} {{component}}",
                ),
            ),
            runbook="matineerewardsnotjoined",
            least=0.0,
            most=1.0,
        ),
        Panel(
            "Refused decisions",
            "Decisions that the policy refused to learn since the learner started: their features "
            "would have spoiled its state.",
            "short",
            (
                Query(
                    "sum by (arm) (max by (arm, lesson) "
                    f"(matinee_refused_decisions_total{ARM})) or "
                    f"0 * max by (arm) (matinee_learner_lag_seconds{ARM})",
                    "{{arm}}",
                ),
            ),
            bounds=(Bound(1.0, "red"),),
            reaches=1.0,
            least=0.0,
        ),
    ),
)

_EXPLORATION = Row(
    "How much is explored?",
    (
        Panel(
            "Share of exploration",
            "Items shown whose logged propensity was below 0.5: chance chose as much as the "
            "policy did.",
            "percentunit",
            (Query(_share("matinee_exploratory_impressions", "matinee_impressions"), "{{arm}}"),),
            source="both",
            least=0.0,
            most=1.0,
        ),
        Panel(
            "Price of exploration",
            "Expected value given up per page, in the policy's own estimates; only policies that "
            "can tell have a line, and offline runs alone ask them.",
            "short",
            (Query(f"max by (arm) (matinee_exploration_cost_per_page{ARM})", "{{arm}}"),),
            source="run",
            least=0.0,
        ),
        Panel(
            "Pages by the fallback",
            "Share of an arm's pages in the log that its policy did not choose; nothing is "
            "learned from them.",
            "percentunit",
            (Query(_share("matinee_fallback_pages", "matinee_pages"), "{{arm}}"),),
            runbook="matineefallbacks",
            source="both",
            bounds=(Bound(0.01, "red"),),
            least=0.0,
        ),
    ),
)

_PROPENSITIES = Row(
    "Are the logged propensities true?",
    (
        Panel(
            "Calibration",
            "Mean weight of an even choice among the candidates left, over slots filled by "
            "chance. It is 1 where logged propensities are the law of the draw and every "
            "candidate can be drawn, less where some cannot; well above 1, logged propensities "
            "are too small.",
            "short",
            (Query(_share("matinee_uniform_weights", "matinee_drawn_slots"), "{{arm}}"),),
            runbook="matineepropensitiestoosmall",
            source="both",
            bounds=(Bound(1.02, "red"),),
            least=0.0,
        ),
        Panel(
            "Effective sample size",
            "Slots that an even choice among the candidates would have left after weighting: how "
            "much of the log can say something of a policy that differs much.",
            "short",
            (
                Query(
                    f"max by (arm) (matinee_uniform_weights{ARM}) ^ 2 / "
                    f"(max by (arm) (matinee_squared_uniform_weights{ARM}) > 0)",
                    "{{arm}}",
                ),
            ),
            source="both",
            least=0.0,
        ),
        Panel(
            "Slots filled by chance",
            "Share of the items shown whose logged propensity is below 1; without them the log "
            "says nothing of another policy.",
            "percentunit",
            (Query(_share("matinee_drawn_slots", "matinee_impressions"), "{{arm}}"),),
            source="both",
            least=0.0,
            most=1.0,
        ),
    ),
)

_DRIFT = Row(
    "Do rewards drift?",
    (
        Panel(
            "Engagement of a page, week by week",
            "Watched fractions per slate, of the experiment's week that runs and of the one "
            "before. It moves with what the policy learns as well: where an arm that learns "
            "nothing moves alike, the users or the items have changed.",
            "short",
            (
                Query(
                    f"max by (arm, week) (matinee_week_engagement{ARM}) / "
                    f"(max by (arm, week) (matinee_week_pages{ARM}) > 0)",
                    "{{arm}}, {{week}} week",
                ),
            ),
            least=0.0,
            width=12,
        ),
        Panel(
            "Departure of engagement",
            "What a page earns this week less what it earned in the week before, in standard "
            "errors by user; beyond 4 either way it is no chance. Without a line there are fewer "
            "than 30 users in either week.",
            "short",
            (Query(f"max by (arm) (matinee_engagement_departure{ARM})", "{{arm}}"),),
            bounds=(Bound(-inf, "red"), Bound(-4.0, "green"), Bound(4.0, "red")),
            width=12,
        ),
        Panel(
            "Departure of rewards",
            "Engagement beyond what slots with the same features earned before, in its standard "
            "errors: how far it departs from its level since the last alarm. Of offline runs, at "
            "their end.",
            "short",
            (Query(f"max by (arm) (matinee_reward_residual_departure{ARM})", "{{arm}}"),),
            source="run",
        ),
        Panel(
            "Residual of rewards",
            "Mean over slots of engagement beyond what slots with the same features earned "
            "before, on the last day with pages. Of offline runs, at their end.",
            "short",
            (Query(f"max by (arm) (matinee_reward_residual_mean{ARM})", "{{arm}}"),),
            source="run",
        ),
        Panel(
            "Alarms of drift",
            "Alarms of the Page-Hinkley test in the residuals of an arm, over all items and by "
            "genre. Of offline runs, at their end.",
            "short",
            (
                Query(f"max by (arm) (matinee_drift_alarms_total{ARM})", "{{arm}}"),
                Query(f"max by (arm) (matinee_genre_drift_alarms_total{ARM})", "{{arm}} by genre"),
            ),
            source="run",
            reaches=1.0,
            least=0.0,
        ),
    ),
)

LEARNING = Board(
    "matinee-learning",
    "Matinee: learning",
    "Whether the learner keeps up, what it learned, how much is explored, and whether propensities "
    "and rewards are what they were.",
    (CHOICE_OF_EXPERIMENT, CHOICE_OF_ARM),
    (_LAG, _UPDATES, _EXPLORATION, _PROPENSITIES, _DRIFT),
    hours=6,
    refresh="30s",
)
"""The dashboard."""
