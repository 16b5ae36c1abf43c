"""Places where a test can have the process die: kill -9 at exactly this point, as a power cut would.

PENSTOCK_FAILPOINT names one point, `dedup.after-produce`, or its nth passing, `dedup.after-produce:3`. Unset, which is
how production runs, a point costs a look at an empty string. Set, whatever is produced is at the broker before anything
else is done: who dies inside a transaction then leaves it open there, and not just in his own memory.
"""

import os
import signal
from collections import Counter

_wanted, _, _nth = os.environ.get("PENSTOCK_FAILPOINT", "").partition(":")
_passed: Counter[str] = Counter()


def are_set() -> bool:
    return bool(_wanted)


def hit(point: str) -> None:
    """Dies here by SIGKILL if the environment says so."""
    if _wanted != point:
        return
    _passed[point] += 1
    if _passed[point] >= int(_nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
