"""A session as files and documents."""
