"""The traceparent header (W3C, https://www.w3.org/TR/trace-context/): minted at the door, carried by every hop."""

import re

_FORM = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def mint(randomness: bytes) -> bytes:
    """A new traceparent out of 24 random bytes: 16 for the trace, 8 for the span; not sampled."""
    if len(randomness) != 24:
        raise ValueError(f"24 random bytes are needed, not {len(randomness)}")
    return b"00-%s-%s-00" % (randomness[:16].hex().encode(), randomness[16:].hex().encode())


def valid(traceparent: bytes) -> bool:
    """Whether a producer's own traceparent can be carried on; one that can't is replaced, never refused."""
    return _FORM.fullmatch(traceparent) is not None
