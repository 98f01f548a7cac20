"""The provider against the simulator, over real sockets."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from agent.agentfile import load_agent
from agent.agentfile.schema import Limits
from agent.chains import LLMChain
from agent.clock import LoopClock
from agent.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from agent.providers import (
    ChatRequest,
    LLMEvent,
    Message,
    ProviderContext,
    Role,
    TextDelta,
    ToolCall,
    ToolSpec,
)
from loadtest.simulators.faults import Fault
from loadtest.simulators.openai_chat import OpenAIChatSimulator
from loadtest.simulators.openai_chunks import Answer, Dialect, ScriptedCall, forty_tokens, script
from loadtest.simulators.profile import Profile, Timings
from providers.openai import OpenAIChat

AGENT = load_agent()
REQUEST = ChatRequest(
    "call-1", (Message(Role.SYSTEM, AGENT.instructions), Message(Role.USER, "are you open?")), "en"
)
QUICK = {"first_token": 1, "inter_token": 0, "dribble": 400, "slow_close": 2_000}


def quick(**changes: float) -> Timings:
    return Timings({name: Profile.fixed(delay) for name, delay in {**QUICK, **changes}.items()})


@asynccontextmanager
async def simulated(**options: Any) -> AsyncIterator[OpenAIChatSimulator]:
    options.setdefault("timings", quick())
    async with OpenAIChatSimulator(LoopClock(), **options) as simulator:
        yield simulator


@asynccontextmanager
async def connected(url: str, key: str = "sk-test", **options: Any) -> AsyncIterator[OpenAIChat]:
    context = ProviderContext(
        AGENT, LoopClock(), {"base_url": url, "model": "m", **options}, {"OPENAI_API_KEY": key}
    )
    provider = OpenAIChat(context)
    try:
        yield provider
    finally:
        await provider.close()


async def read(provider: OpenAIChat, request: ChatRequest = REQUEST) -> list[LLMEvent]:
    return [event async for event in provider.reply(request)]


def text(events: list[LLMEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the other side is a server, it has no event for us
            await asyncio.sleep(0.002)


async def test_a_reply_streams_token_by_token_over_one_connection() -> None:
    async with (
        simulated(api_key="sk-test", timings=quick(inter_token=1)) as simulator,
        connected(simulator.url) as llm,
    ):
        first, second = await read(llm), await read(llm)
    assert text(first) == text(second) == forty_tokens({}).text
    assert len(first) > 30
    assert simulator.counts.connections == 1
    assert simulator.counts.finished == 2
    assert not llm.counts


async def test_the_first_token_comes_before_the_stream_is_over() -> None:
    async with (
        simulated(timings=quick(inter_token=50)) as simulator,
        connected(simulator.url) as llm,
    ):
        reply = llm.reply(REQUEST)
        assert await anext(reply) == TextDelta("We")
        assert simulator.counts.finished == 0
        await reply.aclose()


async def test_tools_are_offered_called_and_answered() -> None:
    tool = ToolSpec("hours", "Opening hours.", {"type": "object", "properties": {"day": {"type": "string"}}})
    answers = script(
        [Answer("One moment.", (ScriptedCall("hours", '{"day":"sunday"}'),)), Answer("Closed on Sundays.")]
    )
    async with simulated(answers=answers) as simulator, connected(simulator.url) as llm:
        asked = ChatRequest("call-1", REQUEST.messages, "en", (tool,))
        events = await read(llm, asked)
        assert text(events) == "One moment."
        call = events[-1]
        assert call == ToolCall("call_simulated0", "hours", '{"day":"sunday"}')
        assert isinstance(call, ToolCall)
        more = (
            Message(Role.ASSISTANT, "One moment.", (call,)),
            Message(Role.TOOL, '{"open":false}', tool_call_id=call.id),
        )
        events = await read(llm, ChatRequest("call-1", REQUEST.messages + more, "en", (tool,)))
    assert text(events) == "Closed on Sundays."
    assert simulator.requests[0]["tools"][0]["function"]["name"] == "hours"
    assert simulator.requests[1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_simulated0",
        "content": '{"open":false}',
    }


@pytest.mark.parametrize(
    "dialect",
    [
        Dialect(newline=b"\r\n", comments=True, space=False),
        Dialect(write_bytes=7),
        Dialect(done=False, role_always=True),
        Dialect(ignores_stream=True),
    ],
)
async def test_other_servers_ways_on_the_wire(dialect: Dialect) -> None:
    said = "¿Qué día prefiere? 星期五 is free."
    answers = script([Answer(said, (ScriptedCall("book", '{"día":"viernes"}'),))])
    async with simulated(answers=answers, dialect=dialect) as simulator, connected(simulator.url) as llm:
        events = await read(llm)
    assert text(events) == said
    assert events[-1] == ToolCall("call_simulated0", "book", '{"día":"viernes"}')


async def test_warming_opens_the_connection_that_the_first_reply_uses() -> None:
    async with simulated(api_key="sk-test", models=("m",)) as simulator, connected(simulator.url) as llm:
        await llm.warm()
        await read(llm)
    assert simulator.counts.connections == 1


async def test_a_connection_is_kept_warm_through_quiet_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.openai.chat.KEEP_WARM_MS", 30.0)
    asked = 0

    async def models(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=404 if asked > 1 else 200, text="{}", content_type="application/json")

    async with serving(models, "/v1/models") as url, connected(url) as llm:
        await llm.warm()
        await until(lambda: asked >= 3)
    seen = asked
    await asyncio.sleep(0.06)
    assert asked == seen


async def test_closing_a_reply_tells_the_server_at_once() -> None:
    async with simulated(timings=quick(inter_token=20)) as simulator, connected(simulator.url) as llm:
        leftovers = watched_generators()
        reply = llm.reply(REQUEST)
        await anext(reply)
        await reply.aclose()
        gc.collect()
        assert leftovers == []
        await until(lambda: simulator.counts.abandoned == 1)


def watched_generators() -> list[object]:
    """Filled with the names of the asynchronous generators that are dropped unfinished from now on."""
    dropped: list[object] = []
    hooks = sys.get_asyncgen_hooks()

    def finalizer(generator: Any) -> None:
        dropped.append(generator.__qualname__)
        if hooks.finalizer is not None:
            hooks.finalizer(generator)

    sys.set_asyncgen_hooks(hooks.firstiter, finalizer)
    return dropped


@pytest.mark.parametrize("first_token_ms", [5_000, 1])
async def test_a_cancelled_wait_closes_the_connection(first_token_ms: float) -> None:
    timings = quick(first_token=first_token_ms, inter_token=5_000)
    async with simulated(timings=timings) as simulator, connected(simulator.url) as llm:
        task = asyncio.create_task(read(llm))
        await until(lambda: simulator.counts.requests == 1)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: simulator.counts.abandoned == 1)


async def test_many_replies_at_once_share_the_pool() -> None:
    async with simulated(timings=quick(inter_token=1)) as simulator, connected(simulator.url) as llm:
        for _ in range(2):
            replies = await asyncio.gather(*(read(llm) for _ in range(20)))
            assert {text(reply) for reply in replies} == {forty_tokens({}).text}
    assert simulator.counts.connections == 20


FAULTS: list[tuple[Fault, type[ProviderError], str]] = [
    (Fault.REFUSE, ProviderUnavailable, "closed the connection without an answer"),
    (Fault.TOO_MANY_REQUESTS, ProviderUnavailable, "429 Rate limit reached.*retry after 1 s"),
    (Fault.SERVER_ERROR, ProviderUnavailable, "503 The server had an error.*in trouble"),
    (Fault.STALL_OPEN, ProviderTimeout, "nothing from .* for 500 ms"),
    (Fault.DIE_MID_STREAM, ProviderUnavailable, "broke off in the middle"),
    (Fault.GARBAGE, ProviderUnavailable, "no chat completion"),
]


@pytest.mark.parametrize(("fault", "kind", "says"), FAULTS)
async def test_a_fault_is_an_error_that_says_what_happened_and_the_next_reply_works(
    fault: Fault, kind: type[ProviderError], says: str
) -> None:
    async with simulated() as simulator, connected(simulator.url, timeout_ms=500) as llm:
        simulator.faults.switch(1, [fault], limit=1)
        with pytest.raises(kind, match=says) as caught:
            await read(llm)
        assert type(caught.value) is kind
        assert text(await read(llm)) == forty_tokens({}).text


async def test_a_stream_that_dribbles_keeps_coming_and_is_the_chains_to_judge() -> None:
    async with simulated(timings=quick(dribble=10)) as simulator, connected(simulator.url) as llm:
        simulator.faults.switch(1, [Fault.DRIBBLE])
        assert text(await read(llm)) == forty_tokens({}).text


async def test_a_slow_end_does_not_hold_up_the_reply() -> None:
    async with simulated() as simulator, connected(simulator.url) as llm:
        simulator.faults.switch(1, [Fault.SLOW_CLOSE], limit=1)
        async with asyncio.timeout(5):
            assert text(await read(llm)) == forty_tokens({}).text
        assert llm.counts["slow_end"] == 1


async def test_an_idle_connection_that_was_just_closed_is_replaced_by_a_new_one() -> None:
    async with simulated() as simulator, connected(simulator.url) as llm:
        await read(llm)
        simulator.faults.switch(1, [Fault.REFUSE], limit=1)
        assert text(await read(llm)) == forty_tokens({}).text
        assert llm.counts["reconnected"] == 1


async def test_a_wrong_key_is_told_by_its_variables_name() -> None:
    async with simulated(api_key="other") as simulator, connected(simulator.url) as llm:
        with pytest.raises(ProviderRejected, match=r"401 .*check OPENAI_API_KEY"):
            await llm.warm()
        with pytest.raises(ProviderRejected, match=r"401 .*check OPENAI_API_KEY"):
            await read(llm)


async def test_another_variable_can_hold_the_key() -> None:
    async with simulated(api_key="gsk") as simulator:
        options = {"base_url": simulator.url, "api_key_name": "GROQ_API_KEY"}
        llm = OpenAIChat(ProviderContext(AGENT, LoopClock(), options, {"GROQ_API_KEY": "gsk\n"}))
        assert await read(llm)
        await llm.close()


async def test_no_key_is_refused_before_anything_is_sent_but_a_local_server_needs_none() -> None:
    llm = OpenAIChat(ProviderContext(AGENT, LoopClock()))
    with pytest.raises(ProviderRejected, match="no API key: set OPENAI_API_KEY"):
        await llm.warm()
    with pytest.raises(ProviderRejected, match="no API key"):
        await read(llm)
    async with simulated() as simulator, connected(simulator.url, key="") as llm:
        assert await read(llm)


async def test_an_unknown_model_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with simulated(models=("gpt-4.1",)) as simulator, connected(simulator.url) as llm:
        await llm.warm()
        assert "does not list the model 'm'" in caplog.text
        with pytest.raises(ProviderRejected, match=r"404 The model `m` does not exist.*check `model`"):
            await read(llm)


async def test_nobody_there(unused_tcp_port: int) -> None:
    async with connected(f"http://127.0.0.1:{unused_tcp_port}/v1") as llm:
        with pytest.raises(ProviderUnavailable, match="cannot be reached"):
            await llm.warm()
        with pytest.raises(ProviderUnavailable, match="cannot be reached"):
            await read(llm)


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Any], path: str = "/v1/chat/completions"
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (429, '{"error":{"message":"m","code":"insufficient_quota"}}', ProviderRejected, "top up"),
        (402, "", ProviderRejected, "top up the account behind OPENAI_API_KEY"),
        (403, '{"error":{"message":"not in your region"}}', ProviderRejected, "not in.*may not use"),
        (400, '{"error":{"message":"m","code":"context_length_exceeded"}}', ProviderRejected, "shorten"),
        (400, '{"object":"error","message":"bad role"}', ProviderRejected, "bad role.*options"),
        (408, "{}", ProviderUnavailable, "slow"),
        (500, "<html>oops</html>", ProviderUnavailable, "500 Internal Server Error.*in trouble"),
        (503, '{"error":"loading model"}', ProviderUnavailable, "loading model"),
    ],
)  # fmt: skip
async def test_every_status_says_what_to_do(
    status: int, body: str, kind: type[ProviderError], says: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type="application/json")

    async with serving(answer) as url, connected(url) as llm:
        with pytest.raises(kind, match=says):
            await read(llm)


async def test_a_web_page_is_no_reply() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    async with serving(page) as url, connected(url) as llm:
        with pytest.raises(ProviderRejected, match="web page: base_url"):
            await read(llm)


async def test_a_compressed_answer_is_read_too() -> None:
    async def packed(_: web.Request) -> web.Response:
        response = web.json_response({"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with serving(packed) as url, connected(url) as llm:
        assert text(await read(llm)) == "Yes."


async def test_a_parameter_that_the_model_does_not_take_is_left_out_from_then_on() -> None:
    refused: list[str] = []

    async def strict(request: web.Request) -> web.Response:
        body = await request.json()
        for name in ("temperature", "max_tokens"):
            if name in body:
                refused.append(name)
                error = {"message": f"Unsupported {name}", "code": "unsupported_parameter", "param": name}
                return web.json_response({"error": error}, status=400)
        assert body["max_completion_tokens"] == 50
        return web.json_response({"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]})

    async with serving(strict) as url, connected(url, temperature=0.2, max_tokens=50) as llm:
        assert text(await read(llm)) == "Yes."
        assert text(await read(llm)) == "Yes."
    assert refused == ["temperature", "max_tokens"]
    assert llm.counts["adapted"] == 2


async def test_a_chain_goes_on_to_the_next_when_nothing_was_said() -> None:
    async with (
        simulated() as first,
        simulated() as second,
        connected(first.url) as one,
        connected(second.url) as two,
    ):
        first.faults.switch(1, [Fault.SERVER_ERROR])
        chain = LLMChain([one, two], Limits())
        served: list[str] = []
        events = [event async for event in chain.reply(REQUEST, served.append)]
        assert text(events) == forty_tokens({}).text
        assert served == ["openai#2"]


async def test_after_close_nothing_is_asked() -> None:
    async with simulated() as simulator, connected(simulator.url) as llm:
        await llm.close()
        with pytest.raises(ProviderUnavailable, match="closed"):
            await read(llm)
        assert simulator.counts.requests == 0
