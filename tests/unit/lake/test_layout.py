"""Names in the lake."""

from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.lake.layout import Chain, Folder, folder_of, is_file, place_of_manifest, source_name

CHAIN = Chain("events.scored", "Zm9v_YmFy-TEST12345678", 7)
offsets = st.integers(0, 2**63 - 1)
sources = st.text(min_size=1).filter(lambda text: text.isprintable() or "\0" not in text)


def encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@given(offsets, offsets)
def test_manifest_names_sort_as_their_starts_do(one: int, other: int) -> None:
    assert (CHAIN.manifest_path(one) < CHAIN.manifest_path(other)) == (one < other)


@given(offsets)
def test_a_manifest_s_name_states_its_place(start: int) -> None:
    assert place_of_manifest(CHAIN.manifest_path(start)) == (CHAIN, start)


@given(sources, offsets, offsets)
def test_every_source_gives_a_file_name_that_stores_and_readers_take(source: str, start: int, end: int) -> None:
    assume(encodable(source))
    path = CHAIN.file_path(Folder(source, "2015-01-01", 0), start, end, "0123abcd")
    assert is_file(path)
    assert path.isascii()
    assert all(len(name) <= 255 and name not in (".", "..") for name in path.split("/"))


@given(st.lists(st.text(min_size=1).filter(encodable), min_size=2, max_size=2, unique=True))
def test_two_sources_never_share_a_folder(pair: list[str]) -> None:
    assert source_name(pair[0]) != source_name(pair[1])
    long = [source * 300 for source in pair]
    assume(long[0] != long[1])
    assert source_name(long[0]) != source_name(long[1])


def test_a_folder_goes_by_the_hour_in_utc() -> None:
    assert folder_of("github", 1_420_070_399_999) == Folder("github", "2014-12-31", 23)
    assert folder_of("github", 1_420_070_400_000) == Folder("github", "2015-01-01", 0)
    assert folder_of("github", 0).path == "events/source=github/date=1970-01-01/hour=00/"


def test_what_no_writer_of_ours_names_is_no_file() -> None:
    for path in ("events/x.parquet", "events/source=a/date=2015-01-01/hour=00/notes.txt", "manifests/a"):
        assert not is_file(path)
