"""The live service: decisions and rewards over HTTP."""
