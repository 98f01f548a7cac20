"""REST commands, through Telnyx's own SDK, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from agent.audio.formats import PCMA_8K, linear
from agent.clock import LoopClock
from agent.errors import LineError
from loadtest.simulators.telnyx_rest import ANSWERED, ENDED, RINGING, TelnyxRestSimulator
from tests.transports.telnyx.fakes import API_KEY
from transports.telnyx.actions import CallOver, LoadedActions, StreamOrder

CALL = "v3:example/Control+Id"
"""With characters that have to be escaped in a path."""
ORDER = StreamOrder("wss://voice.example.test/telnyx/media", PCMA_8K, "one-time-secret")


@pytest.fixture
async def api() -> AsyncIterator[TelnyxRestSimulator]:
    async with TelnyxRestSimulator(API_KEY, LoopClock()) as simulator:
        simulator.calls[CALL] = RINGING
        yield simulator


@pytest.fixture
async def actions(api: TelnyxRestSimulator) -> AsyncIterator[LoadedActions]:
    loaded = LoadedActions(API_KEY, api.url)
    yield loaded
    await loaded.close()


async def test_a_whole_call(api: TelnyxRestSimulator, actions: LoadedActions) -> None:
    await actions.answer(CALL)
    assert api.calls[CALL] == ANSWERED
    await actions.start_stream(CALL, ORDER)
    await actions.send_digits(CALL, "1w2#")
    await actions.transfer(CALL, "+15005550009")
    await actions.hang_up(CALL)
    assert api.calls[CALL] == ENDED
    assert [command.name for command in api.commands] == [
        "answer", "streaming_start", "send_dtmf", "transfer", "hangup",
    ]  # fmt: skip
    ids = [command.fields.pop("command_id") for command in api.commands]
    assert len(set(ids)) == 5
    answer, stream, digits, transfer, _ = (command.fields for command in api.commands)
    assert answer == {"send_silence_when_idle": True}
    assert stream == {
        "stream_url": "wss://voice.example.test/telnyx/media",
        "stream_track": "inbound_track",
        "stream_codec": "PCMA",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMA",
        "stream_bidirectional_target_legs": "self",
        "stream_auth_token": "one-time-secret",
        "custom_parameters": [{"name": "ticket", "value": "one-time-secret"}],
    }
    assert digits == {"digits": "1w2#"}
    assert transfer == {"to": "+15005550009", "timeout_secs": 30}


async def test_l16_names_its_rate(api: TelnyxRestSimulator, actions: LoadedActions) -> None:
    api.calls[CALL] = ANSWERED
    await actions.start_stream(CALL, StreamOrder("wss://x.test", linear(16000), "t"))
    fields = api.commands[0].fields
    assert fields["stream_bidirectional_codec"] == fields["stream_codec"] == "L16"
    assert fields["stream_bidirectional_sampling_rate"] == 16000


async def test_a_refused_call_is_busy(api: TelnyxRestSimulator, actions: LoadedActions) -> None:
    await actions.reject(CALL)
    assert api.commands[0].fields["cause"] == "USER_BUSY"
    assert api.calls[CALL] == ENDED


@pytest.mark.parametrize("state", [ENDED, None])
async def test_a_call_that_is_over(
    api: TelnyxRestSimulator, actions: LoadedActions, state: str | None
) -> None:
    api.calls = {} if state is None else {CALL: state}
    await actions.hang_up(CALL)
    await actions.reject(CALL)
    commands: list[Callable[[], Awaitable[None]]] = [
        lambda: actions.answer(CALL),
        lambda: actions.start_stream(CALL, ORDER),
        lambda: actions.transfer(CALL, "+15005550009"),
        lambda: actions.send_digits(CALL, "1"),
    ]
    for command in commands:
        with pytest.raises(CallOver):
            await command()
    assert set(api.refused) == {(404, "10005") if state is None else (422, "90018")}


async def test_a_command_that_is_wrong_is_not_taken_for_a_call_that_is_over(
    api: TelnyxRestSimulator, actions: LoadedActions
) -> None:
    with pytest.raises(LineError, match=r"start the stream: Telnyx answers 422, error 90034") as caught:
        await actions.start_stream(CALL, ORDER)
    assert not isinstance(caught.value, CallOver)
    assert api.commands == []


async def test_a_wrong_key(api: TelnyxRestSimulator) -> None:
    loaded = LoadedActions("wrong", api.url)
    with pytest.raises(LineError, match="401, error 10009"):
        await loaded.hang_up(CALL)
    await loaded.close()


async def test_a_failing_api_is_asked_once_more_under_the_same_command_id(
    api: TelnyxRestSimulator, actions: LoadedActions
) -> None:
    api.failures = [503]
    await actions.answer(CALL)
    assert api.requests == 2
    assert len(api.commands) == 1
    api.failures = [500, 500]
    with pytest.raises(LineError, match="500"):
        await actions.answer(CALL)


async def test_hanging_up_does_not_wait_for_a_slow_api(
    api: TelnyxRestSimulator, actions: LoadedActions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await actions.answer(CALL)
    monkeypatch.setattr("transports.telnyx.rest.HANG_UP_DEADLINE_S", 0.1)
    api.delay_ms = 400
    with pytest.raises(LineError, match=r"no answer from Telnyx in 0\.1 s"):
        await actions.hang_up(CALL)
    await asyncio.sleep(0.4)  # until the stand-in has seen that nobody waits


async def test_an_api_that_is_not_there() -> None:
    loaded = LoadedActions(API_KEY, "http://127.0.0.1:9/v2")
    with pytest.raises(LineError, match="cannot answer: APIConnectionError"):
        await loaded.answer(CALL)
    await loaded.close()


async def test_closing_before_during_and_after_loading(api: TelnyxRestSimulator) -> None:
    never = LoadedActions(API_KEY, api.url)
    await never.close()
    with pytest.raises(LineError, match="closed"):
        await never.hang_up(CALL)
    loading = LoadedActions(API_KEY, api.url)
    loading.warm()
    await loading.close()
    await loading.close()
    with pytest.raises(LineError, match="closed"):
        await loading.hang_up(CALL)


async def test_an_sdk_that_cannot_be_imported(
    api: TelnyxRestSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"no {name}")

    monkeypatch.setattr("importlib.import_module", missing)
    loaded = LoadedActions(API_KEY, api.url)
    with pytest.raises(LineError, match="cannot be loaded"):
        await loaded.hang_up(CALL)
    await loaded.close()
