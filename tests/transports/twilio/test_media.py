"""Media Streams over real sockets: a client plays Twilio, a small core answers."""

import asyncio
import base64
from typing import Any

import aiohttp
import orjson
import pytest

from agent.audio.formats import PCMU_8K
from agent.errors import LineError
from agent.lines import Direction
from tests.transports.fakes import FakeCall, eventually
from tests.transports.twilio.fakes import (
    ACCOUNT,
    CALL,
    PUBLIC,
    STREAM,
    TOKEN,
    Served,
    serving,
    signed,
)
from tests.transports.twilio.phone import Phone
from transports import session
from transports.websocket import MediaWebSocket

CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
STOP = {"event": "stop", "streamSid": STREAM, "stop": {"accountSid": ACCOUNT, "callSid": CALL}}
FRAME = bytes(range(160))


def start(call: str = CALL, encoding: str = "audio/x-mulaw", **parameters: str) -> dict[str, Any]:
    return {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": STREAM,
        "start": {
            "accountSid": ACCOUNT,
            "streamSid": STREAM,
            "callSid": call,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": encoding, "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        },
    }


def media(
    payload: bytes = FRAME, timestamp: int = 20, stream: str = STREAM, **changes: Any
) -> dict[str, Any]:
    body = {
        "track": "inbound",
        "chunk": "1",
        "timestamp": str(timestamp),
        "payload": base64.b64encode(payload).decode(),
    }
    return {"event": "media", "sequenceNumber": "2", "streamSid": stream, "media": {**body, **changes}}


async def dial(served: Served, client: aiohttp.ClientSession, **headers: str) -> Phone:
    return await Phone.dial(client, served.ws + "/twilio/media", headers)


async def answered(
    served: Served, client: aiohttp.ClientSession, call: str = CALL, **parameters: str
) -> tuple[Phone, FakeCall]:
    phone = await dial(served, client)
    await phone.send(CONNECTED, start(call, **parameters))
    return phone, await served.call()


async def test_a_call_is_answered_with_what_twilio_told() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(
            served, client, caller="+15005550001", called="+15005550006", direction="outbound-api", shop="7"
        )
        info = call.line.info
        assert (info.transport, info.platform_call_id) == ("twilio-media", CALL)
        assert (info.caller, info.called) == ("+15005550001", "+15005550006")
        assert info.direction is Direction.OUTBOUND
        assert info.parameters == {"shop": "7"}
        assert call.line.inbound == call.line.outbound == PCMU_8K
        assert call.line.lead_ms == 200
        await phone.socket.close()


async def test_audio_keys_and_marks_reach_the_call() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        await phone.send(
            media(FRAME, 20),
            media(b"\xff", 40),
            {"event": "dtmf", "streamSid": STREAM, "dtmf": {"track": "inbound_track", "digit": "#"}},
            {"event": "mark", "streamSid": STREAM, "mark": {"name": "turn-4"}},
            STOP,
        )
        assert await phone.closed() == 1000
        assert call.events == [
            ("hear", FRAME, 20),
            ("hear", b"\xff", 40),
            ("dtmf", "#"),
            ("marked", "turn-4"),
            ("hung_up", "caller_hung_up"),
        ]
        assert call.line.info.direction is Direction.INBOUND
        assert not call.bad


async def test_audio_marks_and_clear_reach_twilio_in_order() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        call.line.send(FRAME)
        call.line.mark("turn-1")
        call.line.clear()
        payload = base64.b64encode(FRAME).decode()
        assert [await phone.receive() for _ in range(3)] == [
            {"event": "media", "streamSid": STREAM, "media": {"payload": payload}},
            {"event": "mark", "streamSid": STREAM, "mark": {"name": "turn-1"}},
            {"event": "clear", "streamSid": STREAM},
        ]
        await phone.socket.close()


async def test_digits_cannot_be_sent() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        call.line.send_digits("1")
        assert call.bad == {"unsupported_digits": 1}
        await phone.socket.close()


# --- the end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "cause"),
    [(1000, "caller_hung_up"), (1001, "caller_hung_up"), (1011, "line_lost"), (1006, "line_lost")],
)
async def test_a_close_without_stop_is_the_end(code: int, cause: str) -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        if code == 1006:
            await phone.vanish()
        else:
            await phone.socket.close(code=code)
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [("hung_up", cause)]
        call.line.send(FRAME)
        call.line.mark("x")
        call.line.clear()
        call.line.close()


async def test_without_credentials_closing_hangs_up() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        await call.line.hang_up()
        await call.line.hang_up()
        assert await phone.closed() == 1000
        assert call.events == []


async def test_without_credentials_the_action_webhook_transfers() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        with pytest.raises(LineError, match="neither"):
            await call.line.transfer("the boss")
        await call.line.transfer("+15005550009")
        assert await phone.closed() == 1000
        form = {"CallSid": CALL, "CallStatus": "in-progress"}
        async with client.post(served.url + "/twilio/action", data=form) as response:
            assert "<Dial><Number>+15005550009</Number></Dial>" in await response.text()
        assert served.host.over == [(CALL, "transferred")]


async def test_what_comes_after_stop_is_not_heard() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        await phone.send(STOP, media(), STOP)
        assert await phone.closed() == 1000
        assert call.events == [("hung_up", "caller_hung_up")]


async def test_the_caller_hangs_up_before_start() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send(CONNECTED)
        await phone.socket.close()
        assert served.host.calls == []


async def test_a_call_that_does_not_end_in_time_does_not_hold_the_socket(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session, "TEARDOWN_DEADLINE_S", 0.05)

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        monkeypatch.setattr(call, "hung_up", never)
        await phone.send(STOP)
        assert await phone.closed() == 1000
    assert "did not end in time" in caplog.text


async def test_the_server_stops_during_a_call() -> None:
    async with aiohttp.ClientSession() as client:
        async with serving() as served:
            _, call = await answered(served, client)
        assert call.events == [("hung_up", "line_lost")]


# --- who may speak -------------------------------------------------------------------------------------


async def test_only_a_signed_upgrade_with_its_ticket_gets_in() -> None:
    async with (
        serving(public_url=PUBLIC, TWILIO_AUTH_TOKEN=TOKEN) as served,
        aiohttp.ClientSession() as client,
    ):
        headers = signed("wss://voice.example.test/twilio/media")
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await dial(served, client)
        ticket = served.host.tickets.issue(CALL)
        phone = await dial(served, client, **headers)
        await phone.send(CONNECTED, start(ticket=ticket))
        call = await served.call()
        again = await dial(served, client, **headers)
        await again.send(CONNECTED, start(ticket=ticket))
        assert await again.closed() == 1008
        assert served.host.bad == {("twilio-media", "no_signature"): 1, ("twilio-media", "bad_ticket"): 1}
        assert served.host.calls == [call]
        await phone.socket.close()


async def test_a_start_that_is_not_well_formed_does_not_use_the_ticket_up() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        ticket = served.host.tickets.issue(CALL)
        phone = await dial(served, client)
        broken = start(ticket=ticket)
        del broken["start"]["callSid"]
        await phone.send(broken, start(ticket=ticket))
        call = await served.call()
        assert call.bad == {"missing_field": 1}
        await phone.socket.close()


# --- bad input -----------------------------------------------------------------------------------------


async def test_no_bad_message_ends_the_call(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send(media(), CONNECTED, start())
        call = await served.call()
        await phone.send(
            b"\x00",
            b"[]",
            {"event": "interlude"},
            {"event": "media", "streamSid": STREAM},
            media(payload=b"", timestamp=1),
            {**media(), "media": {"payload": "not base64!"}},
            media(stream="MZ00000000000000000000000000000002"),
            media(track="outbound"),
            {"event": "mark", "streamSid": STREAM, "mark": {}},
            {"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": "99"}},
            start(),
            start(encoding="audio/x-alaw"),
            media(payload=bytes(1_000_000)),
        )
        await phone.socket.send_bytes(FRAME)
        await phone.send(*[b"{}"] * 200, media(b"\x01\x02\x03", 60))
        await eventually(lambda: call.events)
        assert call.events == [("hear", b"\x01\x02\x03", 60)]
        await eventually(lambda: call.bad["binary"])
        assert call.bad == {
            "before_start": 1,
            "malformed_json": 1,
            "not_an_object": 1,
            "unknown_event": 201,
            "missing_field": 2,
            "empty_payload": 1,
            "wrong_base64": 1,
            "wrong_stream": 1,
            "track": 1,
            "digit": 1,
            "second_start": 1,
            "media_format": 1,
            "too_long": 1,
            "binary": 1,
        }
        assert len(served.host.calls) == 1
        await phone.socket.close()
        await asyncio.wait_for(call.ended.wait(), 20)
    lines = [record for record in caplog.records if record.name.startswith("transports")]
    assert len(lines) == len(call.bad)


async def test_a_message_that_breaks_the_core_does_not_break_the_socket(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        call.breaks_on_audio = True
        await phone.send(*[media()] * 100)
        await phone.send({"event": "mark", "streamSid": STREAM, "mark": {"name": "after"}})
        await eventually(lambda: call.events)
        assert call.events == [("marked", "after")]
        assert call.bad == {"internal_error": 100}
        await phone.socket.close()
        await asyncio.wait_for(call.ended.wait(), 20)
    assert caplog.text.count("RuntimeError: the core has a bug") == 1


async def test_a_stream_in_another_format_is_refused_at_once() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send(CONNECTED, start(encoding="audio/x-alaw"))
        assert await phone.closed() == 1003
        await eventually(lambda: served.host.bad)
        assert served.host.bad == {("twilio-media", "media_format"): 1}
        assert served.host.calls == []


@pytest.mark.parametrize("sent", [[], [CONNECTED], [CONNECTED, media(), media()]])
async def test_a_socket_that_never_starts_is_closed(
    sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "START_DEADLINE_S", 0.05)
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send(*sent)
        assert await phone.closed() == 1008
        await eventually(lambda: ("twilio-media", "no_start") in served.host.bad)
        assert served.host.calls == []


async def test_after_start_there_is_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "START_DEADLINE_S", 0.05)
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        await asyncio.sleep(0.15)
        await phone.send(media())
        await eventually(lambda: call.events)
        assert call.events == [("hear", FRAME, 20)]
        await phone.socket.close()


async def test_a_peer_that_stops_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.websocket.STALL_MS", 50)
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        phone.transport.pause_reading()

        async def talk() -> None:
            while not call.ended.is_set():
                for _ in range(200):
                    call.line.send(bytes(1600))
                await asyncio.sleep(0.01)

        await asyncio.wait_for(talk(), 20)
        assert call.events == [("hung_up", "line_lost")]


async def test_a_peer_that_does_not_answer_the_close_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CLOSE_DEADLINE_S", 0.1)
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        cut_off = asyncio.Event()
        abort = MediaWebSocket.abort

        def cut(socket: MediaWebSocket) -> None:
            abort(socket)
            cut_off.set()

        monkeypatch.setattr(MediaWebSocket, "abort", cut)
        phone.transport.pause_reading()
        call.line.close()
        await asyncio.wait_for(cut_off.wait(), 20)
        phone.transport.resume_reading()
        assert await phone.closed() is not None


async def test_two_calls_do_not_hear_each_other() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        one, first = await answered(served, client)
        other, second = await answered(served, client, call="CA2")
        await one.send(media(b"\x01", 1))
        await other.send(media(b"\x02", 2))
        await one.send(*[orjson.dumps(["bad"])] * 300)
        await one.vanish()
        await asyncio.wait_for(first.ended.wait(), 20)
        await other.send(media(b"\x03", 3))
        await eventually(lambda: len(second.events) == 2)
        assert second.events == [("hear", b"\x02", 2), ("hear", b"\x03", 3)]
        assert not second.bad
        await other.socket.close()
