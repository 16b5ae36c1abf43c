"""Which dead letters a `penstock dlq` command is about: its options and the letters it names."""

import functools
import re
from collections.abc import Callable, Iterator

import click

from penstock.cli.parameters import MOMENT
from penstock.errors import Category
from penstock.ledger.accounts import ALL_STAGES
from penstock.ledger.dead import Wanted
from penstock.ledger.report import moment

Command = Callable[..., None]

_LETTER = re.compile(rf"({'|'.join(map(re.escape, ALL_STAGES))})/\d+/\d+")
_NAMED = 10
_OPTIONS = (
    click.option("--stage", "stages", multiple=True, type=click.Choice(ALL_STAGES), help="Of this stage alone."),
    click.option("--reason", "reasons", multiple=True, help="For this reason alone, e.g. bad-magic."),
    click.option(
        "--category",
        "categories",
        multiple=True,
        type=click.Choice([category.value for category in Category]),
        help="Of this class of errors alone; what stages bury by themselves is of class data.",
    ),
    click.option("--source", "sources", multiple=True, help="Of this source alone."),
    click.option("--since", "since_ms", type=MOMENT, help="Dead since then: a time, or 2h for two hours ago."),
    click.option("--until", "until_ms", type=MOMENT, help="Dead before then."),
)


def filtered(command: Command) -> Command:
    """Gives a command the options, and hands it `wanted` for them."""

    @functools.wraps(command)
    def with_wanted(
        *args: object,
        stages: tuple[str, ...],
        reasons: tuple[str, ...],
        categories: tuple[str, ...],
        sources: tuple[str, ...],
        since_ms: int | None,
        until_ms: int | None,
        letters: tuple[str, ...] = (),
        **others: object,
    ) -> None:
        for letter in letters:
            if not _LETTER.fullmatch(letter):
                raise click.BadParameter(
                    f"{letter!r} is no letter's name; `penstock dlq list` shows them", param_hint="LETTER"
                )
        wanted = Wanted(stages, reasons, categories, sources, since_ms, until_ms, frozenset(letters))
        command(*args, wanted=wanted, **others)

    for option in reversed(_OPTIONS):
        with_wanted = option(with_wanted)
    return with_wanted


def letters(command: Command) -> Command:
    """Lets a command name letters."""
    return click.argument("letters", nargs=-1, metavar="[LETTER]...")(command)


def as_typed(wanted: Wanted) -> str:
    """The options and letters, as one could type them again; times are absolute. Of many letters the first few."""
    return " ".join(_words(wanted))


def _words(wanted: Wanted) -> Iterator[str]:
    lists = {
        "stage": wanted.stages, "reason": wanted.reasons, "category": wanted.categories, "source": wanted.sources
    }  # fmt: skip
    for name, values in lists.items():
        yield from (f"--{name} {value}" for value in values)
    for name, at_ms in (("since", wanted.since_ms), ("until", wanted.until_ms)):
        if at_ms is not None:
            yield f"--{name} {moment(at_ms)}"
    named = sorted(wanted.ids)
    yield from named[:_NAMED]
    if len(named) > _NAMED:
        yield f"and {len(named) - _NAMED:,} more"
