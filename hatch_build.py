"""Hatchling's hooks: what is built carries ``lab/release.json``, which ``lab.release`` reads, and links that work.

A source distribution hands its file on to the wheels that are made from it, where there is no git. From the environment
come ``LAB_REGISTRY``, the registry of the release's images, ``LAB_HOME``, the address of its repository, and
``LAB_SITE``, that of its site.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class ReleaseHook(BuildHookInterface):  # type: ignore[type-arg] # its configuration is not used
    """Adds the file with the facts of a release to what is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the facts that are known into a file of the build."""
        target = f"lab/{_source(self.root)['FILE']}"
        facts = _facts(self.root)
        if version != "editable" and facts and not Path(self.root, target).exists():
            self._folder = tempfile.TemporaryDirectory()
            file = Path(self._folder.name, "facts.json")
            file.write_text(json.dumps(facts, sort_keys=True) + "\n", encoding="utf-8")
            build_data["force_include"][str(file)] = target

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the file, which is in the archive now."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


class ReadmeHook(MetadataHookInterface):
    """Lets the links of the README lead to the repository, because an index shows the README alone."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the description, and the address of the repository where it is known."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        home = _facts(self.root).get("home")
        if home:
            version = re.findall(
                r'^__version__ = "(.*)"$', Path(self.root, "lab/__init__.py").read_text("utf-8"), re.M
            )[0]
            text = re.sub(r"(!\[[^]]*\]\()(?!\w+:)", rf"\g<1>{home}/raw/v{version}/", text)
            text = re.sub(r"(?<!!)(\[[^]]*\]\()(?!\w+:|#)", rf"\g<1>{home}/blob/v{version}/", text)
            site = _facts(self.root).get("site") or f"{home}/tree/v{version}/docs"
            metadata["urls"] = {
                "Documentation": site,
                "Source": home,
                "Changelog": f"{home}/blob/v{version}/CHANGELOG.md",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def _source(root: str) -> dict[str, Any]:
    """What ``lab/release.py`` defines."""
    return runpy.run_path(str(Path(root, "lab", "release.py")))


def _facts(root: str) -> dict[str, str]:
    """The facts that a source distribution brings along, else those of this checkout and environment."""
    release = _source(root)
    file = Path(root, "lab", release["FILE"])
    if file.exists():
        brought: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        return brought
    facts = {
        "commit": release["commit_of"](root),
        "home": os.environ.get("LAB_HOME", ""),
        "registry": os.environ.get("LAB_REGISTRY", ""),
        "site": os.environ.get("LAB_SITE", ""),
    }
    return {name: value for name, value in facts.items() if value}
