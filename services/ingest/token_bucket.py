"""How fast something may go on average, and how far it may run ahead of that."""

from dataclasses import dataclass

_ROUNDING = 1e-9
"""Of a token: what adding up many short times may lose, so that nobody waits for it again and again."""


@dataclass(slots=True)
class TokenBucket:
    """A bucket that holds `burst` tokens and fills at `rate_per_s`; it is full at the first call.

    In any time t no more than `rate_per_s * t + burst` tokens are given out. Time is handed in, in seconds of a clock
    that does not go back; a step back is taken for no time at all.
    """

    rate_per_s: float
    burst: float
    _tokens: float = 0.0
    _at_s: float | None = None

    def __post_init__(self) -> None:
        if not self.rate_per_s > 0 or not self.burst > 0:
            raise ValueError(f"rate and burst must be above 0, not {self.rate_per_s} and {self.burst}")

    def take(self, count: float, now_s: float) -> bool:
        """Takes `count` tokens, all or none."""
        self._fill(now_s)
        if count > self._tokens + _ROUNDING:
            return False
        self._tokens = max(0.0, self._tokens - count)
        return True

    def take_up_to(self, count: int, now_s: float) -> int:
        """Takes as many whole tokens as there are, at most `count`, and says how many."""
        taken = min(count, self.whole(now_s))
        self._tokens = max(0.0, self._tokens - taken)
        return taken

    def wait_s(self, count: float, now_s: float) -> float:
        """How long until `count` tokens can be taken, if nobody else takes any; 0 if they can now.

        More than the bucket ever holds is waited for as if it were full: the caller must take it in parts.
        """
        self._fill(now_s)
        return max(0.0, (min(count, self.burst) - self._tokens) / self.rate_per_s)

    def level(self, now_s: float) -> float:
        self._fill(now_s)
        return self._tokens

    def whole(self, now_s: float) -> int:
        """How many whole tokens there are."""
        self._fill(now_s)
        return int(self._tokens + _ROUNDING)

    def _fill(self, now_s: float) -> None:
        if self._at_s is None:
            self._tokens, self._at_s = self.burst, now_s
        elif now_s > self._at_s:
            self._tokens = min(self.burst, self._tokens + (now_s - self._at_s) * self.rate_per_s)
            self._at_s = now_s
