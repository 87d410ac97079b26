"""The tutorial's pictures, from the stored run in Docker: ``python -m website.pictures`` takes them again."""

from __future__ import annotations

import html
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from lab import reports
from lab.sessions import loading
from website.repository import ROOT

_WIDTH = 760

_TERMINAL = """<body style="margin: 0"><pre style="margin: 0; padding: 16px 20px; background: #16161d; color: #dcd7ba;
font: 14px/1.45 monospace"><span style="color: #98bb6c">$</span> lab run
{}</pre>"""


def main() -> None:
    """Write the pictures into ``docs``. Raises SystemExit where there is no Chromium."""
    session = loading.load_session(next((ROOT / "tests" / "data" / "stored" / "docker").iterdir()))
    chromium = shutil.which("chromium") or sys.exit("there is no chromium; .ci/setup-browser installs it on Debian")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": _WIDTH, "height": 400}, color_scheme="light")
        screen, report = Path(folder) / "screen.html", Path(folder) / "report.html"
        screen.write_text(_TERMINAL.format(html.escape(reports.render(session, "screen"))), encoding="utf-8")
        page.goto(screen.as_uri())
        page.locator("pre").screenshot(path=ROOT / "docs" / "tutorial-run.png")
        report.write_text(reports.render(session, "html"), encoding="utf-8")
        page.goto(report.as_uri())
        page.locator("#chart-speed-up").screenshot(path=ROOT / "docs" / "tutorial-charts.png")
        browser.close()


if __name__ == "__main__":
    main()
