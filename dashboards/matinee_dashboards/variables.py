"""The choices that readers of the dashboards have."""

from matinee_dashboards.records import Variable

CHOICE_OF_EXPERIMENT = Variable(
    "experiment", "Experiment", '{__name__=~"matinee_pages|matinee_served_decisions_total"}'
)
CHOICE_OF_ARM = Variable(
    "arm",
    "Arm",
    '{__name__=~"matinee_pages|matinee_served_decisions_total", experiment="$experiment"}',
    many=True,
)
CHOICE_OF_METRIC = Variable(
    "metric", "Metric", 'matinee_analysis_difference{experiment="$experiment"}', many=True
)
CHOICE_OF_INSTANCE = Variable("instance", "Process", "matinee_service_state", many=True)
