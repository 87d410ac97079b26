"""What an image sets, and what of that a cell keeps."""

from __future__ import annotations

from typing import Any

import pytest

from lab.containers.image_config import NOBODY, ImageSettings, familiar_name, refuse_emulation
from lab.errors import ImageError

FULL: dict[str, Any] = {
    "Architecture": "amd64",
    "Config": {
        "User": "app",
        "Entrypoint": ["/entry.sh", "--serve"],
        "Cmd": ["python3"],
        "Env": [
            "PATH=/opt/bin:/usr/bin",
            "PYTHON_VERSION=3.13.5",
            "PYTHON_GIL=1",
            "PYTHONUNBUFFERED=1",
            "LD_PRELOAD=/usr/lib/libjemalloc.so=2",
            "MALLOC_ARENA_MAX=2",
            "LANG=C.UTF-8",
        ],
    },
}


def test_what_the_engine_says_is_read_also_where_it_says_nothing() -> None:
    settings = ImageSettings.of(FULL)
    assert settings.folders == ("/opt/bin", "/usr/bin")
    assert settings.users == (NOBODY, "app", "0:0")
    empty = ImageSettings.of({"Config": {"Env": None, "Entrypoint": None, "Cmd": None, "User": ""}})
    assert empty == ImageSettings.of({})
    assert "/usr/local/bin" in empty.folders
    assert empty.users == (NOBODY, "0:0")


def test_what_is_ignored_and_what_is_kept_are_told_apart() -> None:
    settings = ImageSettings.of(FULL)
    assert settings.details("/opt/bin/python3", NOBODY) == {
        "interpreter": "/opt/bin/python3",
        "user": NOBODY,
        "entrypoint": ["/entry.sh", "--serve"],
        "image_user": "app",
        "ignored": {"PYTHONUNBUFFERED": "1", "PYTHON_GIL": "1"},
        "kept": {"LD_PRELOAD": "/usr/lib/libjemalloc.so=2", "MALLOC_ARENA_MAX": "2"},
    }


def test_one_line_says_what_is_replaced_ignored_and_kept() -> None:
    assert ImageSettings.of(FULL).note("mine", "python3", NOBODY) == (
        "the image mine: replaced: entry point /entry.sh by python3, user app by 65534:65534; ignored, since Python"
        " runs isolated (-I): PYTHON_GIL; kept, and may change times or memory: LD_PRELOAD, MALLOC_ARENA_MAX"
    )


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"Cmd": ["python3"], "User": "65534:65534"},
        {"Env": ["PYTHONDONTWRITEBYTECODE=1", "PYTHON_SHA256=0", "LANG=C"]},
        {"Entrypoint": ["python3"]},
    ],
    ids=["nothing", "ours", "what nearly every image has", "the same program"],
)
def test_nothing_is_said_where_nothing_is_lost(config: dict[str, Any]) -> None:
    assert ImageSettings.of({"Config": config}).note("mine", "python3", NOBODY) is None


def test_a_user_that_is_taken_over_is_not_said_to_be_replaced() -> None:
    line = ImageSettings.of({"Config": {"User": "app"}}).note("mine", "/home/app/python3", "app")
    assert line == "the image mine: cells run as user app, since 65534:65534 may not start its Python"


@pytest.mark.parametrize(
    ("image", "machine"),
    [("amd64", "x86_64"), ("386", "x86_64"), ("", "x86_64"), ("arm64", "aarch64"), ("s390x", "")],
)
def test_what_runs_natively_is_not_refused(image: str, machine: str) -> None:
    refuse_emulation("mine", image, machine)


@pytest.mark.parametrize(("image", "machine"), [("arm64", "x86_64"), ("aarch64", "x86_64"), ("x86_64", "aarch64")])
def test_what_would_be_emulated_is_refused_whoever_names_its_architecture(image: str, machine: str) -> None:
    with pytest.raises(ImageError, match=r"the image mine is for \w+64, and the engine's machine is \w+64: emulated"):
        refuse_emulation("mine", image, machine)


@pytest.mark.parametrize(
    ("listed", "familiar"),
    [
        ("localhost/multicore-lab-base:3.13", "multicore-lab-base:3.13"),
        ("docker.io/library/python:3.13-slim", "python:3.13-slim"),
        ("docker.io/someone/image:1", "someone/image:1"),
        ("multicore-lab-base:3.13", "multicore-lab-base:3.13"),
        ("localhost:5000/python:3.13-slim", "localhost:5000/python:3.13-slim"),
        ("registry.example/docker.io/library/python:3", "registry.example/docker.io/library/python:3"),
    ],
)
def test_an_image_has_one_name_whichever_engine_lists_it(listed: str, familiar: str) -> None:
    assert familiar_name(listed) == familiar
