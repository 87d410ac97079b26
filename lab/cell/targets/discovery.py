"""From what the user asked for to cases: every ``bench_*`` and ``time_*`` of a file, and every set of parameters."""

from __future__ import annotations

import inspect
import itertools
from typing import Any, Iterator, Mapping, Sequence

from lab.cell.targets.calling import TargetError, attribute, import_module, parameter_lists
from lab.cell.targets.case import STATEMENT, Case


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
    return [_with(case, chosen) for case in found for chosen in _combinations(params)]


def _named(wanted: Case, module: Any) -> Iterator[Case]:
    """The cases of the function, or of the method, that the user has named."""
    owner, _, method = wanted.name.rpartition(".")
    thing = attribute(module, owner) if owner else None
    if inspect.isclass(thing) and inspect.isfunction(inspect.getattr_static(thing, method, None)):
        return _parametrised(wanted, thing, wanted.name, wanted.label, is_method=True)
    return _parametrised(wanted, attribute(module, wanted.name), wanted.name, wanted.label, is_method=False)


def _in_module(wanted: Case, module: Any) -> Iterator[Case]:
    for name, thing in list(vars(module).items()):
        if inspect.isclass(thing) and thing.__module__ == module.__name__:
            for method in sorted(vars(thing)):
                if method.startswith("time_"):
                    full = "%s.%s" % (name, method)
                    yield from _parametrised(wanted, thing, full, "%s:%s" % (wanted.label, full), is_method=True)
        elif callable(thing) and name.startswith(("bench_", "time_")):
            yield from _parametrised(wanted, thing, name, "%s:%s" % (wanted.label, name), is_method=False)


def _parametrised(wanted: Case, owner: Any, name: str, label: str, is_method: bool) -> Iterator[Case]:
    """A case for each combination of asv's ``params``."""
    lists = parameter_lists(owner)
    names = getattr(owner, "param_names", None) or ["param%d" % number for number in range(1, len(lists) + 1)]
    for places in itertools.product(*[range(len(values)) for values in lists]):
        chosen = [values[place] for values, place in zip(lists, places)]
        shown = ", ".join("%s=%s" % pair for pair in zip(names, chosen))
        whole = "%s, %s" % (label, shown) if shown else label
        yield wanted._replace(label=whole, name=name, places=list(places), is_method=is_method)


def _combinations(params: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(params, values)) for values in itertools.product(*params.values())]


def _with(case: Case, chosen: Mapping[str, Any]) -> Case:
    if not chosen:
        return case
    shown = ", ".join("%s=%s" % pair for pair in chosen.items())
    return case._replace(label="%s, %s" % (case.label, shown), arguments={**case.arguments, **chosen})
