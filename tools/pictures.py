"""Renews the pictures of the documents: runs batchops on its sandbox and photographs its pages.

    python -m tools.pictures

Needs Chromium (Debian: apt-get install chromium). It follows docs/tutorial.md step by step, and
stops with an error where a step no longer works as written there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

BASE: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = BASE / "docs" / "pictures"
STARTED: Final = "Ctrl-C ends it."
PATIENCE: Final = 60_000
"""Milliseconds that a change may take on a busy machine."""
LARGEST: Final = 200 * 1024
"""Bytes of one picture."""


def main() -> None:
    """Write every picture. Exits with a message where a step fails or a picture is too large."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("Chromium is missing; install it with: apt-get install chromium")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _batchops(Path(folder)) as address:
        passwords = _passwords(Path(folder))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=program, args=["--no-sandbox", "--disable-gpu"]
            )
            _operator(_signed_in(browser, address, "operator", passwords))
            _approver(_signed_in(browser, address, "approver", passwords))
            _auditor(_signed_in(browser, address, "auditor", passwords))
            browser.close()
    large = [path.name for path in FOLDER.glob("*.png") if path.stat().st_size > LARGEST]
    if large:
        sys.exit(f"Larger than {LARGEST // 1024} KB: {', '.join(large)}")


def _operator(page: Page) -> None:
    page.get_by_role("link", name="Batches", exact=True).first.click()
    page.get_by_role("link", name="Live, not paused").click()
    for box in page.locator("tbody input.action-select").all()[1:4]:
        box.check()
    _photograph(page, "batches")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_label("Why").fill("wrong list uploaded")
    _photograph(page, "review")
    page.get_by_role("button", name="Confirm: Pause").click()
    _wait_for_end(page)
    _photograph(page, "change")
    page.get_by_role("button", name=re.compile("^Resume")).click()
    page.get_by_label("Why").fill("list corrected")
    page.get_by_role("button", name="Ask for approval").click()
    expect(page.locator("[data-headline]")).to_contain_text("approv")
    page.get_by_role("link", name="Home").click()
    _photograph(page, "overview", "Overview")


def _approver(page: Page) -> None:
    page.get_by_role("link", name=re.compile("resume", re.IGNORECASE)).first.click()
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    _photograph(page, "approval")
    page.get_by_role("button", name="Approve").click()
    _wait_for_end(page)


def _auditor(page: Page) -> None:
    page.get_by_role("link", name="Audit trail", exact=True).first.click()
    _photograph(page, "audit-trail", "Audit trail")


def _wait_for_end(page: Page) -> None:
    expect(page.locator("[data-headline]")).to_contain_text("3 of 3", timeout=PATIENCE)


def _photograph(page: Page, name: str, heading: str = "") -> None:
    """Photograph what the window shows, once the page has that heading."""
    expect(page.get_by_role("heading", level=1).first).to_contain_text(heading)
    page.screenshot(path=FOLDER / f"{name}.png")


def _signed_in(browser: Browser, address: str, name: str, passwords: dict[str, str]) -> Page:
    context = browser.new_context(
        viewport={"width": 1280, "height": 720},
        color_scheme="light",
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(passwords[name])
    page.get_by_role("button", name="Log in").click()
    return page


@contextlib.contextmanager
def _batchops(folder: Path) -> Iterator[str]:
    """Everything of batchops with fresh data; yields the address of its site."""
    port, sandbox_port = _free_port(), _free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ENV_FILE": os.devnull,
        "DATA_DIR": str(folder),
        "WEB_PORT": str(port),
        "SANDBOX_PORT": str(sandbox_port),
        "LOG_LEVEL": "WARNING",
        "APPROVAL_FOR": "expanding",
    }
    process = subprocess.Popen(
        [sys.executable, str(BASE / "manage.py"), "start"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101
        if not any(STARTED in line for line in process.stdout):
            sys.exit("batchops did not start.")
        yield f"http://localhost:{port}/"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE / 1000)


def _passwords(folder: Path) -> dict[str, str]:
    lines = (folder / "demo-passwords.txt").read_text().splitlines()
    return dict(line.split() for line in lines)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
