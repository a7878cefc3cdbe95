"""Whether the pinned requirements have known weaknesses."""
