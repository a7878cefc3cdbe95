"""Validation of the simulated users: stylised facts and acceptance tests, run and gathered.

The facts are `matinee_simulator.stylised_facts`; here are the data and rollouts that they need, the
acceptance tests, and the runner. Showing what was found belongs to `report`.
"""
