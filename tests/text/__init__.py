"""Tests of ``lab/text``."""
