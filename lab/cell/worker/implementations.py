"""The implementations of Python, and how each writes its own name."""

from __future__ import annotations

#: The name in ``sys.implementation`` -> the name for people. A start record keeps the latter.
IMPLEMENTATIONS = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}
