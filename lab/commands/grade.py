"""``lab grade``: points for predictions, sessions and answers, with the grounds of each point."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import StoreError, UsageError
from lab.messages import show, show_document

if TYPE_CHECKING:
    from lab.model.participant import Participant
    from lab.teaching.grading import Grade

HELP = "give points for predictions, for sessions that verify and for answers, and say the grounds of each point"
EXAMPLE = """\
examples:
  lab grade handed-in/ --key key.toml               everybody
  lab grade handed-in/ --key key.toml --of anna     one participant
  lab grade handed-in/ --key key.toml --format csv  for a spreadsheet

A key has [sessions] points, [predictions] made and right, and for each question
[[answers]] question, right and points; docs/teaching.md has an example.
A participant writes answers into answers.toml beside the session: pool-1 = "2".
The key and the grounds are all that there is: a student can grade too.

exit codes: 0 graded; 2 the key is wrong, or there is no session; 3 a file
  cannot be read"""

#: The file with the answers of a participant.
ANSWERS = "answers.toml"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folders with sessions, at any depth")
    parser.add_argument("--key", required=True, type=Path, metavar="FILE", help="the rule: what gives how many points")
    parser.add_argument("--of", metavar="NAME", help="grade this participant only")
    parser.add_argument(
        "--by", choices=("label", "folder", "host"), default="label", help="what names a participant (default: label)"
    )
    parser.add_argument("--format", choices=("screen", "csv", "json"), default="screen", help="default: screen")


def run(options: argparse.Namespace) -> int:
    """Grade each participant, print the points with their grounds, and return the exit code."""
    from lab.judging.agreement import handed_in_twice
    from lab.sessions.participations import participants
    from lab.teaching.grading import grade, parse_key

    try:
        key = parse_key(options.key.read_text(encoding="utf-8"), str(options.key))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{options.key} cannot be read: {error}", "name a key: --key FILE") from error
    everybody = participants(options.folders, options.by)
    people = [each for each in everybody if options.of in (None, each.name)]
    if not people:
        raise UsageError(f"there is no participant {options.of}", "lab class DIR names all")
    twice = handed_in_twice(everybody)
    grades = [grade(each, _answers(each, options.folders), _faults(each, twice), key) for each in people]
    if options.format == "screen":
        show("\n\n".join(map(_paragraph, grades)))
    else:
        show_document(_csv(grades) if options.format == "csv" else _json(grades))
    return 0


def _faults(participant: Participant, twice: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The folder of each session -> what is wrong with it; empty: nothing.

    That is what ``lab verify`` finds, and that somebody else has handed in the same session.
    """
    from lab.errors import LabError
    from lab.sessions import loading, verification

    faults = {}
    for each in participant.sessions:
        try:
            with loading.making_sense_of(Path(each.folder)):
                found, _ = verification.inspect(Path(each.folder))
            others = [name for name in twice.get(each.session, ()) if name != participant.name]
            shared = [f"{', '.join(others)} handed in the same session"] if others else []
            faults[each.folder] = "; ".join([*found[:3], *shared])
        except LabError as error:
            faults[each.folder] = str(error)
    return faults


def _answers(participant: Participant, roots: Sequence[Path]) -> Mapping[str, str]:
    """The answers of a participant: in the folder of each session or above it, up to the folder that was given.

    Where several answer the same question, the one of the newest session counts. Raises UsageError where they are not
    TOML.
    """
    import tomllib

    answers: dict[str, str] = {}
    ends = {root.resolve() for root in roots}
    for each in participant.sessions:
        session = Path(each.folder).resolve()
        for folder in (session, *session.parents):
            file = folder / ANSWERS
            if file.is_file():
                try:
                    written = tomllib.loads(file.read_text(encoding="utf-8-sig"))
                except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                    raise UsageError(f"{file} is not TOML: {error}", 'write lines such as pool-1 = "2"') from error
                except OSError as error:
                    raise StoreError(f"cannot read {file}: {error.strerror}") from error
                answers.update((name, str(value)) for name, value in written.items())
                break
            if folder in ends:
                break
    return answers


def _paragraph(grade: Grade) -> str:
    from lab.text.table import fit_sentence

    lines = [f"{grade.name}: {_out_of(grade)}"]
    for ground in grade.grounds:
        most = "" if ground.most is None else f" of {ground.most:g}"
        lines.append(fit_sentence(f"  {ground.points:g}{most} for {ground.what}: {ground.why}", 80))
    return "\n".join(lines)


def _out_of(grade: Grade) -> str:
    most = [ground.most for ground in grade.grounds]
    total = sum(each for each in most if each is not None)
    return f"{grade.points:g} of {total:g} points" if None not in most else f"{grade.points:g} points"


def _csv(grades: Sequence[Grade]) -> str:
    from lab.text import spreadsheets

    names = [ground.what for ground in grades[0].grounds]
    rows: list[list[spreadsheets.Value]] = [["participant", "points", *names, *(f"why: {name}" for name in names)]]
    for grade in grades:
        points, reasons = ([getattr(ground, part) for ground in grade.grounds] for part in ("points", "why"))
        rows.append([grade.name, grade.points, *points, *reasons])
    return spreadsheets.rows(rows)


def _json(grades: Sequence[Grade]) -> str:
    import dataclasses
    import json

    return json.dumps([{**dataclasses.asdict(grade), "points": grade.points} for grade in grades], indent=2) + "\n"
