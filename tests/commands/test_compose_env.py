"""``lab compose-env``: the settings that fit Compose to this engine; no engine needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.commands import compose_env
from lab.containers import client as lab_containers
from lab.containers.image_config import OFFICIAL_IMAGE
from lab.errors import EngineError
from tests.support.terminal import Lab


class TestComposeEnv:
    @pytest.mark.parametrize(
        ("cpus", "lines"),
        [
            pytest.param(
                (0, 1),
                ["1=0", "2=0-1", "# needs 4 CPUs, this machine has 2", "4=", "ALL=0-1"],
                id="two CPUs",
            ),
            pytest.param(
                (0,),
                [
                    "1=0",
                    "# needs 2 CPUs, this machine has 1",
                    "2=",
                    "# needs 4 CPUs, this machine has 1",
                    "4=",
                    "ALL=0",
                ],
                id="one CPU",
            ),
            pytest.param((2, 3, 6, 7, 9), ["1=2", "2=2-3", "4=2-3,6-7", "ALL=2-3,6-7,9"], id="ids with gaps"),
        ],
    )
    def test_each_service_gets_cpus_that_are_there(self, cpus: tuple[int, ...], lines: list[str]) -> None:
        first, *rest = compose_env.cpuset_lines(cpus)
        assert first.startswith("#")
        assert [line.removeprefix("LAB_CPUSET_") for line in rest] == lines

    @pytest.mark.parametrize(
        ("images", "base"),
        [
            pytest.param([], None, id="nothing there"),
            pytest.param([OFFICIAL_IMAGE, "multicore-lab-base:3.13"], None, id="the official image is there"),
            pytest.param(["multicore-lab-base:3.14", "multicore-lab-base:3.13"], "multicore-lab-base:3.13", id="ours"),
            pytest.param(["multicore-lab-base:3.14", "multicore-lab-base:3.9"], "multicore-lab-base:3.14", id="others"),
            pytest.param(["multicore-lab-base:3.9"], None, id="too old for the report"),
        ],
    )
    def test_our_own_base_image_stands_in_for_the_official_one(self, images: list[str], base: str | None) -> None:
        lines = [line for line in compose_env.base_lines(images) if not line.startswith("#")]
        assert lines == ([f"LAB_BASE={base}"] if base else [])

    def test_certificates_that_are_trusted_here_are_handed_to_the_build(self, tmp_path: Path) -> None:
        bundle = tmp_path / "ca.crt"
        bundle.touch()
        comment, line = compose_env.certificate_lines({"SSL_CERT_FILE": str(bundle)})
        assert comment.startswith("# SSL_CERT_FILE")
        assert line == f"LAB_CA_BUNDLE='{bundle}'"

    def test_certificates_that_are_not_there_are_left_out(self, tmp_path: Path) -> None:
        assert compose_env.certificate_lines({}) == []
        assert compose_env.certificate_lines({"PIP_CERT": str(tmp_path / "missing")}) == []

    @pytest.mark.slow
    def test_without_an_engine_nothing_is_printed_and_the_exit_code_is_3(
        self, monkeypatch: pytest.MonkeyPatch, lab: Lab
    ) -> None:
        def no_engine() -> None:
            raise EngineError("no Docker engine answers")

        monkeypatch.setattr(lab_containers, "client_for_this_environment", no_engine)
        assert lab("compose-env") == (3, "", "lab: no Docker engine answers\n")
