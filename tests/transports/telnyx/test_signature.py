"""Webhook signatures: the sheet's vector, and every way to be wrong."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import WireError
from tests.transports.telnyx.fakes import KEY, PUBLIC_KEY, ManualClock, signed
from transports.telnyx.signature import REMEMBER_MS, Seen, Signatures

BODY = b'{"data":{"event_type":"call.initiated"}}'
HEADERS = {
    "telnyx-signature-ed25519": (
        "UIEcOeqTo4MKspXBsVJIK3/7+ncnEUOrSDh7+dZUsTAOWSVYBwe3lBRys+n+hEvzldT9ql71YgVDNiM3TqCqBg=="
    ),
    "telnyx-timestamp": "1760000000",
}
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def refusal(headers: dict[str, str], body: bytes = BODY, clock: ManualClock | None = None) -> str:
    with pytest.raises(WireError) as caught:
        Signatures((public(KEY),), clock or ManualClock()).check(headers, body)
    return caught.value.kind


def test_the_sheets_vector() -> None:
    Signatures((base64.b64decode(PUBLIC_KEY),), ManualClock(1_760_000_000)).check(HEADERS, BODY)


@pytest.mark.parametrize("age_s", [300, -300])
def test_the_window_is_five_minutes_both_ways(age_s: int) -> None:
    Signatures((public(KEY),), ManualClock(1_760_000_000 + age_s)).check(HEADERS, BODY)
    beyond = age_s + (1 if age_s > 0 else -1)
    assert refusal(HEADERS, clock=ManualClock(1_760_000_000 + beyond)) == "expired"


def test_forgeries() -> None:
    clock = ManualClock()
    assert refusal(HEADERS, BODY + b" ") == "bad_signature"
    assert refusal(HEADERS | {"telnyx-timestamp": "1760000001"}) == "bad_signature"
    assert refusal(signed(BODY, clock, OTHER)) == "bad_signature"
    assert refusal({}) == "no_signature"
    assert refusal({"telnyx-timestamp": "1760000000"}) == "no_signature"
    for signature in ("x", "////", "A" * 88, "\u00e4" * 88, base64.b64encode(bytes(65)).decode()):
        assert refusal(HEADERS | {"telnyx-signature-ed25519": signature}) == "bad_signature"
    for timestamp in ("soon", "-1", "1.76e9", "\u0661", "9" * 400):
        assert refusal(HEADERS | {"telnyx-timestamp": timestamp}) == "bad_signature"


def test_during_a_rotation_both_keys_verify() -> None:
    clock = ManualClock()
    signatures = Signatures((public(OTHER), public(KEY)), clock)
    signatures.check(signed(BODY, clock, KEY), BODY)
    signatures.check(signed(BODY, clock, OTHER), BODY)


def test_without_a_key_nothing_verifies() -> None:
    signatures = Signatures((), ManualClock())
    assert not signatures.configured
    with pytest.raises(WireError):
        signatures.check(HEADERS, BODY)


def test_what_came_is_remembered_for_ten_minutes() -> None:
    clock = ManualClock()
    seen = Seen(clock)
    assert not seen.before("a")
    clock.move(REMEMBER_MS)
    assert seen.before("a")
    clock.move(1)
    assert not seen.before("a")


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    seen = Seen(ManualClock(), max_ids=3)
    for name in "abcd":
        assert not seen.before(name)
    assert len(seen) == 3
    assert seen.before("d")
    assert not seen.before("a")


def test_what_could_not_be_taken_may_come_again() -> None:
    seen = Seen(ManualClock())
    seen.before("a")
    seen.forget("a")
    assert not seen.before("a")
    seen.forget("unknown")
