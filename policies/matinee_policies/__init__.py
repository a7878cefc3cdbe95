"""Contextual-bandit policies for recommendation slates, with exact propensities."""
