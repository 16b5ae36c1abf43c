"""The dashboard in a real browser, on a real gateway: what a person would see."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from services.gateway.messages import public_event
from tests.conftest import RunningStack
from tests.e2e.chromium import chromium, chromium_or_skip
from tests.e2e.contrast import LEAST, contrasts
from tests.e2e.database import own_database
from tests.e2e.gateway_process import GatewayProcess, gateway
from tests.e2e.played import Played
from tests.e2e.scored import Record, ScoredTopic, make_topic, recorded, scored, sentiment
from tests.e2e.screenshot import SCALE, SIZE, take

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def executable() -> str:
    return chromium_or_skip()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(executable: str) -> AsyncIterator[Browser]:
    async with chromium(executable) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def topic(executable: str, stack: RunningStack) -> AsyncIterator[ScoredTopic]:
    made = await make_topic(stack)
    yield made
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(
    stack: RunningStack, topic: ScoredTopic, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[GatewayProcess]:
    """One gateway for all tests: a page begins at the newest event, so none sees what an earlier one sent."""
    async with (
        own_database(stack) as dsn,
        gateway(stack, tmp_path_factory.mktemp("gateway"), topic.name, postgres_dsn=dsn) as running,
    ):
        yield running


class Wrong(list[str]):
    """What a page must not do, as it happened."""

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.append(f"dialog: {dialog.message}"))
        page.on("console", lambda said: self.append(said.text) if "Content Security Policy" in said.text else None)


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, at: GatewayProcess) -> AsyncIterator[Page]:
    """The page, live; it fails the test if a script failed or the policy had to refuse something."""
    wrong = Wrong()
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    opened = await context.new_page()
    wrong.watch(opened)
    await opened.goto(at.url)
    await expect(opened.locator("#link")).to_have_attribute("data-state", "live")
    yield opened
    await context.close()
    assert not wrong


def titled(source: str, count: int) -> list[Record]:
    """Recorded events, with titles that tell them apart."""
    taken = itertools.islice(recorded(source), count)
    return [scored(event, title=f"{source} {number}: {event['title']}") for number, event in enumerate(taken)]


async def test_events_appear_live(page: Page, topic: ScoredTopic) -> None:
    await expect(page.locator("#empty")).to_be_visible()
    events = titled("wikipedia", 5)
    await topic.send(events)
    for event in events:
        await expect(page.locator(".row-title").get_by_text(event["title"], exact=True)).to_be_visible()
    await expect(page.locator("#empty")).to_be_hidden()
    await expect(page.locator("#seen")).to_have_text("5")


async def test_a_filter_shows_what_matches_and_nothing_else(page: Page, topic: ScoredTopic) -> None:
    await topic.send([*titled("github", 3), *titled("wikipedia", 3)])
    await expect(page.locator(".row")).to_have_count(6)
    await page.get_by_label("Source").select_option("github")
    await expect(page.locator("#clear")).to_be_visible()
    await expect(page.locator(".row")).to_have_count(0)
    await expect(page.locator("#empty-word")).to_have_text("Nothing that matches has come yet")
    await topic.send([*titled("wikipedia", 3), *titled("github", 4)])
    await expect(page.locator(".row")).to_have_count(4)
    assert set(await page.locator(".row-source").all_text_contents()) == {"github"}
    assert "source=github" in page.url
    await page.get_by_label("Text, title or author").fill("GITHUB 3")
    await expect(page.locator(".row")).to_have_count(0)
    await topic.send(titled("github", 5))
    await expect(page.locator(".row")).to_have_count(1)
    await page.locator("#clear").click()
    async with traffic(topic, titled("wikipedia", 2)):  # what is sent before the gateway has heard of it does not match
        await expect(page.locator(".row-source").get_by_text("wikipedia").first).to_be_visible()


@asynccontextmanager
async def traffic(topic: ScoredTopic, records: list[Record]) -> AsyncIterator[None]:
    """These events, again and again."""

    async def send() -> None:
        while True:
            await topic.send(records)

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_changing_the_filter_under_way_leaves_nothing_of_the_one_before(page: Page, topic: ScoredTopic) -> None:
    await topic.send(titled("weather", 1))  # so that it is there to be chosen
    async with traffic(topic, [*titled("wikipedia", 50), *titled("weather", 2)]):
        for _ in range(4):
            await expect(page.locator(".row-source").get_by_text("wikipedia").first).to_be_visible()
            await page.get_by_label("Source").select_option("weather")
            await expect(page.locator(".row-source").get_by_text("weather").first).to_be_visible()
            assert set(await page.locator(".row-source").all_text_contents()) == {"weather"}
            await page.locator("#clear").click()


async def test_the_picture_of_the_readme_can_be_taken(
    executable: str, topic: ScoredTopic, at: GatewayProcess, tmp_path: Path
) -> None:
    """`scripts/screenshot` waits for rows and a flow; what it takes is a picture of its size, and no blank one."""
    file = tmp_path / "dashboard.png"
    async with traffic(topic, [*titled("wikipedia", 20), *titled("github", 20)]):
        await take(executable, at.url, file)
    content = file.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    assert (width, height) == (SIZE["width"] * SCALE, SIZE["height"] * SCALE)
    assert len(content) > 100_000


async def test_what_still_comes_of_an_earlier_subscription_is_not_shown(browser: Browser, at: GatewayProcess) -> None:
    played = Played()
    context = await browser.new_context()
    edit, push = (public_event(titled(source, 1)[0], None) for source in ("wikipedia", "github"))
    try:
        page = await context.new_page()
        await played.stand_in(page)
        await page.goto(f"{at.url}#source=wikipedia")
        first = await played.asked()
        played.say_cursor(first)
        played.say(type="event", event=edit, partition=0, offset=1)
        await expect(page.locator(".row-source")).to_have_text(["wikipedia"])
        await page.locator("#clear").click()
        second = await played.asked()
        played.say(type="event", event=edit, partition=0, offset=2)
        played.say_cursor(first)
        played.say(type="event", event=edit, partition=0, offset=3)
        played.say_cursor(second)
        played.say(type="event", event=push, partition=0, offset=4)
        await expect(page.locator(".row-source")).to_have_text(["github"])
        await expect(page.locator("#seen")).to_have_text("2")
    finally:
        await context.close()


async def test_a_restart_of_the_gateway_is_survived_without_a_gap(
    page: Page, topic: ScoredTopic, at: GatewayProcess
) -> None:
    before, meanwhile, after = titled("github", 5), titled("wikipedia", 40), titled("weather", 5)
    await topic.send(before)
    await expect(page.locator("#seen")).to_have_text("5")
    await page.get_by_role("button", name="Pause").click()
    await at.stop(signal.SIGKILL)
    await expect(page.locator("#link")).to_have_attribute("data-state", "reconnecting")
    await expect(page.locator("#notice")).to_contain_text("No connection to the gateway")
    await topic.send(meanwhile)
    await at.start()
    await expect(page.locator("#link")).to_have_attribute("data-state", "live")
    await topic.send(after)
    await expect(page.locator("#seen")).to_have_text("50")
    await expect(page.locator("#missed")).to_have_text("0")
    await page.get_by_role("button", name="Go on").first.click()
    await expect(page.locator(".row")).to_have_count(50)
    shown = set(await page.locator(".row-title").all_text_contents())
    assert shown == {event["title"] for event in (*before, *meanwhile, *after)}


async def test_hostile_text_is_shown_as_text_and_does_not_run(page: Page, topic: ScoredTopic) -> None:
    script = "<script>window.pwned = 1</script>"
    image = '<img src=x onerror="window.pwned = 2">'
    event = scored(
        next(recorded("github")),
        title=script,
        text=f"{image} \u202e txet",
        author=f'">{image}',
        url="javascript:window.pwned=3",
        attributes={image: script},
        measures={script: 1.0},
    )
    await topic.send([event])
    await expect(page.locator(".row-title")).to_have_text(script)
    await page.locator(".row-head").click()
    await expect(page.locator(".row-full")).to_contain_text(image)
    await expect(page.locator(".row-more")).to_contain_text("javascript:window.pwned=3")
    assert await page.evaluate("window.pwned") is None
    assert await page.locator("#events").locator("img, script, a, iframe").count() == 0


async def test_the_stages_and_the_parts_tell_how_they_are(page: Page) -> None:
    await expect(page.locator('[data-stage="dedup"] .stage-state')).to_have_text("error")
    await expect(page.locator('[data-stage="dedup"] .stage-detail')).to_contain_text("not running")
    await expect(page.locator("#parts")).to_contain_text("kafka")
    await expect(page.locator('.part[data-state="ready"]')).to_have_count(4)
    await expect(page.locator(".stage canvas")).to_have_count(7)


async def test_a_feed_that_lags_or_loses_events_says_so(browser: Browser, at: GatewayProcess) -> None:
    """The gateway's messages are played to the page, since no test should have to overload a machine."""
    played = Played()
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await played.stand_in(page)
        await page.goto(at.url)
        await expect(page.locator("#link")).to_have_attribute("data-state", "connecting")
        asked = await played.asked()
        status = page.locator("#link")
        for lag, lag_ms, live, state, told in (
            (0, 0, True, "live", ""),
            (12_345, 61_000, True, "lagging", "12.3K behind, 61 s"),
            (777, 0, False, "behind", "777 behind"),
        ):
            played.say_cursor(asked, lag=lag, lag_ms=lag_ms, live=live)
            await expect(status).to_have_attribute("data-state", state)
            await expect(page.locator("#link-detail")).to_have_text(told)
        played.say(type="dropped", count=1200, why="slow")
        await expect(page.locator("#notice")).to_contain_text("1,200 events were left out")
        await expect(page.locator("#missed")).to_have_text("1,200")
        played.say(type="error", reason="bad-filter", detail="<b>no</b>", field=None)
        await expect(page.locator("#notice")).to_have_text("The gateway says: <b>no</b>")
    finally:
        await context.close()


async def test_a_phone_shows_it_without_scrolling_sideways(
    browser: Browser, at: GatewayProcess, topic: ScoredTopic
) -> None:
    context = await browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    try:
        page = await context.new_page()
        await page.goto(at.url)
        await expect(page.locator("#link")).to_have_attribute("data-state", "live")
        long = scored(next(recorded("github")), title="x" * 300, text="https://example.org/" + "y" * 500)
        await topic.send([long])
        await expect(page.locator(".row")).to_have_count(1)
        await page.locator(".row-head").click()
        await expect(page.locator(".row-more")).to_be_visible()
        widths = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1]
    finally:
        await context.close()


async def test_the_keyboard_reaches_the_filter_and_walks_through_the_rows(page: Page, topic: ScoredTopic) -> None:
    await topic.send(titled("wikipedia", 3))
    await expect(page.locator(".row")).to_have_count(3)
    await page.keyboard.press("/")
    await expect(page.locator("#text")).to_be_focused()
    await page.locator(".row-head").first.focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator(".row-head").nth(1)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator(".row").nth(1).locator(".row-more")).to_be_visible()
    await topic.send(titled("github", 2))
    await expect(page.locator("#resume")).to_contain_text("2 new")
    await expect(page.locator(".row")).to_have_count(3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_stands_out_from_what_lies_behind_it(
    browser: Browser, at: GatewayProcess, topic: ScoredTopic, scheme: Literal["light", "dark"]
) -> None:
    context = await browser.new_context(color_scheme=scheme)
    labels = ("positive", "negative", "neutral")
    pushes = itertools.islice(recorded("github"), len(labels))
    events = [scored(push, sentiment=sentiment(label, 0.5)) for label, push in zip(labels, pushes, strict=True)]
    try:
        page = await context.new_page()
        await page.goto(at.url)
        await expect(page.locator("#link")).to_have_attribute("data-state", "live")
        await expect(page.locator(".part")).to_have_count(4)
        await topic.send([*events, *titled("weather", 1), *titled("wikipedia", 1)])
        await expect(page.locator(".row")).to_have_count(5)
        await page.locator(".row-head").first.click()
        rows = await contrasts(page)
        await page.get_by_label("Kind").select_option("activity")
        await page.get_by_label("Text, title or author").fill("a")
        await expect(page.locator("#empty")).to_be_visible()
        for ratios in (rows, await contrasts(page)):
            assert len(ratios) > 30
            assert {name: ratio for name, ratio in ratios.items() if ratio < LEAST} == {}
    finally:
        await context.close()
