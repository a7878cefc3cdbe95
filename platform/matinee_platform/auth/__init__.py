"""Who may call the service: API keys and tokens of decisions."""
