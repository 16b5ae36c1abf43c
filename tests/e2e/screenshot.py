"""A picture of the dashboard as it runs: `python -m tests.e2e.screenshot [URL] [FILE]`."""

import asyncio
import sys
from pathlib import Path

from playwright.async_api import expect

from tests.e2e.chromium import chromium, find_chromium

DEFAULT_URL = "http://127.0.0.1:8420"
DEFAULT_FILE = Path(__file__).parents[2] / "docs" / "images" / "dashboard.png"
SIZE = {"width": 1360, "height": 850}
SCALE = 1.5
ROWS = 8
WITHIN_MS = 60_000


async def take(executable: str, url: str, file: Path) -> None:
    """Waits until the page is live and has something to show."""
    async with chromium(executable) as browser:
        context = await browser.new_context(
            viewport={"width": SIZE["width"], "height": SIZE["height"]}, device_scale_factor=SCALE, color_scheme="light"
        )
        page = await context.new_page()
        await page.goto(url)
        await expect(page.locator("#link")).to_have_attribute("data-state", "live", timeout=WITHIN_MS)
        await expect(page.locator(".row").nth(ROWS)).to_be_visible(timeout=WITHIN_MS)
        await expect(page.locator(".stage[data-flows=true]").first).to_be_visible(timeout=WITHIN_MS)
        await page.screenshot(path=file)


def main() -> None:
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium on the PATH: on Debian, apt-get install chromium")
    url = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_URL
    file = Path(sys.argv[2]) if len(sys.argv) > 2 else DEFAULT_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(executable, url, file))
    sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main()
