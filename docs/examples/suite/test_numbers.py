"""A test suite that computes: 24 tests of about 0.1 s each, which do not wait for each other."""

import pytest


@pytest.mark.parametrize("seed", range(24))
def test_a_walk_comes_back(seed: int) -> None:
    state = seed + 1
    for _ in range(600_000):
        state = (state * 48271) % 2147483647
    for _ in range(600_000):
        state = (state * 1899818559) % 2147483647
    assert state == seed + 1
