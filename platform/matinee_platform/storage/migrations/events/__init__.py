"""Migrations of the event log."""
