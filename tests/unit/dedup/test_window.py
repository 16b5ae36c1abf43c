"""The window against a model that remembers every original and its time, and knows no batches."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dedup.entries import WORD, Words
from services.dedup.table import Table
from services.dedup.window import Verdict, Window

Record = tuple[int, int]  # fingerprint, timestamp; the offset is the position
Verdicts = list[tuple[Verdict, int, int]]

W, GRACE = 100, 20


def entries(records: list[Record], start: int = 0) -> Words:
    """Fingerprints are spread as a hash would; two of them share their lower half, tag and bucket included."""
    rows = np.zeros((len(records), 4), WORD)
    for i, (fingerprint, timestamp) in enumerate(records):
        low = (fingerprint // 2) * 0x9E3779B97F4A7C15 % 2**64
        rows[i] = (low, fingerprint, timestamp, start + i)
    return rows


class Model:
    """The rule word by word: every original is kept for ever, and all of them are asked."""

    def __init__(self, window_ms: int = W, grace_ms: int = GRACE) -> None:
        self.window_ms, self.grace_ms = window_ms, grace_ms
        self.watermark = -1
        self.originals: dict[int, list[tuple[int, int]]] = {}

    def copy(self) -> "Model":
        twin = Model(self.window_ms, self.grace_ms)
        twin.watermark = self.watermark
        twin.originals = {fingerprint: list(found) for fingerprint, found in self.originals.items()}
        return twin

    def decide(self, records: list[Record], start: int = 0) -> Verdicts:
        return [self._one(*record, start + i) for i, record in enumerate(records)]

    def _one(self, fingerprint: int, timestamp: int, offset: int) -> tuple[Verdict, int, int]:
        self.watermark = max(self.watermark, timestamp)
        if timestamp < self.watermark - self.grace_ms:
            return Verdict.LATE, 0, 0
        seen = self.originals.setdefault(fingerprint, [])
        of = [(ts, at) for ts, at in seen if max(0, timestamp - ts) < self.window_ms]
        if of:
            ts, at = max(of, key=lambda original: original[1])  # the newest that is near enough
            return Verdict.DUPLICATE, at, ts
        seen.append((timestamp, offset))
        return Verdict.ORIGINAL, 0, 0


def decide(window: Window, records: list[Record], start: int = 0) -> Verdicts:
    if not records:
        return []
    made = window.decide(entries(records, start))
    columns = zip(made.verdict, made.first_offset, made.first_timestamp, strict=True)
    return [(Verdict(int(v)), int(at), int(ts)) for v, at, ts in columns]


def new_window(window_ms: int = W, grace_ms: int = GRACE) -> Window:
    return Window(window_ms, grace_ms, Table(smallest=16))


def verdicts(records: list[Record]) -> list[Verdict]:
    return [verdict for verdict, _, _ in decide(new_window(), records)]


O, D, L = Verdict.ORIGINAL, Verdict.DUPLICATE, Verdict.LATE  # noqa: E741  a table of verdicts reads better so


@pytest.mark.parametrize(
    ("says", "records", "expected"),
    [
        ("a second one within the window is a duplicate", [(1, 1000), (1, 1099)], [O, D]),
        ("exactly a window later it is new", [(1, 1000), (1, 1100)], [O, O]),
        ("a duplicate does not refresh its original", [(1, 1000), (1, 1060), (1, 1110)], [O, D, O]),
        ("another fingerprint is another event", [(1, 1000), (2, 1000)], [O, O]),
        ("half a fingerprint is not enough", [(2, 1000), (3, 1000)], [O, O]),
        ("one that is older but came after is at distance 0", [(1, 1000), (1, 985)], [O, D]),
        ("at the grace's edge it is not late", [(1, 1000), (2, 980)], [O, O]),
        ("behind the grace's edge it is late, whatever it is", [(1, 1000), (1, 979), (2, 979)], [O, L, L]),
        ("what is late leaves no trace", [(1, 1000), (2, 979), (2, 1000)], [O, L, O]),
        ("the watermark rises within a batch", [(1, 1000), (2, 1050), (3, 1020)], [O, O, L]),
        ("a second original answers for an older late-comer", [(1, 1000), (1, 1100), (1, 1085)], [O, O, D]),
    ],
)
def test_the_rule_case_by_case(says: str, records: list[Record], expected: list[Verdict]) -> None:
    assert verdicts(records) == expected, says
    window = new_window()
    one_by_one = [decide(window, [record], start=i)[0][0] for i, record in enumerate(records)]
    assert one_by_one == expected, f"{says}, one at a time"


def test_a_duplicate_names_the_first_and_when_it_came() -> None:
    assert decide(new_window(), [(7, 1000), (8, 1001), (7, 1050)], start=40)[2] == (D, 40, 1000)


def test_a_duplicate_between_two_originals_names_the_newest_that_came_before_it() -> None:
    """In one batch with the second original: the way it is cut into batches must not show."""
    window = new_window()
    decide(window, [(1, 1000)])
    batch = [(1, 1099), (1, 1100), (1, 1090)]
    assert decide(window, batch, start=1) == [(D, 0, 1000), (O, 0, 0), (D, 2, 1100)]


@st.composite
def flows(draw: st.DrawFn) -> list[list[Record]]:
    """Batches of few fingerprints whose times move on, jump, and fall back to around the grace's edge."""
    now, batches = 1000, []
    steps = st.one_of(st.integers(0, 15), st.sampled_from([-GRACE - 1, -GRACE, -10, -1, W - 1, W, W + GRACE, 1000]))
    for _ in range(draw(st.integers(1, 6))):
        batch = []
        for _ in range(draw(st.integers(0, 25))):
            now = max(1, now + draw(steps))
            batch.append((draw(st.integers(0, 6)), now))
        batches.append(batch)
    return batches


def with_starts(batches: list[list[Record]]) -> Iterator[tuple[int, list[Record]]]:
    start = 0
    for batch in batches:
        yield start, batch
        start += len(batch)


@given(flows())
@settings(max_examples=120, deadline=None)
def test_it_decides_as_a_model_that_remembers_everything(batches: list[list[Record]]) -> None:
    window, model = new_window(), Model()
    for start, batch in with_starts(batches):
        assert decide(window, batch, start) == model.decide(batch, start)
        window.commit()
        assert window.watermark == model.watermark


@given(flows(), st.lists(st.sampled_from(["commit", "undo", "go on"]), min_size=6, max_size=6))
@settings(max_examples=120, deadline=None)
def test_undo_takes_back_exactly_the_open_transaction(batches: list[list[Record]], ends: list[str]) -> None:
    window, model = new_window(), Model()
    committed = model.copy()
    for (start, batch), end in zip(with_starts(batches), ends, strict=False):
        assert decide(window, batch, start) == model.decide(batch, start)
        if end == "commit":
            window.commit()
            committed = model.copy()
        elif end == "undo":
            window.undo()
            model = committed.copy()
            assert decide(window, batch, start) == model.decide(batch, start)


@given(flows())
@settings(max_examples=60, deadline=None)
def test_the_cut_into_batches_does_not_show(batches: list[list[Record]]) -> None:
    flow = [record for batch in batches for record in batch]
    window = new_window()
    cut = [verdict for start, batch in with_starts(batches) for verdict in decide(window, batch, start)]
    assert decide(new_window(), flow) == cut


@given(st.integers(1, 60), st.integers(0, 60), flows())
@settings(max_examples=60, deadline=None)
def test_the_grace_may_be_longer_than_the_window(window_ms: int, grace_ms: int, batches: list[list[Record]]) -> None:
    window, model = new_window(window_ms, grace_ms), Model(window_ms, grace_ms)
    for start, batch in with_starts(batches):
        assert decide(window, batch, start) == model.decide(batch, start)
        window.commit()
