"""From what the user asked for to cases: every ``bench_*`` and ``time_*`` of a file, and every set of parameters."""

from __future__ import annotations

import collections
import inspect
import itertools
from typing import Any, Iterator, Mapping, Sequence

from lab.cell.targets import asv
from lab.cell.targets.calling import sources_of
from lab.cell.targets.case import STATEMENT, Case
from lab.cell.targets.importing import TargetError, attribute, import_module


def cases(wanted: Case, params: Mapping[str, Sequence[Any]]) -> list[Case]:
    """The cases that are meant by a target and its parameters. Raises TargetError where there is none."""
    if wanted.source == STATEMENT:
        found = [wanted]
    elif wanted.name:
        found = list(_named(wanted, import_module(wanted)))
    else:
        found = list(_in_module(wanted, import_module(wanted)))
        if not found:
            raise TargetError(
                "%s has neither a function bench_* nor a benchmark time_*; name a function: %s:FUNCTION"
                % (wanted.label, wanted.label)
            )
    if not found:
        raise TargetError(
            "%s has params without a value, so there is nothing to call; give one at least" % wanted.label
        )
    return _told_apart([_with(case, chosen) for case in found for chosen in _combinations(params)])


def _told_apart(found: Sequence[Case]) -> list[Case]:
    """The same cases. Values that look alike, such as 1 and "1", get a number, because a label names one case."""
    seen: collections.Counter[str] = collections.Counter()
    cases = []
    for case in found:
        seen[case.label] += 1
        again = seen[case.label]
        cases.append(case if again == 1 else case._replace(label="%s (%d)" % (case.label, again)))
    return cases


def _named(wanted: Case, module: Any) -> Iterator[Case]:
    """The cases of the function, or of the method, that the user has named."""
    owner, _, method = wanted.name.rpartition(".")
    thing = attribute(module, owner) if owner else None
    if inspect.isclass(thing) and inspect.isfunction(inspect.getattr_static(thing, method, None)):
        return _of_method(wanted, module, thing, wanted.name, wanted.label)
    return _of_function(wanted, module, wanted.name, wanted.label)


def _in_module(wanted: Case, module: Any) -> Iterator[Case]:
    """Every benchmark that a module defines: those of asv with a public name, and functions ``bench_*``."""
    for name, thing in list(vars(module).items()):
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and not name.startswith("_"):
            for method in [] if inspect.isabstract(thing) else asv.methods(thing):
                full = "%s.%s" % (name, method)
                yield from _of_method(wanted, module, thing, full, "%s:%s" % (wanted.label, full))
        elif callable(thing) and (name.startswith("bench_") or _is_timed(name, thing)):
            yield from _of_function(wanted, module, name, "%s:%s" % (wanted.label, name))


def _is_timed(name: str, thing: Any) -> bool:
    """Whether asv would time it: it takes functions of Python alone, so not an imported ``time.time_ns``."""
    return name.startswith(asv.PREFIX) and inspect.isfunction(thing)


def _of_method(wanted: Case, module: Any, owner: type, name: str, label: str) -> Iterator[Case]:
    sources = (getattr(owner, name.rpartition(".")[2]), owner, module)
    return _parametrised(wanted._replace(name=name, is_method=True), sources, label)


def _of_function(wanted: Case, module: Any, name: str, label: str) -> Iterator[Case]:
    case = wanted._replace(name=name)
    return _parametrised(case, sources_of(case, module, attribute(module, name)), label)


def _parametrised(wanted: Case, sources: Sequence[Any], label: str) -> Iterator[Case]:
    """A case for each combination of asv's ``params``."""
    lists = asv.parameter_lists(sources)
    names = asv.parameter_names(sources, len(lists))
    for places in itertools.product(*[range(len(values)) for values in lists]):
        chosen = [values[place] for values, place in zip(lists, places)]
        shown = ", ".join("%s=%s" % pair for pair in zip(names, chosen))
        whole = "%s, %s" % (label, shown) if shown else label
        yield wanted._replace(label=whole, places=list(places))


def _combinations(params: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(params, values)) for values in itertools.product(*params.values())]


def _with(case: Case, chosen: Mapping[str, Any]) -> Case:
    if not chosen:
        return case
    shown = ", ".join("%s=%s" % pair for pair in chosen.items())
    return case._replace(label="%s, %s" % (case.label, shown), arguments={**case.arguments, **chosen})
