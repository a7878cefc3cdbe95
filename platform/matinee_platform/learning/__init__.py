"""Learning live: a process of its own that reads the log and makes snapshots."""
