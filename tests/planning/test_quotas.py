"""Quotas: what can be asked for, which cells come of it, and that they are real."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab.cell.cpus import cpulist
from lab.engines import cell_containers, make
from lab.errors import UsageError
from lab.judging import proofs, status
from lab.judging.records import Reader, read_records
from lab.model.cell import Cell, CellResult, Limit, Outcome, Status
from lab.planning import cells as planner
from lab.planning import quotas
from lab.planning.request import Request
from lab.text import names
from tests.support import cells, scripts
from tests.support.machines import simulated

if TYPE_CHECKING:
    from docker import DockerClient


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0.5,1.5", (0.5, 1.5), id="two"),
        pytest.param(" 2 , none", (2.0, None), id="with blanks, and none"),
        pytest.param(".25", (0.25,), id="without a nought"),
        pytest.param("1.333333", (1.33333,), id="to a microsecond in a period"),
    ],
)
def test_quotas_are_numbers_of_cpus(text: str, expected: tuple[float | None, ...]) -> None:
    assert quotas.parse_quotas(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "names no quota", id="empty"),
        pytest.param("1,,2", "names no quota", id="an empty one"),
        pytest.param("two", "'two' is not a number of CPUs", id="a word"),
        pytest.param("nan", "'nan' is not a number of CPUs", id="not a number"),
        pytest.param("inf", "'inf' is not a number", id="no end"),
        pytest.param("1e3", "'1e3' is not a number", id="an exponent"),
        pytest.param("0", "0 CPUs is too little; the kernel accepts no less than 0.01", id="nought"),
        pytest.param("-1", "-1 CPUs is too little", id="negative"),
        pytest.param("0.001", "too little", id="less than the kernel takes"),
        pytest.param("1.5,1.50", "names 1.50 twice", id="twice"),
        pytest.param("none,none", "names none twice", id="none twice"),
    ],
)
def test_a_quota_that_cannot_be_is_refused_with_the_next_step(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(complaint)) as caught:
        quotas.parse_quotas(text)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


ONE, TWO = planner.plan([1, 2], (0, 1))
FOUR = planner.plan([4], (0, 1))[0]


def test_each_size_runs_under_each_quota() -> None:
    cells = quotas.under_quotas([ONE, TWO], (None, 0.5), False, None)
    assert [(cell.id, cell.label, cell.quota_cpus, cell.cpus) for cell in cells] == [
        ("cpu1", "1", None, (0,)),
        ("cpu1-q0.5", "1, quota 0.5", 0.5, (0,)),
        ("cpu2", "2", None, (0, 1)),
        ("cpu2-q0.5", "2, quota 0.5", 0.5, (0, 1)),
    ]
    assert all(cell.pinned for cell in cells)


def test_a_quota_alone_is_named_by_itself_and_pins_nothing() -> None:
    (cell,) = quotas.under_quotas([TWO], (1.5,), True, None)
    assert (cell.id, cell.label, cell.cpus, cell.pinned) == ("q1.5", "quota 1.5", (0, 1), False)
    assert "cpuset_cpus" not in cell_containers.settings(cell)
    assert names.full_words(cell) == "quota 1.5"


def test_a_quota_alone_keeps_a_cpu_set_where_it_has_to_leave_out_isolated_cpus() -> None:
    request = Request(experiments=("pipe",), seconds=1.0, width=0.1, quota="1.5")
    for isolated, name, cpus, pinned in (((6, 7), "cpu6-q1.5", "0-5", True), ((), "q1.5", "0-7", False)):
        machine = replace(scripts.machine(8), topology=replace(simulated(8), isolated=isolated))
        (cell,) = request.cells(machine)
        assert (cell.id, cpulist.render(cell.cpus), cell.pinned) == (name, cpus, pinned)
        assert cell_containers.settings(cell).get("cpuset_cpus") == (cpus if pinned else None)


@pytest.mark.parametrize(
    ("cell", "quota", "refusal", "reason"),
    [
        pytest.param(ONE, 1.5, None, "a quota of 1.5 CPUs limits nothing on 1 CPU", id="more than one CPU"),
        pytest.param(
            TWO, 4, None, "a quota of 4 CPUs limits nothing here: the cell has 2 CPUs", id="more than there are"
        ),
        pytest.param(TWO, 0.5, "no quotas here", "no quotas here", id="an engine that cannot"),
        pytest.param(FOUR, 0.5, "no quotas here", "needs 4 CPUs, this machine has 2", id="a size that is not there"),
    ],
)
def test_a_cell_whose_quota_would_prove_nothing_is_not_run(
    cell: Cell, quota: float, refusal: str | None, reason: str
) -> None:
    (under,) = quotas.under_quotas([cell], (quota,), False, refusal)
    assert (under.available, under.reason, under.cpus) == (False, reason, ())


def test_the_quota_of_every_cpu_of_a_cell_is_run_although_it_stops_little() -> None:
    (cell,) = quotas.under_quotas([TWO], (2,), False, None)
    assert cell.available


def ran(asked: float | None, engine_quota: float | None, seen: tuple[float, ...]) -> CellResult:
    """A cell that asked for this quota; what the engine says it set, and what the control groups had."""
    level = {"quota_us": 0, "period_us": 100000, "throttled_periods": 0, "throttled_seconds": 0.0, "folder": "/"}
    proof = {**scripts.proof((0, 1)), "quotas": [{**level, "quota_cpus": quota} for quota in seen]}
    reader = Reader()
    reader.records = read_records(scripts.stream("cell", (0, 1))).records
    start, end = reader.records[0], reader.records[-1]
    reader.records = [
        start._replace(data={**start.data, "proof": proof}),
        end._replace(data={**end.data, "proof": proof}),
    ]
    cell = replace(TWO, id="cell", limit=Limit(cpus=2, quota_cpus=asked))
    return status.conclude(cell, reader, Outcome(exit_code=0, outside={"cpuset": "0-1", "quota_cpus": engine_quota}))


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        pytest.param(ran(1.5, 1.5, (1.5,)), None, id="as asked for"),
        pytest.param(ran(1.33333, 1.33333, (1.33333, 4.0)), None, id="a wider one further up"),
        pytest.param(ran(1.5, None, (1.5,)), "asked for a quota of 1.5 CPUs, the engine says it set none", id="unset"),
        pytest.param(ran(1.5, 1.5, ()), "asked for a quota of 1.5 CPUs, the control groups have none", id="unseen"),
        pytest.param(ran(1.5, 1.5, (1.5, 0.5)), "the control groups have 0.5", id="a tighter one further up"),
        pytest.param(ran(None, None, (0.5,)), None, id="one that was not asked for is no taint: R shows it"),
    ],
)
def test_a_quota_that_is_not_the_one_asked_for_taints_the_cell(result: CellResult, reason: str | None) -> None:
    taints = proofs.taints(result)
    assert any(reason in taint for taint in taints) if reason else taints == ()


@pytest.mark.engine
@pytest.mark.parametrize("quota", [0.5, 1.5])
@pytest.mark.parametrize("alone", [False, True], ids=["with a CPU set", "alone"])
def test_a_real_quota_is_proven_from_inside_and_from_outside(engine: DockerClient, quota: float, alone: bool) -> None:
    session = f"quota-{secrets.token_hex(4)}"
    used = make("docker", session=session)
    try:
        machine = used.probe()
        if quota > len(machine.cpus):
            pytest.skip(f"a quota of {quota} limits nothing on {len(machine.cpus)} CPU")
        (cell,) = quotas.under_quotas(planner.plan([planner.ALL], machine.cpus), (quota,), alone, machine.no_quota)
        result = cells.run_on(used, cells.order(cell, "process", session=session))
    finally:
        used.close()
    assert (result.status, result.reason) == (Status.MEASURED, None)
    assert result.outcome
    assert result.outcome.outside["quota_cpus"] == quota
    assert proofs.rate(result.proof) == quota
    assert result.pinned_by == ("none" if alone else "engine")
