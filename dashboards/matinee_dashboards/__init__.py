"""Grafana dashboards of the platform as code: `python -m matinee_dashboards` writes their JSON."""
