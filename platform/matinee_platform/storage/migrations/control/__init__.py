"""Steps of the control tables, from nothing to now."""
