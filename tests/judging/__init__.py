"""Tests of ``lab/judging``."""
