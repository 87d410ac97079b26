"""Functions of NumPy."""

from __future__ import annotations

from typing import Any

import numpy

MATRIX = numpy.random.default_rng(1).random((400, 400))
LARGE = numpy.random.default_rng(1).random(200_000)
SMALL = LARGE[:10].copy()


def multiply() -> Any:
    """Multiply matrices: the BLAS that NumPy brings starts a thread for each CPU."""
    return (MATRIX @ MATRIX)[0, 0]


def sines() -> float:
    """Compute sines of a large array, which gives the GIL up."""
    return float(numpy.sin(LARGE)[0])


def add_small() -> float:
    """Add two small arrays, which keeps the GIL and takes less than a microsecond."""
    return float((SMALL + SMALL)[0])
