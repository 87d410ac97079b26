"""Tests of ``lab/model``."""
