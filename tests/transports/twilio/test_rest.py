"""REST actions: Twilio's own SDK against a stand-in of its API, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from agent.clock import LoopClock
from agent.errors import ConfigError, LineError
from loadtest.simulators.twilio_rest import CallUpdate, TwilioRestSimulator
from tests.transports.fakes import FakeCall
from tests.transports.twilio.fakes import ACCOUNT, CALL, TOKEN, Served, serving, signed
from tests.transports.twilio.phone import Phone
from tests.transports.twilio.test_media import CONNECTED, STOP, start
from transports.twilio import rest
from transports.twilio.rest import TwilioRest


@asynccontextmanager
async def api(token: str = TOKEN) -> AsyncIterator[tuple[TwilioRestSimulator, TwilioRest]]:
    async with TwilioRestSimulator(ACCOUNT, TOKEN, LoopClock()) as simulator:
        simulator.calls[CALL] = "in-progress"
        client = TwilioRest(ACCOUNT, token, simulator.url)
        try:
            yield simulator, client
        finally:
            await client.close()


async def test_hanging_up() -> None:
    async with api() as (simulator, client):
        await client.hang_up(CALL)
        assert simulator.updates == [CallUpdate(CALL, "completed", None)]
        assert simulator.calls == {CALL: "completed"}


async def test_hanging_up_a_call_that_is_over() -> None:
    async with api() as (simulator, client):
        await client.hang_up(CALL)
        await client.hang_up(CALL)
        await client.hang_up("CA2")
        assert len(simulator.updates) == 1
        assert simulator.refused == [20404, 20404]


async def test_redirecting() -> None:
    async with api() as (simulator, client):
        await client.redirect(CALL, "<Response><Hangup/></Response>")
        assert simulator.updates == [CallUpdate(CALL, None, "<Response><Hangup/></Response>")]


async def test_redirecting_a_call_that_is_over_fails() -> None:
    async with api() as (simulator, client):
        simulator.calls[CALL] = "completed"
        with pytest.raises(LineError, match="error 20404"):
            await client.redirect(CALL, "<Response/>")


async def test_wrong_credentials() -> None:
    async with api(token="f" * 32) as (simulator, client):
        with pytest.raises(LineError, match="401, error 20003") as caught:
            await client.hang_up(CALL)
        assert "f" * 32 not in str(caught.value)
        assert simulator.updates == []


async def test_an_api_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "HANG_UP_DEADLINE_S", 0.05)
    async with api() as (simulator, client):
        simulator.delay_ms = 300
        with pytest.raises(LineError, match="no answer"):
            await client.hang_up(CALL)
        # It was only slow: the request goes on behind our back.
        await asyncio.sleep(0.5)
        assert simulator.calls == {CALL: "completed"}


async def test_an_api_that_is_not_there() -> None:
    client = TwilioRest(ACCOUNT, TOKEN, "http://127.0.0.1:9")
    with pytest.raises(LineError, match="ConnectionError"):
        await client.hang_up(CALL)
    await client.close()
    await client.close()
    with pytest.raises(LineError, match="closed"):
        await client.hang_up(CALL)


async def test_requests_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "MAX_PENDING", 2)
    async with api() as (simulator, client):
        simulator.delay_ms = 100
        results = await asyncio.gather(*[client.hang_up(CALL) for _ in range(3)], return_exceptions=True)
        assert [type(result) for result in results] == [type(None), type(None), LineError]
        await client.hang_up(CALL)


# --- as the media line uses it -------------------------------------------------------------------------


@asynccontextmanager
async def media_call() -> AsyncIterator[tuple[Served, TwilioRestSimulator, Phone, FakeCall]]:
    """A call on a server that has credentials, signature and all."""
    async with TwilioRestSimulator(ACCOUNT, TOKEN, LoopClock()) as simulator:
        simulator.calls[CALL] = "in-progress"
        environ = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "PARLEY_TWILIO_API_URL": simulator.url,
        }
        async with serving(environ) as served, aiohttp.ClientSession() as client:
            url = served.ws + "/twilio/media"
            phone = await Phone.dial(client, url, signed(url))
            await phone.send(CONNECTED, start(ticket=served.host.tickets.issue(CALL)))
            yield served, simulator, phone, await served.call()
            await phone.socket.close()


async def test_a_media_line_hangs_up_over_rest_and_then_closes() -> None:
    async with media_call() as (_, simulator, phone, call):
        await call.line.hang_up()
        assert simulator.updates == [CallUpdate(CALL, "completed", None)]
        assert await phone.closed() == 1000


async def test_a_stop_that_overtakes_the_hang_up_is_the_agents() -> None:
    async with media_call() as (_, simulator, phone, call):
        simulator.delay_ms = 200
        hanging_up = asyncio.create_task(call.line.hang_up())
        await asyncio.sleep(0.05)
        await phone.send(STOP)
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [("hung_up", "agent_hung_up")]
        await hanging_up


async def test_a_hang_up_that_fails_closes_the_socket_all_the_same() -> None:
    async with media_call() as (_, simulator, phone, call):
        simulator.calls.clear()
        await call.line.hang_up()
        assert simulator.refused == [20404]
        assert await phone.closed() == 1000


async def test_a_media_line_is_transferred_over_rest() -> None:
    async with media_call() as (_, simulator, phone, call):
        await call.line.transfer("+15005550009")
        (update,) = simulator.updates
        assert update.twiml is not None
        assert "<Dial><Number>+15005550009</Number></Dial>" in update.twiml
        await phone.send(STOP)
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [("hung_up", "transferred")]


async def test_a_transfer_that_fails_leaves_the_call_as_it_was() -> None:
    async with media_call() as (served, simulator, phone, call):
        simulator.calls.clear()
        with pytest.raises(LineError, match="20404"):
            await call.line.transfer("+15005550009")
        assert served.twilio._parts.book.handoff(CALL) is None
        await phone.send(STOP)
        await asyncio.wait_for(call.ended.wait(), 20)
        assert call.events == [("hung_up", "caller_hung_up")]


async def test_a_relay_call_whose_socket_is_lost_is_hung_up_over_rest() -> None:
    async with TwilioRestSimulator(ACCOUNT, TOKEN, LoopClock()) as simulator:
        simulator.calls[CALL] = "in-progress"
        environ = {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "PARLEY_TWILIO_API_URL": simulator.url,
        }
        async with serving(environ) as served, aiohttp.ClientSession() as client:
            url = served.ws + "/twilio/relay"
            phone = await Phone.dial(client, url, signed(url))
            parameters = {"ticket": served.host.tickets.issue(CALL)}
            await phone.send({"type": "setup", "callSid": CALL, "customParameters": parameters})
            call = await served.call()
            await phone.vanish()
            await asyncio.wait_for(call.ended.wait(), 20)
            await call.line.hang_up()
        assert simulator.updates == [CallUpdate(CALL, "completed", None)]


async def test_an_account_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match="TWILIO_ACCOUNT_SID"):
        async with serving(TWILIO_ACCOUNT_SID="SK1", TWILIO_AUTH_TOKEN=TOKEN):
            pass
