"""Every exception has exactly one class, and with it one consequence."""

import asyncio
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import (
    Category,
    DataError,
    PenstockError,
    PermanentError,
    SystemFaultError,
    ThrottledError,
    TransientError,
    classify,
)


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (TransientError("x"), Category.TRANSIENT),
        (ThrottledError("x", retry_after_s=1.5), Category.THROTTLED),
        (DataError("bad-magic", "x"), Category.DATA),
        (PermanentError("x"), Category.PERMANENT),
        (SystemFaultError("x"), Category.SYSTEM),
        (PenstockError("x"), Category.PERMANENT),
        (ConnectionResetError(errno.ECONNRESET, "x"), Category.TRANSIENT),
        (TimeoutError(), Category.TRANSIENT),
        (asyncio.IncompleteReadError(b"", 5), Category.TRANSIENT),
        (OSError(errno.ENOSPC, "No space left on device"), Category.SYSTEM),
        (PermissionError(errno.EACCES, "x"), Category.SYSTEM),
        (ValueError("nobody foresaw it"), Category.PERMANENT),
        (KeyError("x"), Category.PERMANENT),
    ],
)
@pytest.mark.verdict("out of disk here")
def test_an_error_is_classified(error: BaseException, category: Category) -> None:
    assert classify(error) is category


@given(st.sampled_from([ValueError, RuntimeError, KeyError, ZeroDivisionError, MemoryError]), st.text())
def test_what_nobody_foresaw_stops_rather_than_guesses(kind: type[Exception], text: str) -> None:
    assert classify(kind(text)) is Category.PERMANENT


@given(st.text(min_size=1), st.text(), st.none() | st.text())
def test_a_data_error_says_its_reason_and_keeps_its_parts(reason: str, detail: str, field: str | None) -> None:
    error = DataError(reason, detail, field=field)
    assert (error.reason, error.detail, error.field) == (reason, detail, field)
    assert str(error) == f"{reason}: {detail}"
