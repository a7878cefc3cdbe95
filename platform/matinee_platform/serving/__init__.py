"""Deciding live: bundles, unit memory, arms at work, fallback."""
