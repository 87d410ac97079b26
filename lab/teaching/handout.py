"""Handouts: a lesson as a page on paper, with blanks and without answers, and a course of three sessions."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from lab.cell import experiments
from lab.teaching import primers
from lab.text import markdown

#: The sizes of the cells that predictions are asked for on paper.
_SIZES = ("1 CPU", "2 CPUs", "4 CPUs")
_BLANK = "\\_\\_\\_\\_\\_\\_"
#: So many lines are left for an answer.
_ANSWER_LINES = 2

#: The minutes of the steps of a session.
_IDEA, _QUESTIONS, _MEASURE, _DISCUSS = 10, 10, 5, 10


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """One session of the course."""

    #: Its title.
    title: str
    #: The names of its experiments, in their order.
    names: tuple[str, ...]


#: The course: all usual experiments in three sessions.
COURSE = (
    Meeting(title="Processes, and how many workers", names=("process", "pool", "manager")),
    Meeting(title="Threads, and the GIL", names=("threads", "gil", "switching")),
    Meeting(title="Sharing: queues, pipes, races", names=("queue", "pipe", "race")),
)


def handout(name: str) -> str:
    """The handout of an experiment in Markdown: the idea, tasks, predictions, commands, and space for answers.

    It fits on a page of paper, and has no answer.
    """
    primer = primers.load(name)
    summary = experiments.load(name).summary
    parts = [f"# {summary}", "Name: ______________________  Machine: ______________________"]
    predict = " --predict --full" if primer and primer.predict else ""
    if primer:
        parts += ["## The idea", primer.idea]
        parts += ["## Answer before you run anything"]
        for number, question in enumerate(primer.questions, 1):
            parts += [f"{number}. {question.ask} (`{name}-{number}`)", *["&nbsp;"] * _ANSWER_LINES]
    if primer and primer.predict:
        head = ["number", *_SIZES]
        rows = [[markdown.escaped(each.ask), *_blanks(each.least_cpus)] for each in primer.predict]
        parts += ["## Predict", markdown.table(head, rows)]
    parts += [
        "## Run",
        f"```sh\nlab run {name}{predict} --label YOUR-NAME\nlab report\n```",
        "## What was different from what you expected, and why?",
        *["&nbsp;"] * 3,
        f'Hand in the folder of the session, and your answers as `answers.toml` beside it: `{name}-1 = "…"`.',
    ]
    return "\n\n".join(parts) + "\n"


def _blanks(least_cpus: int) -> list[str]:
    return ["–" if int(size.split()[0]) < least_cpus else _BLANK for size in _SIZES]


def course() -> str:
    """The course in Markdown: three sessions with their times, commands and homework, without answers."""
    parts = [
        "# A course: parallel Python under exact limits",
        "The teacher reads `lab explain NAME --teacher`; each student gets `lab explain NAME --handout`.",
    ]
    for number, meeting in enumerate(COURSE, 1):
        minutes = len(meeting.names) * (_IDEA + _QUESTIONS + _MEASURE + _DISCUSS)
        parts.append(f"## Session {number}: {meeting.title} ({minutes} minutes)")
        rows = [_row(name) for name in meeting.names]
        steps = (f"idea, {_IDEA} min", f"questions, {_QUESTIONS} min", f"measure, {_MEASURE} min")
        parts.append(markdown.table(["experiment", "about", *steps, f"discuss, {_DISCUSS} min"], rows))
        parts.append(f"```sh\nlab run {' '.join(meeting.names)}{_asking(meeting.names)} --label YOUR-NAME\n```")
    parts += [
        "## Afterwards",
        "```sh\nlab class handed-in/ --output class.html\nlab grade handed-in/ --key key.toml\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _row(name: str) -> list[str]:
    """What is done with an experiment in each step."""
    primer = primers.load(name)
    questions = len(primer.questions) if primer else 0
    predicted = len(primer.predict) if primer else 0
    asks = f"{questions} questions" + (f", {predicted} predictions" if predicted else "")
    about = markdown.escaped(experiments.load(name).summary)
    return [f"`{name}`", about, f"`lab explain {name}`", asks, f"`lab run {name}`", f"`lab explain {name} --answers`"]


def _asking(names: Sequence[str]) -> str:
    loaded = (primers.load(name) for name in names)
    return " --predict --full" if any(primer and primer.predict for primer in loaded) else ""


def page(text: str) -> str:
    """A handout or a course in Markdown as one HTML page, to print."""
    import markdown_it  # only pages need it

    body = markdown_it.MarkdownIt().enable("table").render(text)
    lines = body.replace("<p>\u00a0</p>", '<p class="line"></p>')
    return _PAGE.format(title=html.escape(text.splitlines()[0].lstrip("# ")), body=lines)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 11pt/1.35 sans-serif; max-width: 46rem; margin: 1.5rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4em; margin: 0 0 .5em; }}
h2 {{ font-size: 1.1em; margin: .8em 0 .3em; }}
p {{ margin: .4em 0; }}
p.line {{ border-bottom: 1px solid #888; height: 1.5em; margin: 0; }}
table {{ border-collapse: collapse; }}
td, th {{ border: 1px solid #888; padding: .25em .6em; text-align: left; }}
pre {{ background: #f2f2f2; padding: .5em; margin: .4em 0; white-space: pre-wrap; }}
@page {{ size: A4; margin: 14mm; }}
@media print {{ body {{ margin: 0; font-size: 10pt; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
