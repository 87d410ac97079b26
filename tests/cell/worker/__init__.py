"""Tests of ``lab/cell/worker``."""
