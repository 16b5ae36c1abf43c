"""The tasks of a process, one step at a time: between two of them it can be killed or frozen, whatever it waits for."""

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from contextvars import Context, ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class KilledError(BaseException):
    """kill -9: nothing that the process still does on its way out has an effect."""


class Owner(Protocol):
    """Whose tasks they are."""

    dead: bool
    frozen: bool

    def at_await(self, coroutine: object) -> None:
        """One of its tasks is about to go on; it may be killed or frozen here."""
        ...

    def until_thawed(self) -> "asyncio.Future[None]": ...


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)
"""The process that the running task belongs to; tasks that it starts are its own too."""


class Stepped(Coroutine[Any, Any, T]):
    """A coroutine of a process. What asyncio drives is this; what runs is the other one, while its process does."""

    __slots__ = ("_coroutine", "_owner", "_thrown")

    def __init__(self, owner: Owner, coroutine: Coroutine[Any, Any, T]) -> None:
        self._owner = owner
        self._coroutine = coroutine
        self._thrown: BaseException | None = None

    def send(self, value: Any) -> Any:
        owner = self._owner
        if not owner.dead:
            owner.at_await(self._coroutine)
        if owner.dead:
            return self._coroutine.throw(KilledError())
        if owner.frozen:
            return self._held()
        if self._thrown is not None:
            error, self._thrown = self._thrown, None
            return self._coroutine.throw(error)
        return self._coroutine.send(value)

    def throw(self, error: Any, value: Any = None, traceback: Any = None) -> Any:
        if self._owner.dead:
            return self._coroutine.throw(KilledError())
        if self._owner.frozen:
            self._thrown = error
            return self._held()
        return self._coroutine.throw(error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return (yield from self._coroutine.__await__())

    def _held(self) -> "asyncio.Future[None]":
        thawed = self._owner.until_thawed()
        thawed._asyncio_future_blocking = True  # as Future.__await__ says to the task that it is to wait
        return thawed


def make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, *, context: Context | None = None, **rest: Any
) -> "asyncio.Task[Any]":
    """A loop's task factory: tasks that a process starts are stepped."""
    owner = OWNER.get() if context is None else context.get(OWNER)
    return asyncio.Task(coroutine if owner is None else Stepped(owner, coroutine), loop=loop, context=context, **rest)


def start_owned(owner: Owner, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task of this process."""
    context = Context()
    context.run(OWNER.set, owner)
    return asyncio.get_running_loop().create_task(coroutine, context=context)


def start_unowned(coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task of the world: it goes on when the process that started it is dead."""
    return asyncio.get_running_loop().create_task(coroutine, context=Context())


def waits_at(coroutine: Any) -> Iterator[tuple[str, int]]:
    """(file, line) of each await that a suspended coroutine is in, the outermost first."""
    while coroutine is not None and (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield frame.f_code.co_filename, frame.f_lineno
        coroutine = coroutine.cr_await
