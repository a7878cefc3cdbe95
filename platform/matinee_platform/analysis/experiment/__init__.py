"""From what units did to what an experiment says: gates, effects, retention and a verdict."""
