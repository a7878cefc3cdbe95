"""Analysis of an experiment by unit: what each arm did, and how sure one may be."""
