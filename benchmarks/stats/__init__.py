"""Whether the statistics of an experiment keep their promises: simulations, not timings."""
