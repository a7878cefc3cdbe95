"""Experiments about the platform's own claims: several seeds, differences by user, errors told."""
