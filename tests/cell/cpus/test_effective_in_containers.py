"""``lab cpus`` in real containers, whose limits the engine has set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.containers.client import image_names
from tests.conftest import skip_or_fail
from tests.support.docker_settings import SETTINGS, Setting, ask, no_limited_parent, wrong

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine


def test_there_are_at_least_twelve_settings() -> None:
    assert len(SETTINGS) >= 12
    assert any(setting.parent for setting in SETTINGS)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.words)
def test_effective_cpus_are_right_in_a_container(engine: DockerClient, setting: Setting) -> None:
    tags = {name for name, _ in image_names(engine)}
    if setting.image not in tags:
        skip_or_fail(f"there is no image {setting.image}; make it with docker/debian-base {setting.version}")
    if setting.parent and (why := no_limited_parent(engine)):
        pytest.skip(why)
    document = ask(engine, setting)
    assert wrong(setting, document, engine.info()["NCPU"]) == []
    if setting.parent and setting.hidden and document["rate_cpus"] > 1:
        assert document["hidden_limit"]
        assert "hidden outside of this namespace" in document["explanation"]
