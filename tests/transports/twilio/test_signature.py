"""Signatures, by the protocol sheet's test vectors (5.2) and by Twilio's own SDK."""

import hashlib

import pytest
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from transports.twilio.signature import Signatures

TOKEN = "0123456789abcdef0123456789abcdef"
VOICE = "https://voice.example.test/twilio/voice"
RELAY = "wss://voice.example.test/twilio/relay"
FIELDS = MultiDict(
    {
        "CallSid": "CA00000000000000000000000000000001",
        "From": "+15005550001",
        "To": "+15005550006",
        "Direction": "inbound",
        "CallStatus": "ringing",
    }
)
FORM_SIGNATURE = "Ea960tTQV5hcNs/3oku1c4XUg9I="
SHARED_SIGNATURE = "8BLTVB8YRqkkwEQ1roi6TUAK9XIScvVHz69rF3zwoqc="
RELAY_SIGNATURE = "yZgU3VQ3oaa9Es79vnsuUz9b1nc="
JSON = b'{"hello":"world"}'
JSON_URL = (
    "https://voice.example.test/twilio/json?bodySHA256="
    "93a23971a914e5eacbf0a8d25154cda309c3c1c72fbb9914d47c60f3cb681588"
)
JSON_SIGNATURE = "GdiRO7XHhtGwD3RTKMn/T/JA8Og="
signatures = Signatures((TOKEN,), {})


def header(signature: str) -> dict[str, str]:
    return {"X-Twilio-Signature": signature}


def test_a_form() -> None:
    assert signatures.form(VOICE, FIELDS, header(FORM_SIGNATURE))


@pytest.mark.parametrize(
    "signature", ["", "A", FORM_SIGNATURE.lower(), FORM_SIGNATURE[:-1], FORM_SIGNATURE + "=", "\udcff"]
)
def test_a_form_with_another_signature(signature: str) -> None:
    assert not signatures.form(VOICE, FIELDS, header(signature))


def test_a_form_without_a_signature() -> None:
    assert not signatures.form(VOICE, FIELDS, {})


def test_a_field_changed_added_or_left_out() -> None:
    fewer = MultiDict(FIELDS)
    del fewer["Direction"]
    for fields in (
        MultiDict({**FIELDS, "From": "+15005550002"}),
        MultiDict({**FIELDS, "Extra": "1"}),
        fewer,
    ):
        assert not signatures.form(VOICE, fields, header(FORM_SIGNATURE))


def test_empty_and_repeated_fields_count() -> None:
    fields = MultiDict([("CallSid", "CA1"), ("Digits", ""), ("A", "2"), ("A", "1"), ("A", "2")])
    given = RequestValidator(TOKEN).compute_signature(VOICE, fields)
    assert signatures.form(VOICE, fields, header(given))
    fields.popall("A")
    assert not signatures.form(VOICE, fields, header(given))


def test_another_url() -> None:
    for url in (VOICE + "/", VOICE + "?a=1", VOICE.replace("https", "http"), VOICE.replace("voice.", "w.")):
        assert not signatures.form(url, FIELDS, header(FORM_SIGNATURE))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("https://voice.example.test:443/a?b=c", "https://voice.example.test/a?b=c"),
        ("https://voice.example.test/a?b=c", "https://voice.example.test:443/a?b=c"),
        ("https://voice.example.test:8443/a", "https://voice.example.test/a"),
        ("http://voice.example.test/a", "http://voice.example.test:80/a"),
        ("https://[::1]:8443/a", "https://[::1]/a"),
    ],
)
def test_twilio_may_sign_with_or_without_the_port(ours: str, theirs: str) -> None:
    given = RequestValidator(TOKEN).compute_signature(theirs, {})
    assert signatures.form(ours, MultiDict(), header(given))


def test_another_port_is_another_address() -> None:
    given = RequestValidator(TOKEN).compute_signature("https://voice.example.test:8443/a", {})
    assert not signatures.form("https://voice.example.test:9443/a", MultiDict(), header(given))


def test_a_host_that_is_none_is_no_error() -> None:
    assert not signatures.form("https://voice.example.test:port/a", MultiDict(), header("x"))
    assert not signatures.form("https://\udcff/a", MultiDict(), header("x"))


def test_an_upgrade_is_signed_as_wss() -> None:
    assert signatures.upgrade(RELAY, header(RELAY_SIGNATURE))
    for scheme in ("https", "ws", "http"):
        assert not signatures.upgrade(RELAY.replace("wss", scheme), header(RELAY_SIGNATURE))
    assert not signatures.upgrade(RELAY + "/", header(RELAY_SIGNATURE))


def test_an_upgrade_through_the_default_port() -> None:
    given = RequestValidator(TOKEN).compute_signature("wss://voice.example.test:443/twilio/relay", {})
    assert signatures.upgrade(RELAY, header(given))


def test_an_upgrade_with_a_query_may_be_signed_either_way() -> None:
    whole = RequestValidator(TOKEN).compute_signature(RELAY + "?b=2&a=1", {})
    split = RequestValidator(TOKEN).compute_signature(RELAY, {"b": "2", "a": "1"})
    assert signatures.upgrade(RELAY + "?b=2&a=1", header(whole))
    assert signatures.upgrade(RELAY + "?b=2&a=1", header(split))
    assert not signatures.upgrade(RELAY + "?b=2&a=3", header(split))
    assert not signatures.upgrade(RELAY + "?b=2", header(RELAY_SIGNATURE))


def test_a_json_body_is_signed_by_its_hash() -> None:
    assert signatures.body(JSON_URL, JSON, header(JSON_SIGNATURE))
    assert not signatures.body(JSON_URL, JSON + b" ", header(JSON_SIGNATURE))
    assert not signatures.body(JSON_URL, JSON, header(FORM_SIGNATURE))


def test_a_json_body_without_its_hash_is_not_signed() -> None:
    bare = JSON_URL.partition("?")[0]
    given = RequestValidator(TOKEN).compute_signature(bare, {})
    assert not signatures.body(bare, JSON, header(given))


def test_a_body_hash_that_nobody_signed() -> None:
    other = JSON_URL.partition("=")[0] + "=" + hashlib.sha256(b"{}").hexdigest()
    assert not signatures.body(other, b"{}", header(JSON_SIGNATURE))


def test_while_the_token_is_rotated_both_are_good() -> None:
    rotating = Signatures(("f" * 32, TOKEN), {})
    assert rotating.form(VOICE, FIELDS, header(FORM_SIGNATURE))
    new = RequestValidator("f" * 32).compute_signature(VOICE, FIELDS)
    assert rotating.form(VOICE, FIELDS, header(new))
    assert not signatures.form(VOICE, FIELDS, header(new))


def shared(signature: str, settings: str) -> dict[str, str]:
    return {**header(signature), "X-Twilio-Webhooks-Signature-Settings": settings}


def test_a_shared_key() -> None:
    keyed = Signatures(("f" * 32,), {"key1": TOKEN})
    named = "key=key1,algorithm=HMAC_SHA256"
    assert keyed.form(VOICE, FIELDS, shared(SHARED_SIGNATURE, named))
    assert keyed.form(VOICE, FIELDS, shared(SHARED_SIGNATURE, "key=key1, algorithm=HMAC_SHA256"))
    assert not keyed.form(VOICE, FIELDS, header(SHARED_SIGNATURE))
    for other in ("key=key2,algorithm=HMAC_SHA256", "key=key1,algorithm=HMAC_MD5", "key=key1", "nonsense"):
        assert not keyed.form(VOICE, FIELDS, shared(SHARED_SIGNATURE, other))
        assert not keyed.form(VOICE, FIELDS, shared(FORM_SIGNATURE, other))


def test_the_header_chooses_no_key_that_was_not_configured() -> None:
    named = "key=key1,algorithm=HMAC_SHA256"
    assert not signatures.form(VOICE, FIELDS, shared(SHARED_SIGNATURE, named))
    assert signatures.form(VOICE, FIELDS, shared(FORM_SIGNATURE, named))


def test_nothing_is_configured() -> None:
    nobody = Signatures((), {})
    assert not nobody.configured
    assert not nobody.form(VOICE, FIELDS, header(FORM_SIGNATURE))
    assert signatures.configured
