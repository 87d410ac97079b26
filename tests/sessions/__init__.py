"""Tests of ``lab/sessions``."""
