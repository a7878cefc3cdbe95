"""Offline runs: the platform's engine against simulated users."""
