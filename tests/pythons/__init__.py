"""Tests of ``lab/pythons``."""
