import pytest

from penstock import tracing


def test_a_minted_traceparent_is_valid() -> None:
    assert tracing.valid(tracing.mint(bytes(range(1, 25))))


@pytest.mark.parametrize("bad", [b"", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-00", b"01-ab-cd-00", b"00-\xff"])
def test_what_w3c_forbids_is_not_carried_on(bad: bytes) -> None:
    assert not tracing.valid(bad)
