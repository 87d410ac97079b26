"""Tests of ``lab/planning``."""
