"""Primers: the lesson of each experiment, in a file of its own in this folder.

The lessons are not in the experiments, because the experiments travel into every cell and are compiled there. An
experiment without a primer works too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.teaching.predictions import Predictable


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question that the reader should answer before the experiment runs."""

    #: The question.
    ask: str
    #: The answer.
    answer: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """A page that documents the idea."""

    #: The title of the page.
    title: str
    #: The address of the page.
    url: str


@dataclass(frozen=True, kw_only=True)
class Primer:
    """The lesson of one experiment."""

    #: The idea of the experiment.
    idea: str
    #: What textbooks say that is no longer true.
    outdated: str
    #: Three questions and their answers.
    questions: tuple[Question, ...]
    #: Where to read more.
    sources: tuple[Source, ...]
    #: The numbers that ``lab run --predict`` asks for.
    predict: tuple[Predictable, ...] = ()


def load(name: str) -> Primer | None:
    """The primer of the experiment of that name, or ``None`` when it has none."""
    path = Path(__file__).with_name(f"{name}.toml")
    return parse_primer(path.read_text(encoding="utf-8")) if path.is_file() else None


def parse_primer(text: str) -> Primer:
    """A primer from its TOML. Raises KeyError or TypeError when a part is missing or unknown."""
    parts = tomllib.loads(text)
    return Primer(
        idea=_flow(parts.pop("idea")),
        outdated=_flow(parts.pop("outdated")),
        questions=tuple(
            Question(**{key: _flow(value) for key, value in question.items()}) for question in parts.pop("questions")
        ),
        sources=tuple(Source(**source) for source in parts.pop("sources")),
        predict=tuple(Predictable(**number) for number in parts.pop("predict", ())),
        **parts,
    )


def predictable(experiments: Iterable[str]) -> tuple[Predictable, ...]:
    """Every number of these experiments that can be predicted, in their order."""
    loaded = (load(name) for name in experiments)
    return tuple(number for primer in loaded if primer for number in primer.predict)


def _flow(text: str) -> str:
    """The text without the line breaks of the file, because a terminal has a width of its own."""
    return " ".join(text.split())
