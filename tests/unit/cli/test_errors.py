"""What the command line says when something goes wrong that nobody put into words."""

import click
import pytest
from click.testing import CliRunner

from penstock.cli import lake
from penstock.cli.main import main


@click.command()
def wait() -> None:
    raise TimeoutError


def test_an_error_without_a_text_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake, "lake", wait)
    done = CliRunner().invoke(main, ["lake"])
    assert (done.exit_code, done.output) == (3, "Error: TimeoutError\n")
