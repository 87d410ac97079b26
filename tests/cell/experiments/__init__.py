"""Tests of ``lab/cell/experiments``."""
