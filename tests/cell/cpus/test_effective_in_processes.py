"""``lab cpus`` in real processes, whose limits, namespaces and mounts the kernel has set."""

from __future__ import annotations

import os

import pytest

from tests.support.process_settings import SETTINGS, ProcessSetting, ask, impossible, wrong

pytestmark = pytest.mark.slow


def test_there_are_at_least_forty_settings() -> None:
    assert len({setting.words for setting in SETTINGS}) == len(SETTINGS) >= 40


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.words)
def test_effective_cpus_are_right_in_a_process(setting: ProcessSetting) -> None:
    if why := impossible():
        pytest.skip(why)
    assert wrong(setting, ask(setting), len(os.sched_getaffinity(0))) == []
