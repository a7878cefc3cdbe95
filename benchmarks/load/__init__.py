"""Programs that load the live service, and hold it to its figures."""
