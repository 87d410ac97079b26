"""The hook of the build: wheels and source distributions carry ``lab/release.json``, which ``lab.release`` reads.

A source distribution hands its file on to the wheels that are made from it, where there is no git.
"""

from __future__ import annotations

import json
import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ReleaseHook(BuildHookInterface):  # type: ignore[type-arg] # its configuration is not used
    """Adds the commit, and the registry that LAB_REGISTRY names, to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the facts that are known into a file of the build."""
        release = runpy.run_path(str(Path(self.root, "lab", "release.py")))
        target = f"lab/{release['FILE']}"
        if version == "editable" or Path(self.root, target).exists():
            return
        facts = {"commit": release["commit_of"](self.root), "registry": os.environ.get("LAB_REGISTRY", "")}
        known = {name: value for name, value in facts.items() if value}
        if known:
            self._folder = tempfile.TemporaryDirectory()
            file = Path(self._folder.name, release["FILE"])
            file.write_text(json.dumps(known, sort_keys=True) + "\n", encoding="utf-8")
            build_data["force_include"][str(file)] = target

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the file, which is in the archive now."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()
