"""What the README quotes is what the programs say, and what a page links to is there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs", "services", "samples", "schemas")


def quoted(page: str) -> list[str]:
    """The messages in quotes in the first column of "When something is wrong"."""
    section = re.search(r"^## When something is wrong$(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert section
    cells = [line.split("|")[1] for line in section[1].splitlines() if line.startswith("|")]
    return [message for cell in cells for message in re.findall(r'"([^"]+)"', cell)]


def said_by_programs() -> Iterator[str]:
    """Every text in the code but docstrings: of an f-string the pieces between its fields."""
    for folder in ("penstock", "services"):
        for file in (ROOT / folder).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(file.read_text())))
            unsaid = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            for node in nodes:
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in unsaid:
                    yield node.value


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(said_by_programs())


@pytest.mark.parametrize("message", quoted((ROOT / "README.md").read_text()))
def test_a_quoted_message_is_one_that_the_code_has(message: str, texts: list[str]) -> None:
    assert any(message in text for text in texts)


def test_messages_are_quoted_and_one_that_nobody_says_is_seen(texts: list[str]) -> None:
    assert len(quoted((ROOT / "README.md").read_text())) > 5
    page = '## When something is wrong\n| what |\n|---|\n| "no wheel for this platform" | "help" |\n## Further\n'
    assert quoted(page) == ["no wheel for this platform"]
    assert not any("no wheel for this platform" in text for text in texts)


def lost_links(page: Path, root: Path) -> list[str]:
    """Links of a page to files of this repository that are not there, and to headings that their page has not."""
    found = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, heading = target.partition("#")
        other = page.parent / path if path else page
        if not other.exists() or (heading and heading not in headings(other)):
            found.append(f"{page.relative_to(root)}: {target}")
    return found


def headings(page: Path) -> set[str]:
    """As they stand in an address."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_what_a_page_links_to_is_there(tmp_path: Path) -> None:
    pages = [*ROOT.glob("*.md"), *(page for folder in PAGES for page in (ROOT / folder).rglob("*.md"))]
    assert len(pages) > 20
    assert [link for page in pages for link in lost_links(page, ROOT)] == []
    (tmp_path / "A.md").write_text(
        "# One thing\n[here](A.md#one-thing) [gone](B.md) [nor](#other) [far](https://a.b/c)\n"
    )
    assert lost_links(tmp_path / "A.md", tmp_path) == ["A.md: B.md", "A.md: #other"]


def test_the_picture_of_the_flow_has_the_dead_letters_of_every_stage() -> None:
    picture = ElementTree.parse(ROOT / "docs" / "images" / "flow.svg")  # noqa: S314  our own
    drawn = {text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")}
    topics = {file.stem for file in (ROOT / "schemas" / "topics").glob("dlq.*.yaml")} - {"dlq.audit"}
    assert topics <= drawn
    assert {"events.raw", "events.unique", "events.enriched", "events.scored"} <= drawn
