"""Primers: what an experiment teaches, a file for each beside this one, as a teacher would say it.

They stand here and not in the experiments because those travel into every cell, in the arguments of its first process,
and are compiled there. An experiment without one works all the same.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.teaching.predictions import Predictable


@dataclass(frozen=True, kw_only=True)
class Question:
    """To be answered before the experiment is run."""

    ask: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where it is documented."""

    title: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Primer:
    """The idea of an experiment, three questions, where the textbook is out of date, and sources; ``predict`` are the
    numbers that ``lab run --predict`` asks for."""

    idea: str
    outdated: str
    questions: tuple[Question, ...]
    sources: tuple[Source, ...]
    predict: tuple[Predictable, ...] = ()


def load(name: str) -> Primer | None:
    """The primer of the experiment of that name, or ``None`` when it has none."""
    path = Path(__file__).with_name(f"{name}.toml")
    return parse_primer(path.read_text(encoding="utf-8")) if path.is_file() else None


def parse_primer(text: str) -> Primer:
    """A primer from its TOML. Raises KeyError or TypeError when it lacks a part or has one too many."""
    found = tomllib.loads(text)
    return Primer(
        idea=_flow(found.pop("idea")),
        outdated=_flow(found.pop("outdated")),
        questions=tuple(
            Question(**{key: _flow(value) for key, value in one.items()}) for one in found.pop("questions")
        ),
        sources=tuple(Source(**one) for one in found.pop("sources")),
        predict=tuple(Predictable(**one) for one in found.pop("predict", ())),
        **found,
    )


def predictable(experiments: Iterable[str]) -> tuple[Predictable, ...]:
    """Every number of these experiments that can be predicted, in their order."""
    found = (load(name) for name in experiments)
    return tuple(one for primer in found if primer for one in primer.predict)


def _flow(text: str) -> str:
    """Lines are broken in the file where they fit there; a terminal has its own width."""
    return " ".join(text.split())
