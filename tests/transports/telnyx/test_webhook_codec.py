"""Call Control webhooks, as the protocol sheet has them."""

import orjson
import pytest

from agent.errors import WireError
from transports.telnyx.webhook_codec import Kind, Webhook, read_webhook

INITIATED = (
    b'{"data":{"record_type":"event","event_type":"call.initiated","id":"00000000-0000-4000-8000-000000000001",'
    b'"occurred_at":"2026-11-20T10:00:00.000000Z","payload":{"call_control_id":"v3:exampleControlId",'
    b'"call_leg_id":"00000000-0000-4000-8000-0000000000a1","call_session_id":"00000000-0000-4000-8000-0000000000b1"'
    b',"connection_id":"1000000000000000001","client_state":null,"from":"+15005550001","to":"+15005550006",'
    b'"direction":"incoming","state":"parked","start_time":"2026-11-20T10:00:00.000000Z",'
    b'"offered_codecs":"PCMU,PCMA,G722","shaken_stir_attestation":"A","shaken_stir_validated":true}},'
    b'"meta":{"attempt":1,"delivered_to":"https://voice.example.test/telnyx/events"}}'
)


def test_the_sheets_call_initiated() -> None:
    assert read_webhook(INITIATED) == Webhook(
        kind=Kind.INITIATED,
        event_id="00000000-0000-4000-8000-000000000001",
        call_control_id="v3:exampleControlId",
        session_id="00000000-0000-4000-8000-0000000000b1",
        incoming=True,
        caller="+15005550001",
        called="+15005550006",
        occurred_at="2026-11-20T10:00:00.000000Z",
    )


@pytest.mark.parametrize("kind", list(Kind))
def test_only_the_calls_id_is_needed(kind: Kind) -> None:
    body = {"data": {"event_type": kind.value, "payload": {"call_control_id": "v3:x", "from": None}}}
    found = read_webhook(orjson.dumps(body))
    assert (found.kind, found.call_control_id, found.event_id) == (kind, "v3:x", "")


def test_other_fields() -> None:
    def read(event_type: str, **payload: object) -> Webhook:
        data = {"event_type": event_type, "payload": {"call_control_id": "v3:x", **payload}}
        return read_webhook(orjson.dumps({"data": data}))

    assert read("call.dtmf.received", digit="5").digit == "5"
    assert (
        read("call.hangup", hangup_cause="normal_clearing", call_quality_stats=None).cause
        == "normal_clearing"
    )
    assert read("streaming.failed", failure_reason="connection_failed").cause == "connection_failed"
    assert not read("call.initiated", direction="outgoing").incoming


def test_unknown_events_are_acknowledged_even_without_a_call() -> None:
    assert read_webhook(b'{"data":{"event_type":"message.received","payload":[]}}').kind is None


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "malformed_body"),
        (b"\xff", "malformed_body"),
        (b"[]", "malformed_body"),
        (b'{"data":[]}', "malformed_body"),
        (b'{"data":{"event_type":5}}', "malformed_body"),
        (b'{"data":{"event_type":"call.hangup"}}', "no_call_id"),
        (b'{"data":{"event_type":"call.hangup","payload":{"call_control_id":5}}}', "no_call_id"),
    ],
)
def test_nonsense_is_named(body: bytes, kind: str) -> None:
    with pytest.raises(WireError) as caught:
        read_webhook(body)
    assert caught.value.kind == kind
