"""Dead letters of one stage as the ledger counts them: every original once, whatever was done with its letter since."""

from penstock.ledger.audit import Command, SettledLetter
from penstock.ledger.identity import Place, identity_of
from penstock.ledger.letters import DeadLetter
from penstock.ledger.tally import Tallies, Tally


class LetterCount:
    """Fed with the letters of dlq.<stage> and with what dlq.audit says of them, in any order.

    A sink's letter is acked before the sink commits: after a crash the same original dies again, in a second letter.
    And a letter that was settled may be gone from its topic; the audit then speaks for it.
    """

    def __init__(self) -> None:
        self._dead, self._purged, self._retried = _Once(), _Once(), _Once()

    def add(self, letter: DeadLetter, own_place: Place) -> None:
        """`own_place` is where the letter stands: its identity where the original has no place."""
        self._dead.add(letter.origin or own_place, letter.uid, letter.source)

    def add_unreadable(self, own_place: Place) -> None:
        """A letter that cannot be read is of source `unknown`, by its own place: it must not go unseen."""
        self._dead.add(own_place, None, None)

    def settle(self, command: Command, letter: SettledLetter) -> None:
        settled = self._purged if command is Command.PURGE else self._retried
        for tallies in (self._dead, settled):
            tallies.add(letter.place, letter.uid, letter.source)

    def dead(self) -> dict[str, Tally]:
        """Source to all that died, but for what was thrown away; what was sent back is among it."""
        purged = self.purged()
        return {source: tally - purged.get(source, Tally()) for source, tally in self._dead.tallies.read().items()}

    def purged(self) -> dict[str, Tally]:
        return self._purged.tallies.read()

    def retried(self) -> dict[str, Tally]:
        """Sent back, by the audit's word."""
        return self._retried.tallies.read()


class _Once:
    """Tallies of originals, each taken once."""

    def __init__(self) -> None:
        self._seen: set[Place] = set()
        self.tallies = Tallies()

    def add(self, place: Place, uid: bytes | None, source: str | None) -> None:
        if place not in self._seen:
            self._seen.add(place)
            self.tallies.add(*identity_of(uid, source, place))
