"""Tests of ``lab/containers``."""
