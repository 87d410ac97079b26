"""Tables and sentences in a terminal of any width. Pure."""

from __future__ import annotations
