"""Tests of ``lab/commands``."""
