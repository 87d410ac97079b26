"""Tests of ``lab/cell/measuring``."""
