"""``lab compare``: compare two sessions number by number, with intervals; exit with 1 on a regression."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import UsageError
from lab.messages import columns, ended, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.cell.claims.estimates import Estimate
    from lab.judging.comparison import Comparison, Pair
    from lab.judging.differences import Difference
    from lab.model.session import Session

HELP = "compare two sessions, number by number, and say what got worse beyond a tolerance"
EXAMPLE = """\
examples:
  lab compare BASE NEW                  compare the sessions in two folders
  lab compare BASE NEW --tolerance 10   ignore changes of up to ten per cent
  lab compare BASE NEW --force          compare two builds, or two machines

exit codes: 0 nothing got worse; 1 a number got worse by more than the
  tolerance, or a verdict has become a surprise; 2 a folder is not a session,
  or the sessions have nothing in common, or their machines or builds differ"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("base", type=Path, metavar="BASE", help="the session to compare with")
    parser.add_argument("new", type=Path, metavar="NEW", help="the session to judge")
    parser.add_argument(
        "--tolerance", type=float, default=5.0, metavar="PERCENT", help="ignore changes up to this size (default: 5)"
    )
    parser.add_argument("--force", action="store_true", help="compare even if the machines or builds differ")
    parser.add_argument("--all", action="store_true", help="also show the numbers that are alike or undecided")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="what to print (default: table)")


def run(options: argparse.Namespace) -> int:
    """Read both sessions, print the comparison, and return the exit code."""
    from lab.sessions import loading

    if not (0 <= options.tolerance < 1000 and math.isfinite(options.tolerance)):
        raise UsageError(
            f"--tolerance {options.tolerance:g} is out of range; give per cent from 0 to less than 1000, such as 5"
        )
    folders = [loading.find_session(path) for path in (options.base, options.new)]
    with loading.making_sense_of(*folders):
        return _compare(options, *map(loading.load_session, folders))


def _compare(options: argparse.Namespace, base: Session, new: Session) -> int:
    """Compare the sessions, print the comparison, and return the exit code."""
    import json

    from lab.judging import comparison, differences

    unlike = differences.session_differences(base, new)
    if unlike and not options.force:
        raise UsageError(
            f"{base.id} and {new.id} were not measured on the same machine and builds: {'; '.join(map(str, unlike))};"
            " use --force to compare them nevertheless"
        )
    result = comparison.compare(base, new, options.tolerance / 100)
    if not result.cells or not (result.pairs or _claims_in_common(base, new)):
        raise UsageError(f"there is nothing to compare: {base.id} has {_content(base)}; {new.id} has {_content(new)}")
    if options.format == "json":
        show(json.dumps(_document(base, new, unlike, result), indent=2))
    else:
        _print(base, new, unlike, result, everything=options.all)
    return ended(int(result.regressed), f"{new.id} got worse than {base.id}")


def _claims_in_common(base: Session, new: Session) -> bool:
    base_claims, new_claims = (
        {judgement.claim for judgement in session.judgements if judgement.verdict.decisive} for session in (base, new)
    )
    return bool(base_claims & new_claims)


def _content(session: Session) -> str:
    """The experiments and measured cells of a session, in words."""
    from lab.cell.experiments import shown
    from lab.model.cell import Status

    cells = [result.cell.id for result in session.results if result.status is Status.MEASURED]
    names = ", ".join(shown(name) for name in session.arguments["experiments"])
    return f"{names} in {', '.join(cells) or 'no measured cell'}"


def _document(base: Session, new: Session, unlike: Sequence[Difference], comparison: Comparison) -> dict[str, Any]:
    import dataclasses

    return {
        "base": base.id,
        "new": new.id,
        "tolerance": comparison.tolerance,
        "confidence": comparison.confidence,
        "regressed": comparison.regressed,
        "short": list(comparison.short),
        "unlike": [dataclasses.asdict(difference) for difference in unlike],
        "numbers": [
            {
                "name": pair.name,
                "cell": pair.cell,
                "build": pair.build,
                "unit": pair.unit,
                "base": pair.base.value,
                "new": pair.new.value,
                "confidence": pair.confidence,
                "ratio": _interval(pair.ratio),
                "ratio_at_speed": _interval(pair.at_speed) if pair.at_speed else None,
                "change": pair.change.value,
            }
            for pair in comparison.pairs
        ],
        "verdicts": [
            {
                "claim": change.claim,
                "cell": change.cell,
                "build": change.build,
                "base": change.base.verdict.value,
                "new": change.new.verdict.value,
                "regression": change.regression,
            }
            for change in comparison.verdict_changes
        ],
    }


def _interval(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _print(
    base: Session, new: Session, unlike: Sequence[Difference], comparison: Comparison, *, everything: bool
) -> None:
    from lab.judging.comparison import NumberChange
    from lab.text import table

    width = columns()
    counts = {kind: sum(pair.change is kind for pair in comparison.pairs) for kind in NumberChange}
    totals = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    quiet = () if everything else (NumberChange.ALIKE, NumberChange.UNDECIDED)
    shown = [pair for pair in comparison.pairs if pair.change not in quiet]
    several = len(comparison.builds) > 1
    lines = [f"{new.id} against {base.id}, cells {('; ' if several else ', ').join(comparison.cells)}"]
    lines += [f"forced: {difference}" for difference in unlike]
    lines += [f"the machine gave too few CPUs, so nothing is decided there: {cell}" for cell in comparison.short]
    lines.append(f"numbers: {totals or 'none in both'}; verdicts that changed: {len(comparison.verdict_changes)}")
    parts = ["\n".join(table.fit_sentence(line, width) for line in lines)]
    if shown:
        head = ("number", *(("build",) if several else ()), "CPUs", "base", "new", "change", "interval", "")
        parts.append(table.fit_table(head, [_row(pair, several=several) for pair in shown], width))
        parts.append(
            table.fit_sentence(
                f"interval: confidence interval of the change, corrected for {len(comparison.pairs)} comparisons"
                " (Holm): at most 2 of 100 comparisons of equal sessions report a false change. A change counts only if"
                f" its whole interval is beyond {100 * comparison.tolerance:g} %. Times and rates must also pass in"
                " units of the speed of one process in the same rounds",
                width,
            )
        )
    parts += [
        table.fit_sentence(
            f"{change.claim} at {change.cell}{f' on {change.build}' if several else ''}: {change.base.verdict}, now"
            f" {change.new.verdict}"
            f"{' (a surprise)' if change.new.surprise else ''}: {change.new.reason}",
            width,
        )
        for change in comparison.verdict_changes
    ]
    show("\n\n".join(parts))


def _row(pair: Pair, *, several: bool) -> tuple[str, ...]:
    from lab.text import units

    return (
        pair.name,
        *((pair.build,) if several else ()),
        pair.cell,
        units.quantity(pair.base.value, pair.unit),
        units.quantity(pair.new.value, pair.unit),
        _percent(pair.ratio.value),
        f"{_percent(pair.ratio.low)} to {_percent(pair.ratio.high)}",
        pair.change.value,
    )


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %" if ratio < 10 else f"×{ratio:.3g}"
