"""The Docker engine: its client, one container, cleaning up by label, and Compose's cells."""
