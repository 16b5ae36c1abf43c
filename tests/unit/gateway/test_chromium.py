"""Where there is no Chromium, the test that needs one is skipped and says so, or fails where one is required."""

from pathlib import Path

import pytest

from tests.e2e.chromium import REQUIRED, chromium_or_skip


@pytest.fixture
def no_chromium(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(REQUIRED, raising=False)
    return monkeypatch


@pytest.mark.usefixtures("no_chromium")
def test_without_a_chromium_the_test_is_skipped_and_says_what_to_install() -> None:
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        chromium_or_skip()


def test_where_a_chromium_is_required_its_absence_is_a_failure(no_chromium: pytest.MonkeyPatch) -> None:
    no_chromium.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium_or_skip()


def test_a_chromium_on_the_path_is_found(no_chromium: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = tmp_path / "chromium"
    found.touch(mode=0o755)
    no_chromium.setenv("PATH", str(tmp_path))
    assert chromium_or_skip() == str(found)
