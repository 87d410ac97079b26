"""``lab compare``: two sessions, number by number, with intervals; a gate for regressions."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.cell.claims.estimates import Estimate
    from lab.judging.comparison import Comparison, Pair
    from lab.judging.differences import Difference
    from lab.model.session import Session

HELP = "compare two sessions, number by number, and say what got worse beyond a tolerance"
EXAMPLE = """\
examples:
  lab compare BASE NEW                  two sessions' folders
  lab compare BASE NEW --tolerance 10   what is within ten per cent is no change
  lab compare BASE NEW --force          of two builds, or of two machines

exit codes: 0 nothing got worse; 1 a regression beyond the tolerance, or a
  verdict that has become a surprise; 2 not sessions, nothing in common, or
  unlike machines or builds"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("base", type=Path, metavar="BASE", help="the session to compare with")
    parser.add_argument("new", type=Path, metavar="NEW", help="the session to judge")
    parser.add_argument(
        "--tolerance", type=float, default=5.0, metavar="PERCENT", help="a smaller change is none (default: 5)"
    )
    parser.add_argument("--force", action="store_true", help="compare unlike machines or builds too")
    parser.add_argument("--all", action="store_true", help="show also the numbers that are alike or undecided")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="what to print (default: table)")


def run(options: argparse.Namespace) -> int:
    """Read both, compare, print; returns the exit code."""
    import json

    from lab.judging import comparison, differences
    from lab.sessions import loading

    if not (0 <= options.tolerance < 1000 and math.isfinite(options.tolerance)):
        raise UsageError(f"--tolerance {options.tolerance:g}: give a number of per cent from 0, such as 5")
    base, new = (loading.load_session(loading.find_session(named)) for named in (options.base, options.new))
    unlike = differences.session_differences(base, new)
    if unlike and not options.force:
        raise UsageError(
            f"{base.id} and {new.id} were not measured on the same thing: {'; '.join(map(str, unlike))}; compare them"
            " all the same with --force"
        )
    found = comparison.compare(base, new, options.tolerance / 100)
    if not found.cells or not (found.pairs or _claims_in_common(base, new)):
        raise UsageError(f"there is nothing to compare: {base.id} has {_holds(base)}; {new.id} has {_holds(new)}")
    if options.format == "json":
        print(json.dumps(_document(base, new, unlike, found), indent=2))
    else:
        _print(base, new, unlike, found, everything=options.all)
    return int(found.regressed)


def _claims_in_common(base: Session, new: Session) -> bool:
    mine, theirs = ({one.claim for one in side.judgements if one.verdict.decisive} for side in (base, new))
    return bool(mine & theirs)


def _holds(session: Session) -> str:
    from lab.model.cell import Status

    cells = [one.cell.id for one in session.results if one.status is Status.MEASURED]
    return f"{', '.join(session.arguments['experiments'])} in {', '.join(cells) or 'no cell that was measured'}"


def _document(base: Session, new: Session, unlike: Sequence[Difference], found: Comparison) -> dict[str, Any]:
    import dataclasses

    return {
        "base": base.id,
        "new": new.id,
        "tolerance": found.tolerance,
        "confidence": found.confidence,
        "regressed": found.regressed,
        "short": list(found.short),
        "unlike": [dataclasses.asdict(one) for one in unlike],
        "numbers": [
            {
                "name": one.name,
                "cell": one.cell,
                "build": one.build,
                "unit": one.unit,
                "base": one.base.value,
                "new": one.new.value,
                "confidence": one.confidence,
                "ratio": _interval(one.ratio),
                "ratio_at_speed": _interval(one.at_speed) if one.at_speed else None,
                "change": one.change.value,
            }
            for one in found.pairs
        ],
        "verdicts": [
            {
                "claim": one.claim,
                "cell": one.cell,
                "build": one.build,
                "base": one.base.verdict.value,
                "new": one.new.verdict.value,
                "regression": one.regression,
            }
            for one in found.turns
        ],
    }


def _interval(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _print(base: Session, new: Session, unlike: Sequence[Difference], found: Comparison, *, everything: bool) -> None:
    import shutil

    from lab.judging.comparison import NumberChange
    from lab.text import table

    width = shutil.get_terminal_size((80, 24)).columns
    counted = {kind: sum(one.change is kind for one in found.pairs) for kind in NumberChange}
    totals = ", ".join(f"{count} {kind}" for kind, count in counted.items() if count)
    shown = [one for one in found.pairs if everything or one.change not in (NumberChange.ALIKE, NumberChange.UNDECIDED)]
    several = len(found.builds) > 1
    lines = [f"{new.id} against {base.id}, cells {('; ' if several else ', ').join(found.cells)}"]
    lines += [f"forced: {one}" for one in unlike]
    lines += [f"the machine was short, nothing is decided there: {one}" for one in found.short]
    lines.append(f"numbers: {totals or 'none in both'}; verdicts that turned: {len(found.turns)}")
    parts = ["\n".join(table.fit_sentence(line, width) for line in lines)]
    if shown:
        head = ("number", *(("build",) if several else ()), "CPUs", "base", "new", "change", "interval", "")
        parts.append(table.fit_table(head, [_row(one, several=several) for one in shown], width))
        parts.append(
            table.fit_sentence(
                f"interval: of the change, so wide that in 98 of 100 comparisons none of {len(found.pairs)} numbers is"
                " called changed that is not (Holm); a change counts when it lies wholly beyond"
                f" {100 * found.tolerance:g} %, for a time or a rate also in units of what one process did meanwhile",
                width,
            )
        )
    parts += [
        table.fit_sentence(
            f"{one.claim} at {one.cell}{f' on {one.build}' if several else ''}: {one.base.verdict}, now"
            f" {one.new.verdict}"
            f"{' (a surprise)' if one.new.surprise else ''}: {one.new.reason}",
            width,
        )
        for one in found.turns
    ]
    sys.stdout.write("\n\n".join(parts) + "\n")


def _row(one: Pair, *, several: bool) -> tuple[str, ...]:
    from lab.text import units

    return (
        one.name,
        *((one.build,) if several else ()),
        one.cell,
        units.quantity(one.base.value, one.unit),
        units.quantity(one.new.value, one.unit),
        _percent(one.ratio.value),
        f"{_percent(one.ratio.low)} to {_percent(one.ratio.high)}",
        one.change.value,
    )


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %" if ratio < 10 else f"×{ratio:.3g}"
