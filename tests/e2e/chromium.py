"""A real Chromium for tests: the machine's own, since a browser is nothing that pip brings."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REQUIRED = "PENSTOCK_REQUIRE_BROWSER"
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # It asks nobody on the network for anything but the page under test.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def chromium_or_skip() -> str:
    """Skips the test that asks, where there is no Chromium; fails it where one is required."""
    path = find_chromium()
    if path is None:
        why = f"no Chromium on the PATH (looked for {', '.join(NAMES)}): on Debian, apt-get install chromium"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{why}; {REQUIRED}=1 asks for it")
        pytest.skip(why)
    return path


@asynccontextmanager
async def chromium(path: str) -> AsyncIterator[Browser]:
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # its sandbox refuses root
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()
