"""Command groups that `cli.py` mounts, one module each."""
