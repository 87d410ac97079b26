"""The words that start a lent Python, from what it said of its own place."""

from __future__ import annotations

import json

import pytest

from lab.errors import ImageError
from lab.pythons.lent import _words

LIBC = "/usr/lib/x86_64-linux-gnu/libc.so.6"
LOADER = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"


def test_a_lent_python_is_started_by_its_own_loader_with_its_own_libraries() -> None:
    said = json.dumps(["/usr/local/bin/python3.13", LIBC, LOADER, "/usr/local/lib/libpython3.13.so.1.0"]).encode()
    assert _words("base", said) == (
        "/.multicore-lab/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "--library-path",
        "/.multicore-lab/lib/x86_64-linux-gnu:/.multicore-lab/local/lib",
        "/.multicore-lab/local/bin/python3.13",
    )


def test_a_loader_of_musl_is_one_too() -> None:
    said = json.dumps(["/usr/bin/python3", "/usr/lib/ld-musl-x86_64.so.1"]).encode()
    assert _words("base", said)[0] == "/.multicore-lab/lib/ld-musl-x86_64.so.1"


@pytest.mark.parametrize(
    "said", [b"", b"sh: python3: not found", json.dumps(["/opt/python3", LOADER]).encode(), b'["/usr/bin/python3"]']
)
def test_a_python_that_cannot_be_moved_is_told(said: bytes) -> None:
    with pytest.raises(ImageError, match=r"lab images build 3\.13"):
        _words("base", said)
