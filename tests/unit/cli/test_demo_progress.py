"""What a demo says while it runs: the rate, the share done, and how long it will take, on a terminal and elsewhere."""

from io import StringIO

from rich.console import Console

from penstock.cli.demo_progress import Panel, Rate, Standing


def test_a_rate_is_that_of_the_last_looks() -> None:
    rate = Rate()
    assert rate.look(0.0, 0) == 0.0
    assert rate.look(1.0, 100) == 100.0
    assert [rate.look(float(at), 100) for at in range(2, 7)][-1] == 0.0, "it stands still, and the start is forgotten"


def test_a_rate_is_never_negative_and_needs_time_to_pass() -> None:
    rate = Rate()
    rate.look(5.0, 70)
    assert rate.look(5.0, 90) == 0.0
    assert rate.look(6.0, 10) == 0.0, "the process was started again, and counts from 0"


def shown(*looks: tuple[float, Standing], terminal: bool) -> str:
    written = StringIO()
    console = Console(file=written, force_terminal=terminal, width=120, color_system=None, legacy_windows=False)
    with Panel(console) as panel:
        for now_s, standing in looks:
            panel.show([standing], now_s)
    return written.getvalue()


LOOKS = ((0.0, Standing("dedup", 0, 1_000)), (4.0, Standing("dedup", 400, 1_000)))


def test_on_a_terminal_a_stage_has_a_bar_its_share_its_rate_and_what_is_left() -> None:
    last = next(line for line in reversed(shown(*LOOKS, terminal=True).splitlines()) if "dedup" in line)
    assert "\u2501" in last
    for told in ("40%", "100/s", "6 s left"):
        assert told in last


def test_elsewhere_it_is_a_line_with_the_same_figures() -> None:
    assert shown(*LOOKS, terminal=False).splitlines() == ["dedup 0 (0%, 0/s)", "dedup 400 (40%, 100/s, 6 s left)"]


def test_elsewhere_a_line_comes_every_few_seconds_only() -> None:
    looks = [(at / 2, Standing("dedup", at, None)) for at in range(20)]
    assert len(shown(*looks, terminal=False).splitlines()) == 4


def test_where_the_end_is_not_known_no_share_and_no_time_is_invented() -> None:
    looks = (0.0, Standing("replay", 0, None)), (4.0, Standing("replay", 800, None))
    assert shown(*looks, terminal=False).splitlines()[-1] == "replay 800 (-, 200/s)"


def test_what_came_through_has_nothing_left() -> None:
    looks = (0.0, Standing("replay", 0, 800)), (4.0, Standing("replay", 800, 800))
    assert shown(*looks, terminal=False).splitlines()[-1] == "replay 800 (100%, 200/s)"
