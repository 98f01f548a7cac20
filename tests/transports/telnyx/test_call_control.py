"""Call Control over real HTTP: signed webhooks in, commands through Telnyx's SDK out, sockets for real."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from agent.clock import LoopClock
from agent.errors import LineError
from loadtest.simulators.telnyx_rest import ANSWERED, ENDED, RINGING, Command, TelnyxRestSimulator
from tests.transports.fakes import FakeCall, eventually
from tests.transports.telnyx.fakes import API_KEY, CALL, Phone, Served, serving
from transports.telnyx import background, call_control
from transports.telnyx.call_flow import MAX_RESTARTS, State

PUBLIC = "https://voice.example.test"
TOKEN_HEADER = "x-telnyx-streaming-auth-token"


@dataclass
class World:
    """The server and Telnyx around it."""

    api: TelnyxRestSimulator
    served: Served

    async def command(self, name: str, number: int = 1) -> Command:
        """The `number`th command of this name, once it came."""
        await eventually(lambda: len(self.api.named(name)) >= number)
        return self.api.named(name)[number - 1]

    async def ring(self) -> None:
        """Up to the stream's start."""
        self.api.calls[CALL] = RINGING
        assert await self.served.event("call.initiated", direction="incoming", state="parked") == 200
        await self.command("answer")
        assert await self.served.event("call.answered") == 200
        await self.command("streaming_start")

    async def quiet(self) -> None:
        """Nothing more is under way."""
        background = self.served.telnyx._background
        await eventually(lambda: not background._tasks)


@asynccontextmanager
async def world(**environ: str) -> AsyncIterator[World]:
    async with (
        TelnyxRestSimulator(API_KEY, LoopClock()) as api,
        serving(
            {"TELNYX_API_KEY": API_KEY, "PARLEY_TELNYX_API_URL": api.url, **environ},
            signing=True,
            public_url=PUBLIC,
        ) as served,
    ):
        yield World(api, served)


async def begin(w: World, stack: AsyncExitStack, ticket: str = "ticket-1") -> tuple[Phone, FakeCall]:
    """A call that is on."""
    await w.ring()
    phone = await stack.enter_async_context(w.served.phone({TOKEN_HEADER: ticket}))
    await phone.connected()
    await phone.start()
    return phone, await w.served.call()


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_control, "GRACE_MS", 20.0)
    monkeypatch.setattr("transports.telnyx.door.SILENT_MS", 10.0)


async def test_a_call_from_ring_to_hangup() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        stream = w.api.named("streaming_start")[0].fields
        assert stream["stream_url"] == "wss://voice.example.test/telnyx/media"
        assert stream["stream_auth_token"] == "ticket-1"
        assert stream["custom_parameters"] == [{"name": "ticket", "value": "ticket-1"}]
        await w.served.event("streaming.started", stream_url=stream["stream_url"])
        await phone.audio()
        await eventually(lambda: call.count("hear"))
        await phone.stop()
        assert await phone.closed() == 1000
        await w.served.event("streaming.stopped")
        await w.served.event("call.hangup", hangup_cause="normal_clearing", hangup_source="caller")
        await w.quiet()
        assert (CALL, "normal_clearing") in w.served.host.over
        assert [command.name for command in w.api.commands] == ["answer", "streaming_start"]
        assert w.served.host.bad == {}


async def test_the_webhook_is_answered_before_the_work_is_done() -> None:
    async with world() as w:
        w.api.calls[CALL] = RINGING
        w.api.delay_ms = 2_000
        began = asyncio.get_running_loop().time()
        assert await w.served.event("call.initiated", direction="incoming") == 200
        assert asyncio.get_running_loop().time() - began < 1.5
        assert w.api.commands == []
        await w.command("answer")


async def test_repeated_and_late_webhooks_change_nothing() -> None:
    async with world() as w:
        w.api.calls[CALL] = RINGING
        for event_id in ("a", "a", "b"):
            assert await w.served.event("call.initiated", event_id=event_id, direction="incoming") == 200
        await w.command("answer")
        for event_id in ("c", "c", "d"):
            await w.served.event("call.answered", event_id=event_id)
        await w.command("streaming_start")
        await w.served.event("call.initiated", direction="incoming")
        await w.quiet()
        assert [command.name for command in w.api.commands] == ["answer", "streaming_start"]
        assert w.served.host.bad == {("telnyx", "repeated_event"): 2}
        assert len(w.served.host.tickets.issued) == 1


async def test_a_hangup_before_the_ring_is_told_is_remembered() -> None:
    async with world() as w:
        w.api.calls[CALL] = ENDED
        await w.served.event("call.hangup", hangup_cause="originator_cancel")
        await w.served.event("call.initiated", direction="incoming")
        await w.quiet()
        assert w.api.requests == 0
        assert w.served.host.tickets.issued == {}


async def test_outgoing_legs_are_not_answered() -> None:
    async with world() as w:
        w.api.calls[CALL] = RINGING
        await w.served.event("call.initiated", direction="outgoing", state="bridging")
        await w.served.event("call.answered")
        await w.quiet()
        assert w.api.requests == 0


async def test_a_full_server_is_busy() -> None:
    async with world() as w:
        w.api.calls[CALL] = RINGING
        w.served.host.tickets.full = True
        assert await w.served.event("call.initiated", direction="incoming") == 200
        assert (await w.command("reject")).fields["cause"] == "USER_BUSY"
        assert w.api.named("answer") == []


async def test_a_caller_who_has_gone_before_the_answer() -> None:
    async with world() as w:
        w.api.calls[CALL] = ENDED
        await w.served.event("call.initiated", direction="incoming")
        await eventually(lambda: w.served.host.over)
        await w.quiet()
        assert w.api.commands == []
        assert CALL in w.served.host.tickets.cancelled


async def test_a_hangup_while_the_answer_is_on_its_way() -> None:
    async with world() as w:
        w.api.calls[CALL] = RINGING
        w.api.delay_ms = 200
        await w.served.event("call.initiated", direction="incoming")
        await w.served.event("call.hangup", hangup_cause="originator_cancel")
        await w.quiet()
        await w.served.event("call.answered")
        await w.quiet()
        assert w.api.named("streaming_start") == []
        assert w.served.host.tickets.issued == {}


async def test_a_hangup_while_the_socket_is_on_its_way() -> None:
    async with world() as w:
        await w.ring()
        await w.served.event("call.hangup", hangup_cause="normal_clearing")
        await w.quiet()
        async with w.served.phone({TOKEN_HEADER: "ticket-1"}) as phone:
            await phone.start()
            assert await phone.closed() == 1008
        assert w.served.host.bad == {("telnyx-media", "bad_ticket"): 1}


async def test_an_api_that_fails_ends_only_that_call() -> None:
    async with world() as w:
        w.api.calls[CALL] = RINGING
        w.api.failures = [500, 500]
        await w.served.event("call.initiated", direction="incoming")
        await eventually(lambda: (CALL, "answer_failed") in w.served.host.over)
        assert CALL in w.served.host.tickets.cancelled
        assert w.api.calls[CALL] == ENDED
        w.api.calls["v3:other"] = RINGING
        await w.served.event("call.initiated", "v3:other", direction="incoming")
        await eventually(lambda: w.api.calls["v3:other"] == ANSWERED)


@pytest.mark.usefixtures("no_grace")
async def test_a_stream_that_fails_is_started_twice_again_and_then_the_caller_is_told() -> None:
    async with world() as w:
        await w.ring()
        for attempt in range(MAX_RESTARTS):
            await w.served.event("streaming.failed", failure_reason="connection_failed")
            await w.command("streaming_start", attempt + 2)
        tickets = [command.fields["stream_auth_token"] for command in w.api.named("streaming_start")]
        assert tickets == ["ticket-1", "ticket-2", "ticket-3"]
        await w.served.event("streaming.failed", failure_reason="connection_failed")
        speak = (await w.command("speak")).fields
        assert (speak["payload"], speak["language"]) == ("Please call again.", "en-US")
        await w.quiet()
        assert w.api.calls[CALL] == ANSWERED, "not before the sentence was heard"
        async with w.served.phone({TOKEN_HEADER: "ticket-3"}) as phone:
            await phone.start()
            assert await phone.closed() == 1008, "nor into the sentence"
        await w.served.event("call.speak.ended")
        await w.command("hangup")
        await w.quiet()
        assert w.served.host.over == [(CALL, "stream_failed")]
        assert w.served.host.tickets.issued == {}


@pytest.mark.usefixtures("no_grace")
async def test_a_caller_who_cannot_even_be_told_is_not_left_in_silence() -> None:
    async with world() as w:
        await w.ring()
        for attempt in range(MAX_RESTARTS):
            await w.served.event("streaming.failed")
            await w.command("streaming_start", attempt + 2)
        w.api.failures = [400]
        await w.served.event("streaming.failed")
        await w.command("hangup")
        await w.quiet()
        assert w.served.host.over == [(CALL, "speak_failed")]


@pytest.mark.usefixtures("no_grace")
@pytest.mark.parametrize("clean", [True, False])
async def test_a_stream_that_ends_while_the_call_goes_on_is_started_again(clean: bool) -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        if clean:
            await phone.socket.close()
        else:
            await phone.stop()
        await eventually(lambda: call.count("lost"))
        await w.served.event("streaming.stopped")
        fresh = (await w.command("streaming_start", 2)).fields["stream_auth_token"]
        again = await stack.enter_async_context(w.served.phone({TOKEN_HEADER: fresh}))
        await again.start()
        await eventually(lambda: call.count("reattached"))
        assert not call.count("hung_up")


@pytest.mark.usefixtures("no_grace")
async def test_a_caller_who_hangs_up_and_whose_webhook_is_lost() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        w.api.calls[CALL] = ENDED
        await phone.stop()
        await eventually(lambda: (CALL, "caller_hung_up") in w.served.host.over)
        assert w.api.refused == [(422, "90018")]
        assert call.count("lost") == 1


@pytest.mark.usefixtures("no_grace")
async def test_a_lost_socket_gets_a_new_stream_and_the_conversation_goes_on() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        phone.break_off()
        await eventually(lambda: call.count("lost"))
        await w.served.event("streaming.stopped")
        fresh = (await w.command("streaming_start", 2)).fields["stream_auth_token"]
        assert fresh not in w.served.host.tickets.issued, "a live call holds its slot already"
        again = await stack.enter_async_context(w.served.phone())
        await again.start(parameters={"ticket": fresh}, stream_id="another")
        await eventually(lambda: call.count("reattached"))
        await asyncio.sleep(0.1)
        assert len(w.api.named("streaming_start")) == 2
        assert len(w.served.host.calls) == 1


@pytest.mark.usefixtures("no_grace")
async def test_a_stream_that_stopped_behind_an_open_socket_is_started_again() -> None:
    async with world() as w, AsyncExitStack() as stack:
        await begin(w, stack)
        await asyncio.sleep(0.03)
        await w.served.event("streaming.stopped")
        await w.command("streaming_start", 2)


async def test_a_stopped_event_of_an_earlier_stream_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_control, "GRACE_MS", 20.0)
    monkeypatch.setattr("transports.telnyx.door.SILENT_MS", 60_000.0)
    async with world() as w, AsyncExitStack() as stack:
        await begin(w, stack)
        await w.served.event("streaming.stopped")
        await asyncio.sleep(0.1)
        assert len(w.api.named("streaming_start")) == 1


@pytest.mark.usefixtures("no_grace")
async def test_a_lost_socket_of_a_conversation_that_is_over_starts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(call_control.CEILINGS_MS, State.CLOSING, 20.0)
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        w.served.host.live.clear()
        phone.break_off()
        await eventually(lambda: call.count("lost"))
        await w.command("hangup")
        assert len(w.api.named("streaming_start")) == 1


@pytest.mark.parametrize("state", ["answering", "farewell", "closing"])
async def test_no_state_lasts_for_ever(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(call_control.CEILINGS_MS, State(state), 50.0)
    async with world() as w, AsyncExitStack() as stack:
        w.api.calls[CALL] = RINGING
        await w.served.event("call.initiated", direction="incoming")
        if state != "answering":
            await w.command("answer")
            await w.served.event("call.answered")
        if state == "closing":
            phone = await stack.enter_async_context(w.served.phone({TOKEN_HEADER: "ticket-1"}))
            await phone.start()
            (await w.served.call()).line.close()
        if state == "farewell":
            monkeypatch.setattr(call_control, "GRACE_MS", 1.0)
            for attempt in range(MAX_RESTARTS + 1):
                await w.command("streaming_start", attempt + 1)
                await w.served.event("streaming.failed")
            await w.command("speak")
        await w.command("hangup")
        await eventually(lambda: w.api.calls[CALL] == ENDED)
        assert CALL in w.served.host.tickets.cancelled


async def test_a_stream_that_never_comes_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(call_control.CEILINGS_MS, State.STREAMING, 50.0)
    async with world() as w:
        await w.ring()
        await w.command("speak")
        assert CALL in w.served.host.tickets.cancelled


async def test_the_agent_hangs_up() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        await call.line.hang_up()
        assert w.api.calls[CALL] == ENDED
        assert await phone.closed() == 1000
        await call.line.hang_up()
        await w.served.event("streaming.stopped")
        await w.served.event("call.hangup", hangup_cause="normal_clearing")
        await w.quiet()
        assert len(w.api.named("hangup")) == 1
        assert w.api.refused == []


async def test_hanging_up_a_call_that_has_just_ended_is_no_error() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        w.api.calls[CALL] = ENDED
        await call.line.hang_up()
        assert w.api.refused == [(422, "90018")]
        assert await phone.closed() == 1000


async def test_an_api_that_fails_at_the_hangup_still_closes_the_socket() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        w.api.failures = [500, 500]
        with pytest.raises(LineError, match="500"):
            await call.line.hang_up()
        assert await phone.closed() == 1000


async def test_a_transfer_that_is_taken() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        await call.line.transfer("+15005550009")
        assert (await w.command("transfer")).fields["to"] == "+15005550009"
        call.line.close()
        assert await phone.closed() == 1000
        await w.served.event("call.initiated", "v3:target", direction="outgoing")
        await w.served.event("call.answered", "v3:target")
        await w.served.event("streaming.stopped")
        await w.served.event("call.bridged")
        await w.served.event("call.hangup", "v3:target", hangup_cause="normal_clearing")
        await w.quiet()
        assert [command.name for command in w.api.commands] == ["answer", "streaming_start", "transfer"]


async def test_a_transfer_that_nobody_takes_does_not_leave_the_caller_in_silence() -> None:
    async with world() as w, AsyncExitStack() as stack:
        _, call = await begin(w, stack)
        await call.line.transfer("sip:desk@example.test")
        await w.served.event("call.hangup", "v3:target", hangup_cause="no_answer")
        await w.command("hangup")
        await w.quiet()
        assert w.served.host.over == [(CALL, "transfer_failed")]


async def test_a_transfer_that_fails_lets_the_conversation_go_on() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        with pytest.raises(LineError, match=r"neither an E\.164 number nor a SIP URI"):
            await call.line.transfer("reception")
        w.api.failures = [403]
        with pytest.raises(LineError, match="403"):
            await call.line.transfer("+15005550009")
        await phone.audio()
        await eventually(lambda: call.count("hear"))
        await call.line.hang_up()
        assert w.api.calls[CALL] == ENDED


async def test_digits_go_out_in_the_background() -> None:
    async with world() as w, AsyncExitStack() as stack:
        _, call = await begin(w, stack)
        call.line.send_digits("1w2#")
        assert (await w.command("send_dtmf")).fields["digits"] == "1w2#"
        call.line.send_digits("5;drop")
        assert call.bad == {"unsupported_digits": 1}
        w.api.failures = [400]
        call.line.send_digits("5")
        await eventually(lambda: call.bad["digits_failed"])


async def test_a_key_told_twice_counts_once() -> None:
    async with world() as w, AsyncExitStack() as stack:
        phone, call = await begin(w, stack)
        await w.served.event("call.dtmf.received", digit="5")
        await phone.key("5")
        await eventually(lambda: call.keys)
        await w.served.event("call.dtmf.received", digit="6")
        await phone.key("6")
        await eventually(lambda: call.keys == "56")
        await w.quiet()
        await w.served.event("call.dtmf.received", "v3:unknown", digit="7")


async def test_a_key_told_by_webhook_only_counts_too() -> None:
    async with world() as w, AsyncExitStack() as stack:
        _, call = await begin(w, stack)
        await w.served.event("call.dtmf.received", digit="5")
        await eventually(lambda: call.keys == "5")


async def test_too_much_work_is_refused_and_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background.Background, "has_room", property(lambda self: False))
    async with world() as w:
        w.api.calls[CALL] = RINGING
        assert await w.served.event("call.initiated", event_id="a", direction="incoming") == 503
        monkeypatch.undo()
        assert await w.served.event("call.initiated", event_id="a", direction="incoming") == 200
        await w.command("answer")


async def test_without_an_api_key_a_call_cannot_be_answered_and_telnyx_is_told() -> None:
    async with serving(signing=True) as served:
        assert await served.event("call.initiated", event_id="a", direction="incoming") == 503
        assert await served.event("call.initiated", event_id="a", direction="incoming") == 503
        assert await served.event("call.hangup") == 200
        assert served.host.bad == {("telnyx", "no_api_key"): 2}


async def test_closing_with_work_under_way_leaves_nothing() -> None:
    async with world() as w:
        w.api.calls[CALL] = RINGING
        w.api.delay_ms = 50
        await w.served.event("call.initiated", direction="incoming")
        await w.served.telnyx.close()
        assert w.api.calls[CALL] == ANSWERED, "what was on its way arrives"
        await w.served.telnyx.close()
