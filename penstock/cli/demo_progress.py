"""How a demo's progress looks: bars on a terminal, a line every few seconds elsewhere."""

from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

_QUIET_S = 3.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a stage is: `done` of `expected` records, which is None while nobody can tell."""

    name: str
    done: int
    expected: int | None


class Rate:
    """Records per second over the last few looks."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, int]] = []

    def look(self, now_s: float, done: int) -> float:
        self._looks = [*self._looks[-5:], (now_s, done)]
        (first_s, first), (last_s, last) = self._looks[0], self._looks[-1]
        return max(0.0, (last - first) / (last_s - first_s)) if last_s > first_s else 0.0


class Panel:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[share]:>5}"),
            TextColumn("{task.fields[rate]:>10}"),
            TextColumn("{task.fields[eta]:>12}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._rates: dict[str, Rate] = {}
        self._told_s: float | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # the terminal is gone
            self._bars.stop()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    def show(self, standings: list[Standing], now_s: float) -> None:
        """How far each stage is at a time of a monotonic clock."""
        texts = []
        for one in standings:
            rate = self._rates.setdefault(one.name, Rate()).look(now_s, one.done)
            share = min(1.0, one.done / one.expected) if one.expected else 0.0
            left = max(0, (one.expected or 0) - one.done)
            fields: dict[str, Any] = {
                "share": f"{share:.0%}" if one.expected else "-",
                "rate": f"{rate:,.0f}/s",
                "eta": f"{left / rate:,.0f} s left" if left and rate > 0 else "",
            }
            if one.name not in self._tasks:
                self._tasks[one.name] = self._bars.add_task(one.name, total=1.0, **fields)
            self._bars.update(self._tasks[one.name], completed=share, **fields)
            known = ", ".join(filter(None, (fields["share"], fields["rate"], fields["eta"])))
            texts.append(f"{one.name} {one.done:,} ({known})")
        if not self._console.is_terminal and (self._told_s is None or now_s - self._told_s >= _QUIET_S):
            self._told_s = now_s
            self._console.print(" · ".join(texts), markup=False)
