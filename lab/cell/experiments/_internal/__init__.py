"""Experiments that the lab runs for itself. Their names begin with an underscore, and no list shows them.

Each module has ``EXPERIMENTS``: the part of a name behind its hyphen (empty where there is none) -> the experiment.
"""
