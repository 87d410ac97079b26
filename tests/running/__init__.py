"""Tests of ``lab/running``."""
