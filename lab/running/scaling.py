"""``lab.scale()``: the measurement of ``lab scale`` as a function, for programs and notebooks."""

from __future__ import annotations

import contextlib
import html
import inspect
import operator
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.engines.temporary import TemporaryFolder
from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.cell.claims.estimates import Estimate
    from lab.cell.targets.case import Case
    from lab.model.session import Session
    from lab.planning.targets import Target


@dataclass(frozen=True, kw_only=True)
class Row:
    """Workers of one kind in one cell."""

    #: The label of the cell: ``2 CPUs``, with the build before it where several were measured.
    cell: str
    #: The name of the workers: ``1 worker``, ``2 threads``, ``2 processes (fork)``.
    workers: str
    #: Calls (or items) per second, with a 95 % interval; ``None``: too few undisturbed rounds.
    rate: Estimate | None
    #: Calls per second over those of one worker, paired in each round; ``None`` for one worker, or if not known.
    speed_up: Estimate | None
    #: CPU seconds per second; ``None``: not known.
    cores: Estimate | None
    #: Calls per second of the other environment over those of this one; ``None`` where nothing is compared.
    ratio: Estimate | None = None
    #: The function, with the values of its parameters: ``work:parse, n=1000``.
    case: str = ""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Something that explains the numbers."""

    #: The cause in a sentence.
    statement: str
    #: The evidence for it.
    evidence: str
    #: What to do about it; empty: nothing.
    advice: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Scaling:
    """What ``lab.scale()`` has found."""

    #: What was measured, in each cell.
    rows: tuple[Row, ...]
    #: The advice for the largest cell, in one sentence; of several functions or parameters, for the last one.
    advice: str
    #: ``thread``, ``fork``, ``forkserver``, ``spawn``, ``interpreter``, or ``none`` for a plain loop; ``None``: not
    #: decided.
    executor: str | None
    #: How many workers to take; ``None``: not decided.
    workers: int | None
    #: The advice as code to paste; empty: not decided.
    code: str
    #: The causes that were found in the largest cell, for the function of the advice.
    causes: tuple[Cause, ...]
    #: The session, with everything else.
    session: Session

    def to_dict(self) -> dict[str, Any]:
        """The document that ``lab scale --format json`` prints."""
        from lab.sessions.document import document

        return document(self.session)

    def __repr__(self) -> str:
        return f"<Scaling of {len(self.rows)} rows. {self.advice}>"

    def _repr_html_(self) -> str:
        """A table, the advice and the causes, for a notebook."""
        several = len({row.case for row in self.rows}) > 1
        columns = {
            **({"function": [row.case for row in self.rows]} if several else {}),
            "cell": [row.cell for row in self.rows],
            "workers": [row.workers for row in self.rows],
            "calls/s": [_shown(row.rate) for row in self.rows],
            "speed-up": [_shown(row.speed_up) for row in self.rows],
            "cores used": [_shown(row.cores) for row in self.rows],
        }
        if any(row.ratio for row in self.rows):
            columns["other / this"] = [_shown(row.ratio) for row in self.rows]
        head = "".join(f"<th>{name}</th>" for name in columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in texts) + "</tr>"
            for texts in zip(*columns.values(), strict=True)
        )
        causes = "".join(f"<li>{html.escape(f'{cause.statement} ({cause.evidence})')}</li>" for cause in self.causes)
        code = f"<pre>{html.escape(self.code)}</pre>" if self.code else ""
        advice = html.escape(self.advice)
        return f"<table><tr>{head}</tr>{rows}</table><p><b>{advice}</b></p>{code}<ul>{causes}</ul>"


def _shown(estimate: Estimate | None) -> str:
    from lab.text import units

    if estimate is None:
        return "-"
    interval = f"{units.quantity(estimate.low, '')} to {units.quantity(estimate.high, '')}"
    return f"{units.quantity(estimate.value, '')} ({interval})"


def scale(
    function: Callable[..., object] | str,
    *,
    setup: str = "",
    items: str = "",
    chunks: Sequence[int] = (),
    against: str | Path = "",
    params: Mapping[str, Sequence[Any]] | None = None,
    state: str = "both",
    only: str = "",
    cpus: str = "all",
    quota: str | None = None,
    python: Sequence[str] = (),
    engine: str = "local",
    image: str | None = None,
    project: str | Path | None = None,
    level: str = "quick",
    seed: int = 1,
    output: str | Path | None = None,
) -> Scaling:
    """Measure a function in every kind of worker, and advise which to take.

    ``function`` is a function that a module or the running script defines, or a target as the command line has it. The
    other arguments are the options of ``lab scale``. ``only`` names the only workers beside one worker alone, as tables
    do: ``2 threads``. Without ``output`` the session is not kept. Nothing is printed.

    Raises UsageError where the target cannot be measured (a function of a notebook: write it into a file), and
    EngineError where the engine cannot run a cell.
    """
    from lab.interrupts import StopFlag
    from lab.planning.request import AGAINST_LEVELS, SCALE_LEVELS, Request
    from lab.running.measurement import NewRun, measure
    from lab.sessions.folder import new_session_id

    case, folder = _case(function, setup, state, project)
    case = case._replace(items=items, chunks=list(chunks), only=only)
    if level not in SCALE_LEVELS:
        raise UsageError(f"level {level!r} is not known", f"take one of {', '.join(SCALE_LEVELS)}")
    seconds, width = (AGAINST_LEVELS if against else SCALE_LEVELS)[level]
    request = Request(
        experiments=(),
        seconds=seconds,
        width=width,
        level=level,
        cpus=cpus,
        quota=quota,
        engine=engine,
        image=image,
        pythons=tuple(python),
        seed=seed,
        target=_target(case, folder, params or {}, str(against), engine),
    )
    began = time.time()
    with _kept_in(output) as parent, _quiet():
        start = NewRun(session_id=new_session_id(began), began=began, parent=parent, origin={})
        session, _ = measure(request, start, StopFlag(), lambda: None)
    return result_of(session)


def _target(case: Case, folder: Path, params: Mapping[str, Sequence[Any]], against: str, engine: str) -> Target:
    from lab.planning.targets import Target, check_combined
    from lab.running.own_code import code_of, compared

    check_combined(case, params)
    case, other = compared(case, against, engine, folder) if against else (case, "")
    return Target(case=case, params=params, project=str(folder), other=other, code=code_of(case, folder))


def result_of(session: Session) -> Scaling:
    """The typed result of a session of own code."""
    from lab.judging.advice import largest, measured_rows
    from lab.model.session import Verdict

    advice = largest(session)[-1] if largest(session) else None
    causes = tuple(
        Cause(statement=judgement.statement, evidence=judgement.reason, advice=judgement.advice)
        for judgement in session.judgements
        if advice
        and judgement.cell == advice.cell
        and judgement.verdict is Verdict.CONFIRMED
        and judgement.claim.rpartition(".")[0] == advice.case.experiment
    )
    option = advice.option if advice else None
    rows = tuple(
        Row(
            cell=cell,
            workers=workers,
            rate=numbers.get("calls/s"),
            speed_up=numbers.get("speed-up"),
            cores=numbers.get("cores used"),
            ratio=numbers.get("other / this"),
            case=case,
        )
        for case, cell, workers, numbers in measured_rows(session)
    )
    return Scaling(
        rows=rows,
        advice=advice.sentence if advice else _without_advice(rows),
        executor=None if option is None else option.executor or "none",
        workers=None if option is None else option.workers,
        code=advice.code if advice else "",
        causes=causes,
        session=session,
    )


def _without_advice(rows: Sequence[Row]) -> str:
    """What a session says that has no advice: how two environments differ, or that nothing was measured."""
    told = [
        f"{row.workers}: the other does {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) times the calls"
        for row in rows
        if (ratio := row.ratio)
    ]
    if told:
        return f"Advice: none, because two environments were compared. {'; '.join(told)}."
    return "Advice: not decided; no cell was measured."


@contextlib.contextmanager
def _kept_in(output: str | Path | None) -> Iterator[Path]:
    """The folder to keep the session in; without one it is kept in a folder that is removed."""
    if output is not None:
        yield Path(output)
        return
    with TemporaryFolder() as folder:
        yield Path(folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is written to the standard streams."""
    with contextlib.redirect_stderr(_Nothing()), contextlib.redirect_stdout(_Nothing()):
        yield


class _Nothing:
    """A stream that takes everything and keeps nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return None

    def isatty(self) -> bool:
        return False


def _case(
    function: Callable[..., object] | str, setup: str, state: str, project: str | Path | None
) -> tuple[Case, Path]:
    """The case that a function or a target is, and the folder of its project."""
    from lab.cell.targets.case import FILE, MODULE, Case
    from lab.planning.targets import parse_target
    from lab.running.own_code import located

    if isinstance(function, str):
        return located(parse_target([function], setup, state, is_statement=False), project)
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not name:
        raise UsageError(
            f"lab.scale() was given an object of type {type(function).__name__}, which has no name to import it by",
            "give it a function that calls the object, or a target as text: 'package.module:function'",
        )
    if "<" in name:
        raise UsageError(
            f"{name} is a lambda, or is defined inside a function, so workers cannot import it",
            "define it with def at the top of its module",
        )
    script = getattr(sys.modules["__main__"], "__file__", None)
    if (module == "__main__" and not script) or not module:
        raise UsageError(
            f"{name or function!r} is defined in __main__, which workers do not have",
            "write it into a file (in a notebook: %%writefile work.py), import it from there, and measure that",
        )
    _check_found(function, module, name)
    if script and module == "__main__":
        case = Case(label=f"{Path(script).name}:{name}", source=FILE, where=script, name=name, setup=setup, state=state)
        return located(case, project)
    case = Case(label=f"{module}:{name}", source=MODULE, where=module, name=name, setup=setup, state=state)
    return case, Path(project or _root_of(module))


def _check_found(function: Callable[..., object], module: str, name: str) -> None:
    """Raise UsageError where workers, who import a function by its name, would find another object."""
    try:
        found = operator.attrgetter(name)(sys.modules[module])
    except (KeyError, AttributeError):
        found = None
    # Whoever asks a class for its class method gets a new object each time, which is equal.
    if found is not function and not (inspect.ismethod(function) and found == function):
        raise UsageError(
            f"lab.scale() was given another object than {name} of {module}, which workers would import: it is a wrapper"
            " of that one, or a method of an object",
            "give it a function at the top of a module that calls the object, or a target as text:"
            " 'package.module:function'",
        )


def _root_of(module: str) -> Path:
    """The folder from which a module was imported; the current folder for one of Python's own."""
    file = getattr(sys.modules[module], "__file__", None)
    if not file or module.partition(".")[0] in sys.stdlib_module_names:
        return Path.cwd()
    levels = module.count(".") + (Path(file).name == "__init__.py")
    return Path(file).resolve().parents[levels]
