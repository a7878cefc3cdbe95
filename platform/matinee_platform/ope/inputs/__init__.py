"""Logs of every origin in the forms that estimators read."""
