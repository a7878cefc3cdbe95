"""Simulated users of a recommendation service, with a known truth."""
