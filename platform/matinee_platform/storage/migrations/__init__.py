"""Steps of the live service's tables, a tree each, with a version table of its own."""
