"""Care of a service's data: retention, forgetting, backup, export."""
