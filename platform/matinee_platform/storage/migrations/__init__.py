"""Versions of the database schemas, one tree for each database of the service."""
