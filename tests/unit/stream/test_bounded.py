"""A call that does not return is given up, and the next one finds a thread that does."""

import threading

import pytest

from penstock.stream.bounded import Bounded


def test_what_a_call_returns_and_what_it_raises_comes_back() -> None:
    bounded = Bounded("both")
    assert bounded.call(60.0, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        bounded.call(60.0, divmod, 7, 0)
    bounded.close()


def test_calls_are_made_by_one_thread_which_ends_when_closed() -> None:
    bounded = Bounded("one")
    first = bounded.call(60.0, threading.current_thread)
    assert bounded.call(60.0, threading.current_thread) is first
    bounded.close()
    first.join(60.0)
    assert not first.is_alive()


def test_a_call_that_hangs_is_given_up_and_its_thread_ends_when_it_returns_after_all() -> None:
    bounded, released = Bounded("hanging"), threading.Event()
    hanging = bounded.call(60.0, threading.current_thread)
    with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
        bounded.call(0.01, released.wait)
    other = bounded.call(60.0, threading.current_thread)
    assert other is not hanging
    assert hanging.is_alive()
    assert hanging.daemon, "it keeps no process from ending"
    released.set()
    hanging.join(60.0)
    assert not hanging.is_alive()
    bounded.close()
