"""Tests of ``lab/cell/cpus``."""
