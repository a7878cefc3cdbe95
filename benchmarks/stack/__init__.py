"""The services of docker-compose.yml side by side on one machine, without containers."""
