"""Teach: primers, and what a person predicts."""
