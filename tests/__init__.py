"""Tests: one file for each module, slow ones (marked engine) last."""
