"""Tests of what travels into a cell."""
