"""Programs that break the live service, and check that its promises hold."""
