"""Durable storage of the live service: event log, control data, snapshots."""
