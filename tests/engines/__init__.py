"""Tests of ``lab/engines``."""
