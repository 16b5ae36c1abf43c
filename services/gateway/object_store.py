"""Whether the object store answers: asked rarely, since there each question has its price."""

import obstore
from obstore.store import ObjectStore

from penstock.clock import Clock
from penstock.errors import TransientError
from penstock.lake.store import open_store, store_errors

ASK_EVERY_S = 5.0
"""A store that is gone shows well within the ten seconds that are promised."""
_NOTHING = "penstock-is-the-store-there"
"""No object lies below this name: an empty list is the answer, and a bucket that is not there has none."""


class ObjectStoreProbe:
    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._store: ObjectStore | None = None
        self._due_s = clock.monotonic_s()
        self._trouble: Exception | None = None

    async def __call__(self) -> None:
        """Raises what was wrong when it was last asked."""
        if self._clock.monotonic_s() >= self._due_s:
            self._due_s = self._clock.monotonic_s() + ASK_EVERY_S
            self._trouble = TransientError("it does not answer")  # stands if whoever waits for this gives up
            self._trouble = await self._ask()
        if self._trouble is not None:
            raise self._trouble

    async def _ask(self) -> Exception | None:
        try:
            if self._store is None or self._url.startswith("file:"):  # a folder may be gone, and lists nothing then
                self._store = open_store(self._url, make=False)
            with store_errors("a look at it"):
                await obstore.list_with_delimiter_async(self._store, _NOTHING)
        except Exception as error:  # noqa: BLE001  whatever is wrong with it is what health is to tell
            return error
        return None
