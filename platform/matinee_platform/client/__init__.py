"""The typed client of the live service."""
