"""Decide what runs: options in text -> cells with their CPUs -> jobs. Pure."""
