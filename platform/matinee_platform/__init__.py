"""The experimentation platform: assignment, log, learning, analysis, command line."""
