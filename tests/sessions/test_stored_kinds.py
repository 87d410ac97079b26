"""Sessions of every kind, as the previous version of the lab stored them: this version can do everything with them."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import reports
from lab.containers.client import image_names
from lab.model.cell import Status
from lab.model.session import Session
from lab.sessions import loading, resuming
from tests.conftest import skip_or_fail
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

STORED = Path(__file__).parents[1] / "data" / "stored"
KINDS = sorted(path.name for path in STORED.iterdir())
SEALED = [kind for kind in KINDS if kind != "cut"]

#: How many cells each kind of session has.
CELLS = {
    "builds": 6,
    "cut": 2,
    "docker": 3,
    "extra": 2,
    "local": 2,
    "merged": 8,
    "predicted": 1,
    "quota": 2,
    "replayed": 2,
}

every_kind = pytest.mark.parametrize("kind", KINDS)
every_sealed_kind = pytest.mark.parametrize("kind", SEALED)


def folder_of(kind: str) -> Path:
    (folder,) = (STORED / kind).iterdir()
    return folder


@functools.cache
def loaded(kind: str) -> Session:
    """The session, loaded once for all tests of a process."""
    return loading.load_session(folder_of(kind))


def copy_of(kind: str, parent: Path) -> Path:
    """A copy of the session that a test may write to."""
    return Path(shutil.copytree(folder_of(kind), parent / folder_of(kind).name))


@every_kind
def test_it_is_loaded_with_its_cells(kind: str) -> None:
    session = loaded(kind)
    assert session.id == folder_of(kind).name
    assert len(session.results) == CELLS[kind]
    assert session.judgements


@every_sealed_kind
def test_its_cells_and_verdicts_are_those_of_its_report(kind: str) -> None:
    report = loading.manifest(folder_of(kind))["report"]
    document = json.loads(json.dumps(reports.document(loaded(kind))))
    assert document["cells"] == report["cells"]
    verdicts = {(verdict["claim"], verdict["cell"]): verdict["verdict"] for verdict in document["verdicts"]}
    for verdict in report["verdicts"]:
        assert verdicts[verdict["claim"], verdict["cell"]] == verdict["verdict"]


@every_kind
@pytest.mark.parametrize("form", reports.format_names())
def test_it_is_reported_in_every_format(kind: str, form: str) -> None:
    assert reports.render(loaded(kind), form).strip()


@every_kind
def test_compared_with_itself_it_has_no_regression(kind: str, lab: Lab) -> None:
    code, out, err = lab("compare", str(folder_of(kind)), str(folder_of(kind)), "--format", "json")
    assert code == 0, err
    assert json.loads(out)


@every_sealed_kind
def test_it_is_verified_as_it_was_sealed(kind: str, lab: Lab) -> None:
    code, out, _ = lab("verify", str(folder_of(kind)))
    assert code == 0
    assert "as it was sealed" in out


def test_the_one_that_was_killed_is_read_as_far_as_it_goes(lab: Lab) -> None:
    session = loading.load_session(folder_of("cut"))
    assert [result.status for result in session.results] == [Status.MEASURED, Status.ERROR]
    assert "never sealed" in lab("verify", str(folder_of("cut")))[1]


@pytest.mark.parametrize(
    ("first", "second", "cells"),
    [("docker", "quota", 5), ("builds", "replayed", 8), ("predicted", "quota", 3)],
)
def test_it_is_merged_with_another(first: str, second: str, cells: int, lab: Lab, tmp_path: Path) -> None:
    code, _, err = lab("merge", str(folder_of(first)), str(folder_of(second)), "--output", str(tmp_path))
    assert code == 0, err
    (folder,) = tmp_path.iterdir()
    assert len(loading.load_session(folder).results) == cells
    assert lab("verify", str(folder))[0] == 0


def test_a_cell_that_both_sessions_have_is_not_merged(lab: Lab, tmp_path: Path) -> None:
    code, _, err = lab("merge", str(folder_of("quota")), str(folder_of("replayed")), "--output", str(tmp_path))
    assert code == 2
    assert "leave one of them out" in " ".join(err.split())


def test_the_one_that_was_killed_is_taken_up(tmp_path: Path) -> None:
    past = resuming.take_up(copy_of("cut", tmp_path), tmp_path)
    assert set(past.kept) == {"cpu1"}
    assert [cell.id for cell in past.cells] == ["cpu1", "cpu2"]


def needs_image(kind: str, engine: DockerClient) -> None:
    """Skip, or fail under CI, where the engine does not have the session's image."""
    stored = loading.load_session(folder_of(kind)).machine.image
    if stored not in {name for name, _ in image_names(engine)}:
        skip_or_fail(f"the image {stored} is not on the engine; make it with docker/debian-base 3.13")


@pytest.mark.engine
def test_the_one_that_was_killed_is_resumed_to_its_end(lab: Lab, engine: DockerClient, tmp_path: Path) -> None:
    needs_image("cut", engine)
    folder = copy_of("cut", tmp_path)
    code, _, err = lab("run", "--resume", str(folder), "--force", "--fail-on", "never")
    assert code == 0, err
    assert [result.status for result in loading.load_session(folder).results] == [Status.MEASURED] * 2
    assert lab("verify", str(folder))[0] == 0


@pytest.mark.engine
def test_one_is_replayed(lab: Lab, engine: DockerClient, tmp_path: Path) -> None:
    needs_image("predicted", engine)
    code, _, err = lab("replay", str(folder_of("predicted")), "--output", str(tmp_path))
    assert code in (0, 1), err  # on a busy machine a verdict may differ
    (folder,) = tmp_path.iterdir()
    session = loading.load_session(folder)
    assert [result.cell.id for result in session.results] == ["cpu2"]
    assert lab("verify", str(folder))[0] == 0
