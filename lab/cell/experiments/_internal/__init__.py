"""Experiments that the lab runs for itself. Their names begin with an underscore, and no list shows them.

Each module has ``EXPERIMENTS``, which maps the part of a name behind its hyphen to the experiment. The part is empty
where the name has no hyphen.
"""
