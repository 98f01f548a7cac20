"""ConversationRelay over real sockets: a client plays Twilio, a small core answers."""

import asyncio
import logging
from typing import Any

import aiohttp
import orjson
import pytest

from agent.errors import LineError
from agent.lines import Direction
from tests.transports.fakes import FakeCall, eventually
from tests.transports.twilio.fakes import (
    ACCOUNT,
    CALL,
    PUBLIC,
    TOKEN,
    Served,
    serving,
    signed,
)
from tests.transports.twilio.phone import Phone
from transports import session


def setup(call: str = CALL, **parameters: str) -> dict[str, Any]:
    return {
        "type": "setup",
        "sessionId": "VX1",
        "accountSid": ACCOUNT,
        "callSid": call,
        "from": "+15005550001",
        "to": "+15005550006",
        "direction": "inbound",
        "callStatus": "RINGING",
        "customParameters": parameters,
    }


async def dial(served: Served, client: aiohttp.ClientSession, **headers: str) -> Phone:
    return await Phone.dial(client, served.ws + "/twilio/relay", headers)


async def answered(
    served: Served, client: aiohttp.ClientSession, call: str = CALL, **parameters: str
) -> tuple[Phone, FakeCall]:
    phone = await dial(served, client)
    await phone.send(setup(call, **parameters))
    return phone, await served.call()


async def test_a_call_is_answered_with_what_twilio_told() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client, greeted="true", campaign="spring")
        info = call.line.info
        assert (info.transport, info.platform_call_id) == ("twilio-relay", CALL)
        assert (info.caller, info.called) == ("+15005550001", "+15005550006")
        assert info.direction is Direction.INBOUND
        assert info.parameters == {"campaign": "spring"}
        assert call.greeted
        assert call.line.reports_played
        await phone.socket.close()


async def test_all_that_twilio_hears_reaches_the_call() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        await phone.send(
            {"type": "info", "name": "agentSpeaking", "value": "on"},
            {"type": "info", "name": "clientSpeaking", "value": "on"},
            {"type": "info", "name": "tokensPlayed", "value": "Hello,"},
            {"type": "interrupt", "utteranceUntilInterrupt": "Hello,", "durationUntilInterruptMs": "684"},
            {"type": "info", "name": "agentSpeaking", "value": "off"},
            {"type": "prompt", "voicePrompt": "I would", "lang": "en", "last": False},
            {"type": "prompt", "voicePrompt": "I would like", "lang": "en-US", "last": True},
            {"type": "dtmf", "digit": "5"},
        )
        await phone.socket.close(code=1000, message=b"Closing websocket session")
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [
            ("agent_speaking", True),
            ("caller_speaking", True),
            ("played", "Hello,"),
            ("interrupted", "Hello,", 684.0),
            ("agent_speaking", False),
            ("prompt", "I would", False, "en"),
            ("prompt", "I would like", True, "en-US"),
            ("dtmf", "5"),
            ("hung_up", "caller_hung_up"),
        ]
        assert not call.bad


async def test_all_that_the_call_says_reaches_twilio() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        call.line.say("Sure, ", last=False, language="en")
        call.line.say("gracias", last=False, language="es")
        call.line.switch_language("es")
        call.line.switch_language("es")
        call.line.say(" ", last=True, language="es")
        call.line.send_digits("1w#")
        assert [await phone.receive() for _ in range(5)] == [
            {"type": "text", "token": "Sure, ", "last": False},
            {"type": "text", "token": "gracias", "last": False, "lang": "es-ES"},
            {"type": "language", "ttsLanguage": "es-ES", "transcriptionLanguage": "es-ES"},
            {"type": "text", "token": " ", "last": True},
            {"type": "sendDigits", "digits": "1w#"},
        ]
        await phone.socket.close()


async def test_a_long_text_goes_out_in_pieces() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        text = "word " * 500
        call.line.say(text, last=True)
        pieces = [await phone.receive() for _ in range(3)]
        assert "".join(piece["token"] for piece in pieces) == text
        assert [piece["last"] for piece in pieces] == [False, False, True]
        await phone.socket.close()


async def test_digits_that_cannot_be_sent_are_counted() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        call.line.send_digits("12A")
        assert call.bad == {"unsupported_digits": 1}
        await phone.socket.close()


async def test_played_text_is_reported_only_if_asked_for_or_seen() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        assert not call.greeted
        assert not call.line.reports_played
        await phone.send({"type": "info", "name": "tokensPlayed", "value": "Hello"})
        await eventually(lambda: call.line.reports_played)
        await phone.socket.close()


@pytest.mark.parametrize("greeted", ["true", "false"])
async def test_without_events_nothing_is_promised(greeted: str) -> None:
    async with serving(PARLEY_TWILIO_EVENTS="none") as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client, greeted=greeted)
        assert call.greeted == (greeted == "true")
        assert not call.line.reports_played
        await phone.socket.close()


# --- the end -------------------------------------------------------------------------------------------


async def test_the_agent_hangs_up() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        await call.line.hang_up()
        await call.line.hang_up()
        call.line.say("too late", last=True)
        call.line.close()
        end = await phone.receive()
        assert end["type"] == "end"
        assert orjson.loads(end["handoffData"]) == {"reason": "hang_up"}
        await phone.socket.close(code=1000)
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [("hung_up", "agent_hung_up")]


async def test_a_transfer_says_where_to() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        with pytest.raises(LineError, match="neither"):
            await call.line.transfer("the boss")
        await call.line.transfer("+15005550009")
        end = await phone.receive()
        assert orjson.loads(end["handoffData"]) == {"reason": "transfer", "target": "+15005550009"}
        await phone.socket.close(code=1000)
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [("hung_up", "transferred")]
        with pytest.raises(LineError, match="closed"):
            await call.line.transfer("+15005550009")


async def test_after_end_twilio_closes_first_and_if_it_does_not_we_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transports.twilio.relay.END_GRACE_MS", 50.0)
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        await call.line.hang_up()
        call.line.close()
        assert (await phone.receive())["type"] == "end"
        assert await phone.closed() == 1000


@pytest.mark.parametrize("code", [1001, 1006, 1007, 1011])
async def test_a_socket_that_breaks_waits_for_another(code: int) -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        if code == 1006:
            await phone.vanish()
        else:
            await phone.socket.close(code=code)
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [("lost",)]
        call.line.say("into the void", last=True)
        call.line.close()


async def test_an_end_of_file_is_no_hang_up() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        phone.transport.close()
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [("lost",)]


async def test_a_second_socket_takes_over_and_the_first_is_closed_in_silence() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        first, call = await answered(served, client)
        second, taken = await answered(served, client, greeted="false")
        assert taken is call
        assert await first.closed() == 1000
        assert call.events == [("reattached",)]
        assert not taken.greeted
        await second.send({"type": "prompt", "voicePrompt": "Still there?", "last": True})
        await eventually(lambda: taken.count("prompt"))
        await second.socket.close(code=1000)
        await asyncio.wait_for(taken.ended.wait(), 20)


async def test_the_core_closes_the_line() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        call.line.close()
        call.line.close()
        assert await phone.closed() == 1000
        assert call.events == []


async def test_the_caller_hangs_up_before_setup() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.socket.close(code=1000)
        assert served.host.calls == []


async def test_a_lost_call_is_hung_up_over_nothing() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        await phone.vanish()
        await asyncio.wait_for(call.ended.wait(), 20)
        await call.line.hang_up()
        with pytest.raises(LineError, match="closed"):
            await call.line.transfer("+15005550009")


async def test_the_server_stops_during_a_call() -> None:
    async with aiohttp.ClientSession() as client:
        async with serving() as served:
            phone, call = await answered(served, client)
        assert call.events == [("lost",)]
        assert phone.socket.closed or await phone.closed() is not None


# --- who may speak -------------------------------------------------------------------------------------


async def test_only_a_signed_upgrade_with_its_ticket_gets_in() -> None:
    async with (
        serving(public_url=PUBLIC, TWILIO_AUTH_TOKEN=TOKEN) as served,
        aiohttp.ClientSession() as client,
    ):
        headers = signed("wss://voice.example.test/twilio/relay")
        ticket = served.host.tickets.issue(CALL)
        phone = await dial(served, client, **headers)
        await phone.send(setup(ticket=ticket))
        call = await served.call()
        assert call.line.info.parameters == {}

        again = await dial(served, client, **headers)
        await again.send(setup(ticket=ticket))
        assert await again.closed() == 1008
        assert served.host.bad == {("twilio-relay", "bad_ticket"): 1}
        assert served.host.calls == [call]
        await phone.socket.close()


@pytest.mark.parametrize(
    ("ticket", "kind"), [("", "no_ticket"), ("guessed", "bad_ticket"), ("foreign", "bad_ticket")]
)
async def test_without_its_ticket_a_signed_socket_is_closed(ticket: str, kind: str) -> None:
    async with (
        serving(public_url=PUBLIC, TWILIO_AUTH_TOKEN=TOKEN) as served,
        aiohttp.ClientSession() as client,
    ):
        foreign = served.host.tickets.issue("CA2")
        phone = await dial(served, client, **signed("wss://voice.example.test/twilio/relay"))
        await phone.send(setup(ticket=foreign if ticket == "foreign" else ticket))
        assert await phone.closed() == 1008
        assert served.host.bad == {("twilio-relay", kind): 1}
        assert served.host.calls == []


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, "no_signature"),
        ({"x-twilio-signature": "forged"}, "bad_signature"),
        (dict(signed("https://voice.example.test/twilio/relay")), "bad_signature"),
        (dict(signed("wss://voice.example.test/twilio/media")), "bad_signature"),
        (dict(signed("wss://voice.example.test/twilio/relay", token="f" * 32)), "bad_signature"),
    ],
)
async def test_a_forged_upgrade_is_refused_before_it_is_accepted(headers: dict[str, str], kind: str) -> None:
    async with (
        serving(public_url=PUBLIC, TWILIO_AUTH_TOKEN=TOKEN) as served,
        aiohttp.ClientSession() as client,
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await dial(served, client, **headers)
        assert caught.value.status == 403
        assert served.host.bad == {("twilio-relay", kind): 1}


async def test_without_a_secret_only_this_machine_and_no_web_page(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        for headers in ({"X-Forwarded-For": "203.0.113.9"}, {"Origin": "https://evil.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await dial(served, client, **headers)
            assert caught.value.status == 403
        assert served.host.bad == {("twilio-relay", "not_local"): 1, ("twilio-relay", "browser"): 1}
    assert "TWILIO_AUTH_TOKEN" in caplog.text


async def test_a_ticket_that_is_shown_has_to_be_good_even_from_this_machine() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send(setup(ticket="made-up"))
        assert await phone.closed() == 1008


async def test_a_plain_request_is_no_upgrade() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        async with client.get(served.url + "/twilio/relay") as response:
            assert response.status == 426
        assert served.host.bad == {("twilio-relay", "no_upgrade"): 1}


async def test_a_call_id_that_is_none_starts_no_call() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send(setup("../etc"), setup("x" * 1_000), setup())
        call = await served.call()
        assert call.line.info.platform_call_id == CALL
        assert call.bad == {"call_sid": 2}
        await phone.socket.close()


async def test_a_full_server_closes_the_socket() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        served.host.full = True
        phone = await dial(served, client)
        await phone.send(setup())
        assert await phone.closed() == 1013
        assert served.host.calls == []


async def test_a_core_that_cannot_answer_gives_the_slot_back(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        served.host.fails = True
        phone = await dial(served, client)
        await phone.send(setup())
        assert await phone.closed() == 1011
        assert [slot.releases for slot in served.host.slots] == [1]
        await eventually(lambda: served.host.bad)
        assert served.host.bad == {("twilio-relay", "internal_error"): 1}
    assert "cannot answer" in caplog.text


# --- bad input -----------------------------------------------------------------------------------------


async def test_a_socket_that_never_says_which_call_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "START_DEADLINE_S", 0.05)
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send(b"hello?", {"type": "prompt", "voicePrompt": "Hi", "last": True})
        assert await phone.closed() == 1008
        await eventually(lambda: len(served.host.bad) == 3)
        assert served.host.bad == {
            ("twilio-relay", "malformed_json"): 1,
            ("twilio-relay", "before_start"): 1,
            ("twilio-relay", "no_start"): 1,
        }


async def test_nonsense_without_end_does_not_wait_for_the_deadline() -> None:
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send(*[b"{"] * 60)
        assert await phone.closed() == 1008
        await eventually(lambda: served.host.bad)
        assert served.host.bad == {("twilio-relay", "malformed_json"): session.MAX_BAD_BEFORE_START + 1}


async def test_no_bad_message_ends_the_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as served, aiohttp.ClientSession() as client:
        phone = await dial(served, client)
        await phone.send({"type": "dtmf", "digit": "1"}, setup())
        call = await served.call()
        for _ in range(200):
            await phone.send(b'{"type":')
        await phone.send(
            b"[]",
            {"type": "interlude"},
            {"type": "prompt", "last": True},
            {"type": "dtmf", "digit": "55"},
            setup(),
            setup("CA00000000000000000000000000000002"),
            b'{"type":"prompt","voicePrompt":"' + b"a" * 1_000_000 + b'"}',
            {"type": "error", "description": 'Invalid message received, code: 64107, {"token":"my secret"}'},
        )
        await phone.socket.send_bytes(b"\x00" * 320)
        await phone.send({"type": "prompt", "voicePrompt": "Still here", "last": True})
        await eventually(lambda: call.events)
        assert call.events == [("prompt", "Still here", True, None)]
        assert call.bad == {
            "before_start": 1,
            "malformed_json": 200,
            "not_an_object": 1,
            "unknown_type": 1,
            "missing_field": 1,
            "digit": 1,
            "second_start": 2,
            "too_long": 1,
            "platform_error": 1,
            "binary": 1,
        }
        assert len(served.host.calls) == 1
        await phone.socket.close(code=1000)
        await asyncio.wait_for(call.ended.wait(), 20)
    lines = [record for record in caplog.records if record.name.startswith("transports")]
    assert len(lines) == len(call.bad) + 1
    assert "64107" in caplog.text
    assert "my secret" not in caplog.text


async def test_a_peer_that_stops_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transports.websocket.STALL_MS", 50)
    async with serving() as served, aiohttp.ClientSession() as client:
        phone, call = await answered(served, client)
        phone.transport.pause_reading()

        async def talk() -> None:
            while not call.ended.is_set():
                for _ in range(200):
                    call.line.say("a" * 1_000, last=False)
                await asyncio.sleep(0.01)

        await asyncio.wait_for(talk(), 20)
        assert call.events == [("lost",)]
