"""The three webhooks, signed by Twilio's own SDK."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from xml.etree import ElementTree as ET

import aiohttp
import pytest
from twilio.request_validator import RequestValidator

from tests.transports.fakes import FakeHost, eventually
from tests.transports.twilio.fakes import (
    ACCOUNT,
    CALL,
    PUBLIC,
    TOKEN,
    Served,
    serving,
    signed,
)
from transports.twilio import guard
from transports.twilio.guard import MAX_BODY_BYTES

RINGING = {
    "AccountSid": ACCOUNT,
    "CallSid": CALL,
    "From": "+15005550001",
    "To": "+15005550006",
    "CallStatus": "ringing",
    "Direction": "inbound",
    "ApiVersion": "2010-04-01",
}


@dataclass
class TwilioSide:
    """Makes requests as Twilio does."""

    served: Served
    client: aiohttp.ClientSession
    public_url: str
    token: str | None = TOKEN

    @property
    def host(self) -> FakeHost:
        return self.served.host

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> tuple[int, ET.Element | None]:
        if self.token is not None:
            headers = {**signed(self.public_url + path, fields, self.token), **headers}
        async with self.client.post(self.served.url + path, data=fields, headers=headers) as response:
            text = await response.text()
            if response.content_type != "text/xml":
                return response.status, None
            return response.status, ET.fromstring(text)

    async def voice(self, **changes: str) -> ET.Element:
        status, answer = await self.post("/twilio/voice", {**RINGING, **changes})
        assert status == 200
        assert answer is not None
        return answer

    async def action(self, retry_token: str = "", **fields: str) -> ET.Element:
        status, answer = await self.post(
            "/twilio/action",
            {"CallSid": CALL, "CallStatus": "in-progress", **fields},
            **({"I-Twilio-Idempotency-Token": retry_token} if retry_token else {}),
        )
        assert status == 200
        assert answer is not None
        return answer


@asynccontextmanager
async def twilio(**environ: str) -> AsyncIterator[TwilioSide]:
    async with (
        serving({"TWILIO_AUTH_TOKEN": TOKEN, **environ}, public_url=PUBLIC) as served,
        aiohttp.ClientSession() as client,
    ):
        yield TwilioSide(served, client, PUBLIC)


def parameters(answer: ET.Element) -> dict[str, str]:
    return {each.attrib["name"]: each.attrib["value"] for each in answer.iter("Parameter")}


# --- voice ---------------------------------------------------------------------------------------------


async def test_a_call_is_connected_to_the_relay() -> None:
    async with twilio() as side:
        answer = await side.voice()
        relay = answer.find("Connect/ConversationRelay")
        assert relay is not None
        assert relay.attrib["url"] == "wss://voice.example.test/twilio/relay"
        assert relay.attrib["welcomeGreeting"] == "Hello, how can I help?"
        assert answer.find("Connect[@action='https://voice.example.test/twilio/action']") is not None
        assert side.host.tickets.issued == {parameters(answer)["ticket"]: CALL}


async def test_or_to_a_media_stream() -> None:
    async with twilio(PARLEY_TWILIO_MODE="media") as side:
        answer = await side.voice()
        stream = answer.find("Connect/Stream")
        assert stream is not None
        assert stream.attrib["url"] == "wss://voice.example.test/twilio/media"
        assert parameters(answer) == {
            "ticket": "ticket-1",
            "caller": "+15005550001",
            "called": "+15005550006",
            "direction": "inbound",
        }


@pytest.mark.parametrize(
    ("mode", "noun"), [("media", "Stream"), ("relay", "ConversationRelay"), ("nonsense", "ConversationRelay")]
)
async def test_a_numbers_webhook_address_may_name_the_other_mode(mode: str, noun: str) -> None:
    async with twilio(PARLEY_TWILIO_MODE="relay") as side:
        status, answer = await side.post(f"/twilio/voice?mode={mode}", RINGING)
        assert status == 200
        assert answer is not None
        assert answer.find(f"Connect/{noun}") is not None


async def test_a_repeated_request_holds_one_ticket() -> None:
    async with twilio() as side:
        await side.voice()
        again = await side.voice()
        assert side.host.tickets.issued == {parameters(again)["ticket"]: CALL}


async def test_a_full_server_answers_busy_to_a_call_that_rings() -> None:
    async with twilio() as side:
        side.host.tickets.full = True
        assert (await side.voice()).find("Reject[@reason='busy']") is not None
        assert (await side.voice(CallStatus="in-progress")).find("Hangup") is not None


async def test_without_a_secret_this_machine_needs_no_signature() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        side = TwilioSide(served, client, served.url, token=None)
        answer = await side.voice()
        relay = answer.find("Connect/ConversationRelay")
        assert relay is not None
        assert relay.attrib["url"] == served.ws + "/twilio/relay"
        status, _ = await side.post("/twilio/voice", RINGING, **{"X-Forwarded-For": "203.0.113.9"})
        assert status == 403
        status, _ = await side.post("/twilio/voice", RINGING, Origin="https://evil.example")
        assert status == 403
        assert served.host.bad == {("twilio", "not_local"): 1, ("twilio", "browser"): 1}


# --- signatures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/twilio/voice", "/twilio/status", "/twilio/action"])
async def test_every_webhook_has_to_be_signed(path: str) -> None:
    async with twilio() as side:
        side.token = "f" * 32
        assert (await side.post(path, {**RINGING, "CallStatus": "completed"}))[0] == 403
        side.token = None
        assert (await side.post(path, {**RINGING, "CallStatus": "completed"}))[0] == 403
        assert side.host.bad == {("twilio", "bad_signature"): 1, ("twilio", "no_signature"): 1}
        assert side.host.tickets.issued == {}
        assert side.host.over == []


async def test_a_signature_of_other_fields() -> None:
    async with twilio() as side:
        headers = signed(PUBLIC + "/twilio/voice", {**RINGING, "CallSid": "CA2"})
        side.token = None
        assert (await side.post("/twilio/voice", RINGING, **headers))[0] == 403


async def test_a_query_is_signed_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with twilio() as side:
        path = "/twilio/voice?tenant=a%20b&secret=s3cret"
        assert (await side.post(path, RINGING))[0] == 200
        side.token = "f" * 32
        for _ in range(50):
            assert (await side.post(path, RINGING))[0] == 403
        assert side.host.bad == {("twilio", "bad_signature"): 50}
    lines = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(lines) == 1
    assert "https://voice.example.test/twilio/voice" in lines[0]
    assert "PARLEY_PUBLIC_URL" in lines[0]
    assert "s3cret" not in caplog.text


async def test_the_old_token_is_good_while_it_is_rotated() -> None:
    async with (
        serving(public_url=PUBLIC, TWILIO_AUTH_TOKEN=f"{'f' * 32},{TOKEN}") as served,
        aiohttp.ClientSession() as client,
    ):
        await TwilioSide(served, client, PUBLIC).voice()
        await TwilioSide(served, client, PUBLIC, token="f" * 32).voice()


async def test_a_shared_key() -> None:
    async with twilio(PARLEY_TWILIO_SHARED_KEYS="key1=s3cret") as side:
        given = RequestValidator("s3cret").compute_signature(PUBLIC + "/twilio/voice", RINGING, "HMAC_SHA256")
        headers = {
            "X-Twilio-Signature": given,
            "X-Twilio-Webhooks-Signature-Settings": "key=key1,algorithm=HMAC_SHA256",
        }
        side.token = None
        assert (await side.post("/twilio/voice", RINGING, **headers))[0] == 200
        headers["X-Twilio-Webhooks-Signature-Settings"] = "key=key1,algorithm=HMAC_SHA512"
        assert (await side.post("/twilio/voice", RINGING, **headers))[0] == 403


async def test_a_recorded_request_does_not_open_the_call_again() -> None:
    async with twilio() as side:
        ticket = parameters(await side.voice())["ticket"]
        headers = signed("wss://voice.example.test/twilio/relay")
        socket = await side.client.ws_connect(side.served.ws + "/twilio/relay", headers=headers)
        await socket.send_json({"type": "setup", "callSid": CALL, "customParameters": {"ticket": ticket}})
        call = await side.served.call()
        status, _ = await side.post("/twilio/voice", RINGING)
        assert status == 403
        await socket.close()
        await eventually(lambda: call.events)
        assert (await side.post("/twilio/voice", RINGING))[0] == 403
        assert side.host.bad == {("twilio", "replayed"): 2}
        assert side.host.tickets.issued == {}


async def test_nothing_is_asked_for_a_call_that_is_over() -> None:
    async with twilio() as side:
        await side.post("/twilio/status", {**RINGING, "CallStatus": "completed"})
        in_progress = {**RINGING, "CallStatus": "in-progress"}
        assert (await side.post("/twilio/voice", in_progress))[0] == 403
        assert side.host.bad == {("twilio", "replayed"): 1}


async def test_a_live_call_that_is_sent_here_again_is_not_greeted_again() -> None:
    async with twilio() as side:
        side.host.live[CALL] = None  # type: ignore[assignment]  # that there is one is all that is asked
        answer = await side.voice(CallStatus="in-progress")
        assert parameters(answer)["greeted"] == "false"


# --- bodies --------------------------------------------------------------------------------------------


async def test_a_body_of_json_is_signed_by_its_hash() -> None:
    async with twilio() as side:
        path = "/twilio/status?bodySHA256=" + RequestValidator("").compute_hash(
            body := '{"CallSid":"CA1","CallStatus":"completed","Duration":7}'
        )
        headers = {"Content-Type": "application/json", **signed(PUBLIC + path)}
        async with side.client.post(side.served.url + path, data=body, headers=headers) as response:
            assert response.status == 200
        assert side.host.over == [("CA1", "completed")]
        async with side.client.post(side.served.url + path, data=body + " ", headers=headers) as response:
            assert response.status == 403


@pytest.mark.parametrize(
    ("body", "content_type", "status", "kind"),
    [
        (b"CallSid=%FF&CallStatus=ringing", "application/x-www-form-urlencoded", 400, "no_call_sid"),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400, "malformed_body"),
        (b"a=1&" * 600, "application/x-www-form-urlencoded", 400, "malformed_body"),
        (b"[1]", "application/json", 400, "malformed_body"),
        (b"{", "application/json", 400, "malformed_body"),
        (b"{}", "application/json", 400, "no_call_sid"),
        (b"", "application/x-www-form-urlencoded", 400, "no_call_sid"),
        (b"CallSid=..%2Fetc", "application/x-www-form-urlencoded", 400, "no_call_sid"),
        (b"a" * (MAX_BODY_BYTES + 1), "application/x-www-form-urlencoded", 413, "too_long"),
        (b"a" * 2_000_000, "application/x-www-form-urlencoded", 413, "too_long"),
    ],
)
async def test_a_body_that_is_no_form(body: bytes, content_type: str, status: int, kind: str) -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        headers = {"Content-Type": content_type}
        async with client.post(served.url + "/twilio/voice", data=BytesIO(body), headers=headers) as response:
            assert response.status == status
        assert served.host.bad == {("twilio", kind): 1}


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_DEADLINE_S", 0.05)

    head = b"POST /twilio/voice HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n"
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(head + b"Call")
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 20)
        assert served.host.bad == {("twilio", "slow_body"): 1}
        writer.write(b"Sid=")
        writer.close()
        await writer.wait_closed()


# --- status --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "failed", "busy", "no-answer", "canceled"])
async def test_a_call_that_is_over_is_ended_and_its_ticket_is_free(status: str) -> None:
    async with twilio() as side:
        await side.voice()
        for _ in range(2):
            code, answer = await side.post("/twilio/status", {**RINGING, "CallStatus": status})
            assert code == 200
            assert answer is not None
            assert list(answer) == []
        assert side.host.over == [(CALL, status)] * 2
        assert side.host.tickets.issued == {}


@pytest.mark.parametrize("status", ["queued", "initiated", "ringing", "in-progress", "answered"])
async def test_a_call_that_goes_on_is_left_alone(status: str) -> None:
    async with twilio() as side:
        await side.voice()
        await side.post("/twilio/status", {**RINGING, "CallStatus": status})
        assert side.host.over == []
        assert side.host.tickets.issued


# --- action --------------------------------------------------------------------------------------------


async def test_the_caller_hung_up() -> None:
    async with twilio() as side:
        answer = await side.action(CallStatus="completed", SessionStatus="completed")
        assert list(answer) == []
        assert side.host.over == [(CALL, "completed")]


async def test_the_agent_hung_up() -> None:
    async with twilio() as side:
        answer = await side.action(SessionStatus="ended", HandoffData='{"reason":"hang_up"}')
        assert [each.tag for each in answer] == ["Hangup"]
        assert side.host.over == [(CALL, "session_ended")]


async def test_the_agent_hands_over() -> None:
    async with twilio() as side:
        handoff = '{"reason":"transfer","target":"sip:desk@pbx.example.test"}'
        answer = await side.action(SessionStatus="ended", HandoffData=handoff)
        assert answer.findtext("Dial/Sip") == "sip:desk@pbx.example.test"
        assert side.host.over == [(CALL, "transferred")]


@pytest.mark.parametrize(
    "handoff",
    [
        "",
        "agent",
        "[]",
        '{"reason":"transfer"}',
        '{"reason":"transfer","target":7}',
        '{"target":"+15005550009"}',
    ],
)
async def test_other_handoff_data_ends_the_call(handoff: str) -> None:
    async with twilio() as side:
        answer = await side.action(SessionStatus="ended", HandoffData=handoff)
        assert [each.tag for each in answer] == ["Hangup"]


async def test_a_target_that_cannot_be_dialled_ends_the_call() -> None:
    async with twilio() as side:
        answer = await side.action(SessionStatus="ended", HandoffData='{"reason":"transfer","target":"boss"}')
        assert [each.tag for each in answer] == ["Hangup"]
        assert side.host.bad == {("twilio", "bad_handoff"): 1}


async def test_a_dropped_session_is_connected_again_twice_and_without_greeting() -> None:
    async with twilio() as side:
        side.host.live[CALL] = None  # type: ignore[assignment]  # that there is one is all that is asked
        failed = {"SessionStatus": "failed", "ErrorCode": "64105", "ErrorMessage": "Websocket ended"}
        for retry_token in ("one", "one", "two"):
            answer = await side.action(retry_token, **failed)
            relay = answer.find("Connect/ConversationRelay")
            assert relay is not None
            assert "welcomeGreeting" not in relay.attrib
            assert parameters(answer)["greeted"] == "false"
            assert side.host.tickets.issued == {parameters(answer)["ticket"]: CALL}
        assert side.host.over == []
        answer = await side.action("three", **failed)
        assert [each.tag for each in answer] == ["Hangup"]
        assert side.host.over == [(CALL, "line_lost")]


async def test_a_dropped_session_of_a_call_that_is_over_is_not_saved() -> None:
    async with twilio() as side:
        answer = await side.action(SessionStatus="failed", ErrorCode="64105", CallStatus="completed")
        assert list(answer) == []
        assert side.host.over == [(CALL, "completed")]


async def test_a_full_server_cannot_save_a_call() -> None:
    async with twilio() as side:
        side.host.tickets.full = True
        answer = await side.action(SessionStatus="failed", ErrorCode="64105")
        assert [each.tag for each in answer] == ["Hangup"]
        assert side.host.over == [(CALL, "line_lost")]


async def test_attributes_that_twilio_refuses_are_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with twilio() as side:
        answer = await side.action(SessionStatus="failed", ErrorCode="64101", ErrorMessage="Invalid voice")
        assert [each.tag for each in answer] == ["Hangup"]
    assert "Invalid voice" in caplog.text
    assert "PARLEY_TWILIO_" in caplog.text


async def test_a_media_stream_that_ended_hangs_up() -> None:
    async with twilio(PARLEY_TWILIO_MODE="media") as side:
        answer = await side.action()
        assert [each.tag for each in answer] == ["Hangup"]
        assert side.host.over == [(CALL, "session_ended")]
