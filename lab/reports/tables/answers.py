"""The answer of a session in a few sentences: what Pool(), threads and processes did, and what was not tried. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.cell.claims.estimates import Estimate
from lab.judging import pool_sizes, proofs, speedups
from lab.judging.pool_sizes import PoolSize
from lab.model.cell import Cell, CellResult, Status
from lab.model.session import Judgement, Session, Verdict
from lab.reports.tables import columns, scale
from lab.reports.tables.highlights import is_cause
from lab.text import names, units

_C_CODE = " In C code that releases the GIL they {gain}: {{c_times}} times."


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a session says about one subject."""

    #: The subject: ``Pool()``, ``Threads``, ``Processes``, ``Not tried`` or ``Failed``.
    subject: str
    #: The answer as a number or a few words, for a tile; empty: the sentences say it all.
    figure: str
    #: The builds that behave alike, empty for all of them, with a text. Both go on from the subject, in this order.
    paragraphs: tuple[tuple[str, str], ...]
    #: Lines of code to paste; empty: none.
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """What the cells of one build say about one subject."""

    #: The answer for a tile.
    figure: str
    #: The sentences, with the names of ``numbers`` in braces. Builds with the same sentences behave alike.
    text: str
    #: The numbers of this build that may differ between builds that behave alike.
    numbers: Mapping[str, float] = field(default_factory=dict)


def answers(session: Session) -> tuple[Answer, ...]:
    """The answers of a session, each subject once. Several builds or machines share a sentence where they agree."""
    by_subject = (
        *_advice(session),
        _across(session, "Pool()", _pool),
        _across(session, "Threads", _threads),
        _across(session, "Processes", _processes),
        _not_tried(session),
        _failed(session),
    )
    return tuple(answer for answer in by_subject if answer)


def _advice(session: Session) -> list[Answer]:
    """What to take for each of the user's functions on each build, in the largest cell; none for experiments."""
    chosen = scale.placed(session)
    subjects = [", ".join(filter(None, (each.case, each.build and f"on {each.build}"))) for each in chosen]
    return [
        Answer(
            subject=subject,
            figure=each.advice.option.name if each.advice.option else "not decided",
            paragraphs=(("", each.advice.sentence),),
            code=each.advice.code,
        )
        for subject, each in zip(subjects, chosen, strict=True)
    ]


def _across(session: Session, subject: str, find: Callable[[Sequence[CellResult]], _Finding | None]) -> Answer | None:
    """What all builds of a session say about a subject. Builds that behave alike are named together."""
    build_names = columns.build_names(session)
    groups: dict[tuple[str, str], list[CellResult]] = {}
    for result in session.results:
        if result.status is Status.TAINTED:  # its limit was not what it was taken for
            continue
        groups.setdefault((result.cell.build, result.cell.machine), []).append(result)
    kinds: dict[str, list[tuple[str, _Finding]]] = {}
    for (build, machine), results in groups.items():
        finding = find(results)
        if finding:
            place = ", ".join(filter(None, (build_names[build] if build else "", machine)))
            kinds.setdefault(finding.text, []).append((place, finding))
    if not kinds:
        return None
    parts = []
    figures = []
    for alike in kinds.values():
        where = _listed([place for place, _ in alike])
        findings = [finding for _, finding in alike]
        last = findings[-1]
        ranges = {name: _range([finding.numbers[name] for finding in findings]) for name in last.numbers}
        parts.append(("" if len(kinds) == 1 or not where else f"on {where}", last.text.format_map(ranges)))
        figures.append(last.figure.format_map(ranges))
    return Answer(subject=subject, figure=" / ".join(dict.fromkeys(filter(None, figures))), paragraphs=tuple(parts))


def _range(values: Sequence[float]) -> str:
    """A number, or the smallest and the largest of several numbers."""
    low, high = (units.ratio(value) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _listed(words: Iterable[str]) -> str:
    *others, last = list(words) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def _pool(results: Sequence[CellResult]) -> _Finding | None:
    """How many workers ``Pool()`` started, and which number of CPUs this is."""
    sizes = [size for size in map(pool_sizes.pool_size, results) if size and size.workers is not None]
    if not sizes:
        return None
    workers = _listed(dict.fromkeys(f"{size.workers}" for size in sizes))
    figure = f"{workers} worker" + "s" * (workers != "1")
    telling = [size for size in sizes if size.cpu_count != size.affinity]
    return _Finding(figure=figure, text=_pool_source(sizes, telling) + _pool_quota(sizes))


def _pool_source(sizes: Sequence[PoolSize], telling: Sequence[PoolSize]) -> str:
    """Which number of CPUs ``Pool()`` goes by. ``telling`` are the cells in which the numbers differ."""
    largest = sizes[-1]
    counts_host = largest.asked == "os.cpu_count()"
    if telling and counts_host and all(size.workers == size.cpu_count for size in sizes):
        cell = telling[0]
        workers = _workers(cell.workers)
        return (
            f"starts {workers} whatever the CPU set, because it asks {largest.asked}, which says {cell.cpu_count}."
            f" A cell of {units.cpus(cell.affinity)} got {workers}."
        )
    if telling and not counts_host and all(size.workers == size.affinity for size in sizes):
        cell = telling[0]
        return (
            f"starts a worker for each CPU of the cell, because it asks {largest.asked}, which counts the CPU set."
            f" A cell of {units.cpus(cell.affinity)} got {_workers(cell.workers)}, though os.cpu_count() says"
            f" {cell.cpu_count}."
        )
    if not telling and all(size.workers == size.cpu_count for size in sizes):
        return (
            f"started {_workers(largest.workers)}, because it asks {largest.asked}. os.cpu_count() and the CPU set"
            f" both say {largest.cpu_count} here, so only a smaller cell could show which of them counts."
        )
    started = [f"{_workers(size.workers)} for {units.cpus(size.affinity)}" for size in sizes]
    return f"started {_listed(dict.fromkeys(started))}; os.cpu_count() says {largest.cpu_count}."


def _pool_quota(sizes: Sequence[PoolSize]) -> str:
    """A sentence for a cell whose quota allows fewer workers than ``Pool()`` started; else empty."""
    for size in sizes:
        if size.quota is not None and size.workers is not None and size.workers > math.ceil(size.quota):
            return f" A quota changes nothing: with a quota of {size.quota:g} CPUs it started {_workers(size.workers)}."
    return ""


def _workers(count: int | None) -> str:
    return units.counted(count or 0, "worker")


def _widest(results: Sequence[CellResult]) -> CellResult | None:
    """The cell that may use the most CPU time, if possible on several CPUs, of those that ran the gil experiment."""
    ran = [result for result in results if speedups.of_cell(result)]
    return max(ran, key=lambda result: (_cpus(result) > 1, proofs.rate(result.proof)), default=None)


def _cpus(result: CellResult) -> int:
    return len(result.proof.get("affinity", ()))


def _threads(results: Sequence[CellResult]) -> _Finding | None:
    """What threads gained, of Python code and of C code that releases the GIL."""
    result = _widest(results)
    if result is None:
        return None
    if _cpus(result) < 2:
        return _Finding(figure="not tried", text="could not be compared: that takes a cell of 2 CPUs.")
    (arm,) = (cores for cores in speedups.of_cell(result) if cores.arm == "threads")
    c_code = speedups.of_c_code(result)
    speed_up = arm.speed_up
    if speed_up is None:
        return _Finding(figure="?", text=f"running Python code cannot be judged: {_few(arm)}.")
    numbers = {"times": speed_up.value}
    work = f"{arm.workers} of them do {{times}} times the work of one"
    if arm.cores_used:
        numbers["cores"] = arm.cores_used.value
        work += ", using {cores} cores together"
    if speed_up.low > speedups.SECOND_CPU:
        text = f"running Python code gain: {work}."
    elif speed_up.high < speedups.SECOND_CPU:
        text = f"running Python code gain nothing: {work}."
    else:
        low, high = units.ratio(speed_up.low), units.ratio(speed_up.high)
        text = f"running Python code are undecided: {arm.workers} of them do {low} to {high} times the work of one."
    if c_code:
        numbers["c_times"] = c_code.value
    text += _c_code(c_code, gains=speed_up.low > speedups.SECOND_CPU)
    return _Finding(figure="× {times}", text=text, numbers=numbers)


def _c_code(speed_up: Estimate | None, *, gains: bool) -> str:
    """A sentence about threads in C code that releases the GIL; empty where it was not measured or is undecided.

    ``gains`` says whether threads of Python code gain too.
    """
    if speed_up is None:
        return ""
    if speed_up.low > speedups.SECOND_CPU:
        return " In C code too: {c_times} times." if gains else _C_CODE.format(gain="do gain")
    if speed_up.high < speedups.SECOND_CPU:
        return _C_CODE.format(gain="gain nothing here")
    return ""


def _processes(results: Sequence[CellResult]) -> _Finding | None:
    """What processes gained, beside what the machine delivered in the same rounds."""
    result = _widest(results)
    if result is None or _cpus(result) < 2:
        return None
    (arm,) = (cores for cores in speedups.of_cell(result) if cores.arm == "processes")
    delivered = speedups.capacity(result)
    if arm.speed_up is None or delivered is None:
        return _Finding(figure="?", text=f"cannot be judged: {_few(arm)}.")
    numbers = {"times": arm.speed_up.value, "probe": delivered.value}
    both = (
        f"{arm.workers} of them do {{times}} times the work of one; the machine delivered"
        " {probe} to processes pinned one to each CPU"
    )
    if delivered.high < speedups.SECOND_CPU:
        text = f"had nothing to gain: {both}."
    elif arm.speed_up.value >= speedups.FULL_SHARE * delivered.value:
        text = f"gain all they can: {both}."
    elif arm.speed_up.low > speedups.SECOND_CPU:
        text = f"gain, but less than they could: {both}."
    else:
        text = f"gain nothing that can be told from noise: {both}."
    return _Finding(figure="× {times}", text=text, numbers=numbers)


def _few(arm: speedups.Cores) -> str:
    """Why an arm has no speed-up: it had too few rounds, or too many rounds were disturbed."""
    if arm.accepted < arm.rounds:
        return f"too noisy, {arm.rounds - arm.accepted} of {arm.rounds} rounds were disturbed"
    return f"too few rounds ({arm.rounds})"


def _not_tried(session: Session) -> Answer | None:
    """The cells and the claims that were not tried, the reasons each once, and a quota where none was set."""
    cells = _cells_with(session, (Status.UNAVAILABLE, Status.PLANNED))
    tries = [*cells, *_left_out_by_quick(session), *_untestable(session), *_untried_quota(session)]
    return _plain_answer("Not tried", tries)


def _failed(session: Session) -> Answer | None:
    """The cells that went wrong, the reasons each once."""
    return _plain_answer("Failed", _cells_with(session, (Status.ERROR, Status.TAINTED)))


def _plain_answer(subject: str, sentences: Sequence[str]) -> Answer | None:
    paragraphs = tuple(("", sentence) for sentence in sentences)
    return Answer(subject=subject, figure="", paragraphs=paragraphs) if paragraphs else None


def _cells_with(session: Session, statuses: tuple[Status, ...]) -> list[str]:
    """A sentence for each reason why cells have one of these states."""
    by_reason: dict[str, list[Cell]] = {}
    for result in session.results:
        if result.status in statuses:
            by_reason.setdefault(_why_not(session, result), []).append(result.cell)
    return [f"{_places(session, cells)}: {reason}." for reason, cells in by_reason.items()]


def _left_out_by_quick(session: Session) -> list[str]:
    """A sentence for the cells that a quick run gave only some of its experiments."""
    if session.arguments.get("level") != "quick":
        return []
    cells: dict[tuple[str, ...], list[Cell]] = {}
    for result in session.results:
        if result.cell.experiments and result.status is Status.MEASURED:
            cells.setdefault(result.cell.experiments, []).append(result.cell)
    return [
        f"all experiments but {_listed(names)} in {_places(session, those)}: --quick runs them with the most CPUs only."
        for names, those in cells.items()
    ]


def _untestable(session: Session) -> list[str]:
    """A sentence for each reason why claims could not be tested in cells that ran."""
    silent = (Status.UNAVAILABLE, Status.TAINTED)
    cells = {result.cell.id: result.cell for result in session.results if result.status not in silent}
    by_reason: dict[str, list[Judgement]] = {}
    for judgement in session.judgements:
        if is_cause(judgement):  # a cause that cannot be there is no question
            continue
        if judgement.verdict is Verdict.UNTESTABLE and judgement.cell in cells:
            by_reason.setdefault(judgement.reason, []).append(judgement)
    sentences = []
    for reason, judgements in by_reason.items():
        claims = dict.fromkeys(judgement.claim for judgement in judgements)
        experiments = _listed(dict.fromkeys(claim.rpartition(".")[0] for claim in claims))
        where = _places(session, [cells[cell] for cell in dict.fromkeys(judgement.cell for judgement in judgements)])
        sentences.append(f"{units.counted(len(claims), 'claim')} of {experiments} in {where} ({reason}).")
    return sentences


def _untried_quota(session: Session) -> list[str]:
    """A sentence where ``Pool()`` ran without any quota, because a worker for each CPU may be too many under one."""
    results = [result for result in session.results if result.status is not Status.TAINTED]
    sizes = [size for size in map(pool_sizes.pool_size, results) if size and size.workers is not None]
    if not sizes or any(size.quota is not None for size in sizes):
        return []
    reason = session.machine.no_quota
    return [f"a quota ({reason})." if reason else "a quota of CPU time: lab run --quota 1.5 tries one."]


def _places(session: Session, cells: Iterable[Cell]) -> str:
    """Cells in words, with their builds if they are not those of all builds: ``a cell of 2 CPUs on 3.9``."""
    every_build = {result.cell.build for result in session.results}
    builds_of: dict[str, list[str]] = {}
    for cell in cells:
        builds_of.setdefault(names.plain_words(cell), []).append(cell.build)
    limits: dict[str, list[str]] = {}
    for limit, builds in builds_of.items():
        where = "" if {*builds} == every_build else f" on {_listed(builds)}"
        limits.setdefault(where, []).append(limit)
    return _listed(
        f"{'a cell' if len(same) == 1 else 'cells'} of {_listed(same)}{where}" for where, same in limits.items()
    )


def _why_not(session: Session, result: CellResult) -> str:
    """Why a cell was not measured."""
    machine = result.cell.machine
    # Of a machine that was joined, the session does not know the number of CPUs: its cell says why.
    cpus = {"": len(session.machine.cpus), **{host.name: host.cpus for host in session.hosts}}.get(machine)
    if result.status is Status.UNAVAILABLE and cpus is not None and result.cell.size > cpus:
        return f"{machine or 'this machine'} has {units.cpus(cpus)}"
    if result.status is Status.PLANNED:
        return "the run was interrupted" if session.interrupted else "the run was cut short"
    return result.reason or result.status.value
