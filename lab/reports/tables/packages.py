"""Which packages the user's own function had loaded when it was measured, with their versions. Pure."""

from __future__ import annotations

from lab.judging import advice
from lab.judging.verdicts import evidence_of
from lab.model.session import Session
from lab.reports.tables import columns
from lab.text.table import Table


def package_tables(session: Session) -> tuple[Table, ...]:
    """A table with a row for each package and a column for each build; none where nothing was loaded."""
    versions = {
        (package, "", result.cell.build): version
        for experiment in advice.case_names(session)
        for result in session.results
        for loaded in evidence_of(experiment, result).all("packages")
        for package, version in dict(loaded).items()
    }
    in_order = dict(sorted(versions.items()))
    if not columns.has_builds(session):
        rows = tuple((package, version) for (package, _, _), version in in_order.items())
        table = Table(title="Packages that were loaded", head=("package", "version"), rows=rows)
        return (table,) if rows else ()
    return tuple(columns.build_tables(session, "Packages that were loaded", in_order, ("package", "")))
