"""The samples are small, hold no e-mail address, say where they come from, and can be made again."""

import gzip
import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
DATA = ROOT.parent / "shared" / "data"
MAKER = runpy.run_path(str(ROOT / "scripts" / "make-samples"), run_name="maker")

ADDRESS = re.compile(r"\w(?:@|%40)\w[\w-]*\.\w")
NAME_AT_HOST = re.compile(r"[^\W\d]@[^\W\d]|\w@[0-9a-f]{8}-[0-9a-f]{4}-")
"""Both wider than what the script cuts."""


def files() -> list[Path]:
    return [path for path in sorted(SAMPLES.rglob("*")) if path.is_file() and path.name != "README.md"]


def lines(path: Path) -> Iterator[str]:
    content = path.read_bytes()
    yield from (gzip.decompress(content) if path.suffix == ".gz" else content).decode().splitlines()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from strings(item)


def test_they_take_no_more_than_6_megabytes() -> None:
    assert 1_000_000 < sum(path.stat().st_size for path in files()) < 6_000_000


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_no_e_mail_address_is_left(path: Path) -> None:
    for line in lines(path):
        assert ADDRESS.search(line) is None
        if path.parent.name in {"github", "wikipedia"}:  # where an escape may hide one
            assert not any(ADDRESS.search(text) or NAME_AT_HOST.search(text) for text in strings(json.loads(line)))


def fields(value: Any, name: str) -> Iterator[Any]:
    """What stands under a name, however deep."""
    for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        yield from fields(item, name)
    if isinstance(value, dict) and name in value:
        yield value[name]


def test_an_e_mail_field_holds_nothing_a_person_wrote() -> None:
    found = {text for path in files() if path.parent.name == "github" for line in lines(path)
             for text in fields(json.loads(line), "email")}  # fmt: skip
    assert found == {MAKER["CUT"], ""}


@pytest.mark.parametrize(
    "text",
    ["ann at example.org", "ann", "ann@.example.org", "ann@mail.example.org@fdecad78-55fc-0310-b1b2-d7d25cf747c9"],
)
def test_an_e_mail_field_goes_whole(text: str) -> None:
    line = MAKER["without_e_mail"](json.dumps({"commits": [{"author": {"email": text, "name": "Ann"}}]}))
    assert json.loads(line) == {"commits": [{"author": {"email": MAKER["CUT"], "name": "Ann"}}]}


@pytest.mark.parametrize(
    "text", ["<ann@ubuntu>", "ann@host.(none)", "at [ann@b8457f37-d9ea-0310-8a92-e5e31aec5664]", "ann@example.org@host"]
)
def test_a_name_at_a_host_without_a_dot_is_cut_from_prose(text: str) -> None:
    line = MAKER["without_e_mail"](json.dumps({"message": f"by {text}, thanks"}))
    assert "ann" not in line
    assert "@" not in line
    assert line.endswith(', thanks"}\n')


@pytest.mark.parametrize("text", ["https://svn.example.org/trunk@1057696", "@Override", "3.0@dev", "org/book@731f7bf"])
def test_what_only_has_an_at_sign_stays(text: str) -> None:
    assert json.loads(MAKER["without_e_mail"](json.dumps([text]))) == [text]


@pytest.mark.parametrize(
    "text", ["ann@example.org", "<a.b+c@mail.example.co.uk>", "x\u003cjörg@exämple.de\u003e", "mail=ann%40example.org"]
)
def test_an_address_is_cut_wherever_it_stands(text: str) -> None:
    line = MAKER["without_e_mail"](json.dumps({text: [text, {"deep": text}]}))
    assert "ample" not in line
    assert MAKER["CUT"] in line


def test_every_file_has_its_origin_in_the_readme() -> None:
    text = (SAMPLES / "README.md").read_text()
    for path in files():
        name = path.relative_to(SAMPLES).as_posix()
        assert f"`{name}`" in text or (name.startswith("exchange/") and "`exchange/*.ws.*.gz`" in text), name


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there to make the samples from")
def test_they_can_be_made_again(tmp_path: Path) -> None:
    MAKER["main"](DATA, tmp_path)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert made == [path.relative_to(SAMPLES) for path in files()]
    for name in made:
        assert list(lines(tmp_path / name)) == list(lines(SAMPLES / name))
