"""A containerised multi-core lab for Python: claims, run under exact CPU limits, proven from inside, and judged."""

__version__ = "0.1.0"
