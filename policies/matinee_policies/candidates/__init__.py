"""Candidate sources: from a unit's observed history to its best items, with scores."""
