"""Tests of ``lab/teaching``."""
