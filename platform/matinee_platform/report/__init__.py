"""What people read: the table of a run, its progress line."""
