"""Diagrams: a mermaid block becomes a drawing when the site is built, so that a browser needs no script for it."""

from __future__ import annotations

import itertools
import re

import mmdr

#: Plain boxes, measured for the widest of the usual fonts. The colours are in assets/site.css.
_SETTINGS = '%%{init: {"theme": "neutral", "look": "classic", "themeVariables": {"fontFamily": "Verdana"}}}%%\n'

_BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def drawn(text: str) -> str:
    """Return a page with its mermaid blocks drawn. Raises ValueError if one is not a diagram."""
    numbers = itertools.count(1)
    return _BLOCK.sub(lambda block: _drawing(block[1], f"diagram-{next(numbers)}"), text)


def _drawing(source: str, identifier: str) -> str:
    svg = mmdr.render(_SETTINGS + source).svg()
    svg = re.sub(r"<style>.*?</style>", "", svg, flags=re.DOTALL).replace("merman", identifier)
    return f'<div class="diagram">{svg}</div>'
