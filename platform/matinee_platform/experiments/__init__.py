"""Experiments of the live service: definitions, life cycle, layers."""
