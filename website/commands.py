"""The commands: a page for each, from the parser that prints its ``--help``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from lab import cli
from website import markdown

_FOLDER = "reference/commands"


def pages() -> dict[str, str]:
    """Return the page of each command, and one that lists them."""
    top = cli.parser()
    commands = {name: parser for name, parser, _ in _subcommands(top)}
    summaries = [[f"[lab {name}]({name}.md)", markdown.plain(summary)] for name, _, summary in _subcommands(top)]
    index = markdown.page("# Commands", markdown.table(["command", "does"], summaries))
    return {
        f"{_FOLDER}/index.md": index,
        **{f"{_FOLDER}/{name}.md": markdown.page(*_described(parser, 1)) for name, parser in commands.items()},
    }


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """The name, the parser and the summary of each command of a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                yield choice.dest, action.choices[choice.dest], choice.help or ""


def _described(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """The parts of a page that describe a command, from a heading of that level on."""
    yield f"{'#' * level} {parser.prog}"
    yield markdown.plain(parser.description or "")
    formatter = argparse.HelpFormatter(parser.prog, width=78)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    yield markdown.fenced(formatter.format_help())
    for group in parser._action_groups:
        rows = [_row(parser, action) for action in group._group_actions if action.help is not argparse.SUPPRESS]
        if rows and not isinstance(group._group_actions[0], argparse._SubParsersAction):
            yield f"**{(group.title or '').capitalize()}**"
            yield markdown.plain(group.description or "")
            yield markdown.table(["name", "does"], rows)
    yield from _epilog(parser.epilog or "")
    for _, subparser, _ in _subcommands(parser):
        yield from _described(subparser, level + 1)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """An option or an argument, and what it does."""
    formatter = argparse.HelpFormatter(parser.prog)
    name = re.sub(r"\s+", " ", formatter._format_action_invocation(action))
    return [markdown.code(name), markdown.plain(formatter._expand_help(action) if action.help else "")]


def _epilog(epilog: str) -> Iterator[str]:
    """The words below the options; examples stay as they are, and other lines are joined."""
    for paragraph in epilog.split("\n\n"):
        title, _, rest = paragraph.partition("\n")
        if title == "examples:":
            yield "**Examples**"
            yield markdown.fenced(re.sub("^  ", "", rest, flags=re.MULTILINE), "sh")
        else:
            yield markdown.plain(paragraph)
