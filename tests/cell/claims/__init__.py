"""Tests of ``lab/cell/claims``."""
