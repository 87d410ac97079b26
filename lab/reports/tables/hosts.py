"""The hosts of a session beside each other: what differs between them. Pure."""

from __future__ import annotations

from lab.model.host import Host
from lab.model.session import Session
from lab.text import units
from lab.text.table import Table

_NOTE = "Only what differs is shown. A clock is compared with that of the machine that the lab ran on."


def host_tables(session: Session) -> tuple[Table, ...]:
    """A table with a column for each host, and a row for each fact in which they differ; none without hosts."""
    hosts = session.hosts
    if not hosts:
        return ()
    names = dict.fromkeys(name for host in hosts for name in host.facts)
    facts = [(name, *(host.facts.get(name, "-") for host in hosts)) for name in names]
    facts += [("clock", *map(_clock, hosts)), ("session", *(host.session or "-" for host in hosts))]
    rows = tuple(row for row in facts if len({*row[1:]} - {"-"}) > 1)
    notes = (_NOTE, *(f"{host.name}: {host.reason}" for host in hosts if host.reason))
    return (Table(title="Hosts", head=("", *(host.name for host in hosts)), rows=rows, notes=notes),)


def words(session: Session) -> str:
    """Each host of a session with its number of CPUs: ``big (64 CPUs), arm (no result)``."""
    return ", ".join(f"{host.name} ({units.cpus(host.cpus) if host.cpus else 'no result'})" for host in session.hosts)


def several(session: Session) -> tuple[str, str]:
    """How many hosts a session has, and each of them in words; else how many sessions, and the machines of their cells.

    Both are empty where the cells name no machine, because the session has only one.
    """
    if session.hosts:
        return units.counted(len(session.hosts), "host"), words(session)
    machines = list(dict.fromkeys(result.cell.machine for result in session.results if result.cell.machine))
    if not machines:
        return "", ""
    return units.counted(len(session.arguments.get("merged") or machines), "session"), ", ".join(machines)


def have_same_image(session: Session) -> bool:
    """Whether all hosts have the image that the machine of the session has."""
    return len({host.facts.get("image") for host in session.hosts if host.facts}) < 2


def _clock(host: Host) -> str:
    if host.clock_seconds is None:
        return "-"
    if abs(host.clock_seconds) < 1:
        return "right"
    return f"{units.seconds(abs(host.clock_seconds))} {'ahead' if host.clock_seconds > 0 else 'behind'}"
