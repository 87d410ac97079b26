"""``lab run``: plan, run, judge, print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lab.commands import _hosts, _measuring, _options, _requests, _resume, _submit
from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.model.fail_on import FailurePolicy
    from lab.planning.request import Request

HELP = "run experiments with 1, 2, 4 and all CPUs, judge their claims, print the answer"
EXAMPLE = """\
examples:
  lab run                                all but the extra experiments
  lab run all                            the extra experiments too
  lab run pool --transcript              one experiment, with its story
  lab run gil --cpus 2 --engine local    without an engine
  lab run pool --quota 0.5,1.5           under a quota instead of a CPU set
  lab run --python 3.9 --python 3.13t    on several Pythons; see lab images
  lab run --image myapp:latest           in an image of your own
  lab run --engine slurm --time 30       on a node of a cluster
  lab run --engine slurm --submit        the same as a batch job
  lab run --host big --host ssh://me@arm  on two other machines at once
  lab run gil pool --predict             first say what you expect
  lab run --full                         all tables, not the one screen
  lab run --format json > session.json   for programs; also junit, csv, pyperf
  lab run --fail-on never                only a run that failed is a failure
  lab run gil --expect gil.no-speedup=refuted    that is right here
  lab run --resume                       the missing cells of a killed run
  lab run --resume --force               the same, on another engine or image

lab list names the experiments.

exit codes: 0 the run had no surprise; 1 a surprise, or a verdict that
  --fail-on, --strict or --expect names; 2 wrong usage; 3 a cell or the engine
  failed; 130 interrupted"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    _options.add_plan_options(parser)
    _options.add_format_option(parser)
    parser.add_argument("--transcript", action="store_true", help="first print the story: who ran, where and when")
    parser.add_argument(
        "--predict", action="store_true", help="first ask what you expect, then show it beside the measurements"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep the session in a folder below DIR")
    _options.add_level_options(parser)
    _resume.add_resume_options(parser)
    _submit.add_submit_option(parser)
    _options.add_failure_options(parser)


@_resume.passing_over
def run(options: argparse.Namespace) -> int:
    """Plan, run, judge and print; return the exit code."""
    policy = _options.failure_policy(options)
    if options.submit:
        return _submit.run(options, new_request)
    if _hosts.are_several(options):
        return _hosts.run(options, lambda options: _check(options, new_request(options), policy), policy)
    request, start = _measuring.new_or_resumed(options, configure, "experiments", new_request)
    _check(options, request, policy)
    return _measuring.measure_and_report(options, request, start, policy)


def new_request(options: argparse.Namespace) -> Request:
    """The request of the command line. Raises UsageError."""
    request = _requests.request_from(options)
    if options.predict:
        from lab.teaching import prompt

        prompt.check_predictable(request.experiments)
    return request


def _check(options: argparse.Namespace, request: Request, policy: FailurePolicy) -> None:
    """Raise UsageError where the report, or what the user expects, is about what no experiment of this run measures."""
    _check_format(options.format, request)
    if policy.expected:
        from lab.planning.expected import check_planned

        check_planned(policy.expected, _options.claim_ids(), request.experiments)


def _check_format(name: str, request: Request) -> None:
    """Raise UsageError where a format reports what no experiment of this run measures."""
    from lab import reports

    if name == "hyperfine":
        raise UsageError("--format hyperfine reports what a command took", "run it with lab exec")
    missing = frozenset() if request.target else reports.needs(name) - {*request.experiments}
    if missing:
        raise UsageError(
            f"--format {name} reports what {', '.join(sorted(missing))} measures; name that experiment too"
        )
