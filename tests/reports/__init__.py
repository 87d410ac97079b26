"""Tests of ``lab/reports``."""
