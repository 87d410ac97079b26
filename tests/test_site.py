"""The site: it is built strictly, and what a reader sees of it without a network."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SITE = ROOT / "build" / "site"


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the site, built from this tree."""
    built = subprocess.run([sys.executable, "-m", "website"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return SITE


@pytest.mark.browser
def test_the_site_needs_no_network_searches_and_fits_a_phone(site: Path, browser: Browser) -> None:
    with without_network(browser, scripts=False) as page:
        for path in sorted({*site.rglob("*.html")} - {site / "404.html"}):  # which only a server shows
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            source = ROOT / path.relative_to(site).with_suffix(".md")
            if source.exists():  # a code host makes the same lists and tables of it
                html = MarkdownIt("commonmark").enable("table").render(source.read_text("utf-8"))
                for tag in ("h2", "li", "tr", "ul"):
                    assert page.locator(f"article {tag}").count() == html.count(f"<{tag}>"), (tag, source)
        page.goto((site / "docs" / "design.html").as_uri())
        assert page.locator(".diagram svg").count() == 2
    with without_network(browser) as page:
        page.goto((site / "index.html").as_uri())
        page.locator("label[for=__search]:visible").click()
        page.get_by_role("combobox").fill("quota")
        page.get_by_role("option", name="Quotas: two experiments").click()
        page.wait_for_url("**/docs/quota.html?h=quota")


@contextlib.contextmanager
def without_network(browser: Browser, *, scripts: bool = True) -> Iterator[Page]:
    """A page on a phone without a network. In the end it has asked for nothing but files, and complained of nothing."""
    asked: list[str] = []
    complaints: list[str] = []
    with browser.new_context(
        viewport={"width": 390, "height": 844}, offline=True, java_script_enabled=scripts
    ) as context:
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []
