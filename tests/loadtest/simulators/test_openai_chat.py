"""The simulator as its users see it: the openai SDK, and plain HTTP where the SDK hides the wire."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import httpx2
import openai
import pytest

from agent.clock import LoopClock
from loadtest.simulators.faults import Fault
from loadtest.simulators.openai_chat import OpenAIChatSimulator
from loadtest.simulators.openai_chunks import Answer, Dialect, ScriptedCall, script
from loadtest.simulators.profile import Profile, Timings

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
SAID = "We are open from nine to five."
CALL = ScriptedCall("book", '{"day":"friday"}')


def timings(first: float = 1, inter: float = 0, dribble: float = 300, slow_close: float = 300) -> Timings:
    return Timings(
        {
            "first_token": Profile.fixed(first),
            "inter_token": Profile.fixed(inter),
            "dribble": Profile.fixed(dribble),
            "slow_close": Profile.fixed(slow_close),
        }
    )


@pytest.fixture
async def simulator() -> AsyncIterator[OpenAIChatSimulator]:
    simulator = OpenAIChatSimulator(
        LoopClock(), script([Answer(SAID)]), timings=timings(), api_key="sk-1", models=("m",)
    )
    async with simulator:
        yield simulator


@pytest.fixture
async def client(simulator: OpenAIChatSimulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="sk-1", base_url=simulator.url, max_retries=0, timeout=2) as client:
        yield client


async def streamed(client: openai.AsyncOpenAI, **options: Any) -> list[Any]:
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True, **options)
    async with stream:
        return [chunk async for chunk in stream]


def text(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the other side is a server, it has no event for us
            await asyncio.sleep(0.002)


async def test_the_sdk_reads_a_streamed_and_a_whole_answer(
    simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI
) -> None:
    chunks = await streamed(client, stream_options={"include_usage": True})
    assert text(chunks) == SAID
    assert chunks[-1].usage.completion_tokens == 7
    answer = await client.chat.completions.create(model="m", messages=HELLO)
    assert answer.choices[0].message.content == SAID
    assert simulator.requests[0]["messages"] == HELLO
    assert (simulator.counts.requests, simulator.counts.connections, simulator.counts.finished) == (2, 1, 1)
    assert [model.id for model in (await client.models.list()).data] == ["m"]


async def test_the_sdk_assembles_a_tool_call(
    simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI
) -> None:
    simulator.answers = script([Answer("", (CALL,))])
    async with client.chat.completions.stream(model="m", messages=HELLO) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.tool_calls is not None
    (call,) = final.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("book", '{"day":"friday"}')


async def test_tokens_keep_their_times_without_drifting(
    simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI
) -> None:
    simulator.timings.set("first_token", Profile.fixed(60))
    simulator.timings.set("inter_token", Profile.fixed(20))
    began = time.perf_counter()
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    at_ms = [1000 * (time.perf_counter() - began) async for chunk in stream if chunk.choices[0].delta.content]
    assert len(at_ms) == 7
    # Role and first token come 20 ms apart at most; 7 tokens at 20 ms.
    assert at_ms[0] >= 60
    assert at_ms[-1] >= 160


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([], "too short"),
        ([{"role": "tool", "tool_call_id": "x", "content": ""}], "must be a response"),
        ([{"role": "assistant", "tool_calls": [{"id": "x"}]}, *HELLO], "did not have response messages: x"),
    ],
)
async def test_what_openai_refuses_is_refused(
    simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI, messages: list[Any], says: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        await client.chat.completions.create(model="m", messages=messages)
    assert simulator.counts.refused[-1][0] == 400


async def test_answered_tools_are_fine(simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI) -> None:
    messages: list[Any] = [
        *HELLO,
        {"role": "assistant", "tool_calls": [{"id": "x"}, {"id": "y"}]},
        {"role": "tool", "tool_call_id": "y", "content": "1"},
        {"role": "tool", "tool_call_id": "x", "content": "2"},
    ]
    assert (await client.chat.completions.create(model="m", messages=messages)).choices


async def test_keys_and_models_are_checked(simulator: OpenAIChatSimulator) -> None:
    async with openai.AsyncOpenAI(api_key="sk-wrong-key", base_url=simulator.url, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
        assert caught.value.code == "invalid_api_key"
        assert "sk-wrong-key" not in str(caught.value)
    async with openai.AsyncOpenAI(api_key="sk-1", base_url=simulator.url, max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="gpt-9", messages=HELLO)
        assert missing.value.code == "model_not_found"


async def test_a_client_that_leaves_is_noticed_at_once_even_while_nothing_is_sent(
    simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI
) -> None:
    simulator.timings.set("inter_token", Profile.fixed(60_000))
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await until(lambda: simulator.counts.abandoned == 1)
    assert simulator.counts.finished == 0


async def test_refuse(simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI) -> None:
    simulator.faults.switch(1, [Fault.REFUSE])
    with pytest.raises(openai.APIConnectionError):
        await streamed(client)


async def test_too_many_requests_says_when_to_come_back(
    simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI
) -> None:
    simulator.faults.switch(1, [Fault.TOO_MANY_REQUESTS])
    with pytest.raises(openai.RateLimitError) as caught:
        await streamed(client)
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.code == "rate_limit_exceeded"


async def test_server_error(simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI) -> None:
    simulator.faults.switch(1, [Fault.SERVER_ERROR])
    with pytest.raises(openai.InternalServerError):
        await streamed(client)


async def test_stall_open_answers_200_and_then_nothing(
    simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI
) -> None:
    simulator.faults.switch(1, [Fault.STALL_OPEN])
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(aiter(stream))
    await stream.close()
    await until(lambda: simulator.counts.abandoned == 1)


async def raw(simulator: OpenAIChatSimulator) -> AsyncIterator[bytes]:
    headers = {"Authorization": "Bearer sk-1"}
    body = {"model": "m", "messages": HELLO, "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{simulator.url}/chat/completions", json=body, headers=headers) as response,
    ):
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            yield line


async def collect(simulator: OpenAIChatSimulator, lines: list[bytes], within_s: float = 2) -> None:
    """Lines until the stream fails or the time is up; those that came are in `lines`."""
    async with asyncio.timeout(within_s):
        async for line in raw(simulator):
            lines.append(line)  # noqa: PERF401  # what came before the error is wanted


async def test_die_mid_stream_gives_half_and_cuts(simulator: OpenAIChatSimulator) -> None:
    simulator.faults.switch(1, [Fault.DIE_MID_STREAM])
    lines: list[bytes] = []
    with pytest.raises(aiohttp.ClientPayloadError):
        await collect(simulator, lines)
    assert any(b'"content":"We"' in line for line in lines)
    assert not any(b"five" in line for line in lines)


async def test_garbage_is_neither_json_nor_text(simulator: OpenAIChatSimulator) -> None:
    simulator.faults.switch(1, [Fault.GARBAGE])
    got = b"".join([line async for line in raw(simulator)])
    assert b"\xff\xfe<html>" in got
    assert b"[DONE]" not in got


@pytest.mark.parametrize(
    ("fault", "last"), [(Fault.DRIBBLE, b'"content":" are"'), (Fault.SLOW_CLOSE, b"stop")]
)
async def test_dribble_and_slow_close_begin_well_and_then_hang(
    simulator: OpenAIChatSimulator, fault: Fault, last: bytes
) -> None:
    simulator.faults.switch(1, [fault])
    lines: list[bytes] = []
    with pytest.raises(TimeoutError):
        await collect(simulator, lines, 0.15)
    said = [line for line in lines if line.strip()]
    assert last in said[-1]


async def test_faults_and_profiles_are_switched_over_http(
    simulator: OpenAIChatSimulator, client: openai.AsyncOpenAI
) -> None:
    base = simulator.url.removesuffix("/v1")
    async with aiohttp.ClientSession() as session:
        answer = await session.put(f"{base}/faults", json={"share": 1, "kinds": ["server_error"], "limit": 1})
        assert answer.status == 200
        answer = await session.put(f"{base}/profile", json={"first_token": "none"})
        assert answer.status == 200
    with pytest.raises(openai.InternalServerError):
        await streamed(client)
    assert text(await streamed(client)) == SAID


async def test_a_dialect_on_the_wire() -> None:
    dialect = Dialect(newline=b"\r\n", done=False, comments=True, space=False, write_bytes=5)
    async with OpenAIChatSimulator(
        LoopClock(), script([Answer("é")]), timings=timings(), dialect=dialect
    ) as simulator:
        got = b"".join([line async for line in raw(simulator)])
    assert got.count(b": keep-alive\n\n") == 3
    assert b"data:{" in got
    assert b"\r\n\r\n" in got
    assert b"DONE" not in got


async def test_stopping_cuts_what_still_streams(
    client: openai.AsyncOpenAI, simulator: OpenAIChatSimulator
) -> None:
    simulator.timings.set("inter_token", Profile.fixed(60_000))
    stream = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
    await anext(aiter(stream))
    async with asyncio.timeout(2):
        await simulator.stop()
        await simulator.stop()
    with pytest.raises((openai.APIError, httpx2.HTTPError)):
        [chunk async for chunk in stream]
    await stream.close()
