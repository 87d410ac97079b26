"""Workers that are kept: what is said of one that could not begin, has ended, or gives no answer."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable

import pytest

from lab.cell.measuring.processes import WorkerLostError, Workers


def answers(what: str) -> Callable[[object], object]:
    if what == "nothing":
        raise ImportError("no module\nof that name")
    return lambda asked: os._exit(7) if asked == "end" else asked


def test_one_that_cannot_begin_says_why_and_the_others_answer() -> None:
    with Workers() as workers:
        for what in ("all", "nothing"):
            workers.start(multiprocessing.get_context("fork"), answers, what)
        good, bad = workers.pipes
        for pipe in workers.pipes:
            workers.ask(pipe, 5)
        assert workers.answer(good, 10) == 5
        with pytest.raises(WorkerLostError, match=r"^ImportError: no module of that name$") as caught:
            workers.answer(bad, 10)
        assert caught.value.place == 1


def test_one_that_has_ended_is_found_out_when_it_should_answer() -> None:
    with Workers() as workers:
        workers.start(multiprocessing.get_context("fork"), answers, "all")
        (pipe,) = workers.pipes
        for question in ("end", "again", "again"):
            workers.ask(pipe, question)
        with pytest.raises(WorkerLostError, match=r"^its process ended with exit status 7$"):
            workers.answer(pipe, 10)
