"""The agent file's tools: what the model is told of them, and running the ones that call out.

A tool that is not `read_only` has effects (a booking), so it is sent once and seen through: the caller who
interrupts cancels the reply, not the request. Its outcome waits for the model to ask for the same again,
which the next reply does when it finds no result in its history.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from agent.agentfile.schema import AgentFile, EndCallTool, Tool, TransferCallTool, WebhookTool
from agent.arguments import misfit
from agent.lines import CallInfo
from agent.providers import ToolCall, ToolSpec
from agent.webhook import Webhook

logger = logging.getLogger(__name__)

MAX_UNFETCHED = 256
"""Outcomes kept for replies that were interrupted; the oldest goes first."""
CLOSE_S = 2.0
"""How long closing waits for requests with effects: the ceiling of a teardown."""
UNCERTAIN = "it is not known whether it took effect, so do not repeat it"

_Key = tuple[str, str, bytes]


class ToolRunner:
    """One process's tools; shared by all calls."""

    def __init__(self, agent: AgentFile, environ: Mapping[str, str]) -> None:
        """Raises `ConfigError` for a header whose secret is not in the environment."""
        self._tools: dict[str, Tool] = {tool.name: tool for tool in agent.tools}
        self._webhooks = {
            tool.name: Webhook(tool, environ) for tool in agent.tools if isinstance(tool, WebhookTool)
        }
        self._shared: aiohttp.ClientSession | None = None
        self._single: aiohttp.ClientSession | None = None
        self._effects: dict[_Key, asyncio.Task[str]] = {}
        """Requests with effects whose outcome no reply has taken yet, by call, tool and arguments."""
        self.specs = tuple(_spec(tool) for tool in agent.tools)
        """For the model."""

    def ends_call(self, name: str) -> bool:
        """True for the tool that hangs up."""
        return isinstance(self._tools.get(name), EndCallTool)

    def transfers(self, name: str) -> bool:
        """True for the tool that hands the caller over."""
        return isinstance(self._tools.get(name), TransferCallTool)

    def transfer_target(self, call: ToolCall) -> str:
        """Number or SIP URI that a transfer names; the first target if it names none that exists."""
        tool = self._tools[call.name]
        assert isinstance(tool, TransferCallTool)
        arguments = _arguments(call)
        wanted = arguments.get("target") if arguments else None
        return tool.targets.get(str(wanted), next(iter(tool.targets.values())))

    async def run(self, call: ToolCall, info: CallInfo) -> str:
        """Run a webhook tool. Failures come back as a text that tells the model so; never raises them.

        Cancelling this cancels a `read_only` request. Any other goes on to its end, and the same call with
        the same arguments from the same phone call takes its outcome instead of sending it again.
        """
        webhook = self._webhooks.get(call.name)
        if webhook is None:
            return f"error: there is no tool named {call.name}"
        arguments = _arguments(call)
        if arguments is None:
            return "error: the arguments were not a JSON object"
        wrong = misfit(webhook.tool.parameters, arguments)
        if wrong is not None:
            return f"error: {wrong}"
        if webhook.tool.read_only:
            return await self._read(webhook, arguments, info)
        key = (info.platform_call_id, call.name, orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS))
        task = self._effects.get(key)
        if task is None:
            self._forget_oldest()
            task = asyncio.create_task(self._effect(webhook, arguments, info), name=f"tool {call.name}")
            self._effects[key] = task
        result = await asyncio.shield(task)
        self._effects.pop(key, None)
        return result

    async def close(self) -> None:
        """Wait (2 s at most) for requests with effects, then close the connections. Idempotent."""
        running = [task for task in self._effects.values() if not task.done()]
        self._effects.clear()
        if running:
            _, late = await asyncio.wait(running, timeout=CLOSE_S)
            for task in late:
                logger.error("%s was cut off: %s", task.get_name(), UNCERTAIN)
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        shared, single = self._shared, self._single
        self._shared = self._single = None
        for session in (shared, single):
            if session is not None:
                await session.close()

    async def _read(self, webhook: Webhook, arguments: dict[str, Any], info: CallInfo) -> str:
        """A request without effects: over connections that are kept, and again if a kept one was dead."""
        if self._shared is None:
            self._shared = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        session = self._shared
        try:
            async with asyncio.timeout(webhook.tool.timeout_ms / 1000):
                try:
                    return await webhook.call(session, arguments, info)
                except (aiohttp.ServerDisconnectedError, ConnectionResetError):
                    return await webhook.call(session, arguments, info)
        except TimeoutError:
            return _failed(webhook, f"no answer within {webhook.tool.timeout_ms} ms")
        except aiohttp.ClientError as error:
            return _failed(webhook, _named(error))

    async def _effect(self, webhook: Webhook, arguments: dict[str, Any], info: CallInfo) -> str:
        """A request with effects: over a connection of its own, since a kept one may be dead already, and
        then nobody could tell whether it arrived."""
        if self._single is None:
            connector = aiohttp.TCPConnector(force_close=True)
            self._single = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with asyncio.timeout(webhook.tool.timeout_ms / 1000):
                return await webhook.call(self._single, arguments, info)
        except aiohttp.ClientConnectorError as error:
            return _failed(webhook, _named(error))
        except TimeoutError:
            return _failed(webhook, f"no answer within {webhook.tool.timeout_ms} ms; {UNCERTAIN}")
        except aiohttp.ClientError as error:
            return _failed(webhook, f"{_named(error)}; {UNCERTAIN}")

    def _forget_oldest(self) -> None:
        for key in [key for key, task in self._effects.items() if task.done()]:
            if len(self._effects) < MAX_UNFETCHED:
                return
            del self._effects[key]


def _failed(webhook: Webhook, problem: str) -> str:
    logger.warning("tool %s failed: %s", webhook.tool.name, problem)
    return f"error: {problem}"


def _named(error: aiohttp.ClientError) -> str:
    return str(error) or type(error).__name__


def _arguments(call: ToolCall) -> dict[str, Any] | None:
    if not call.arguments.strip():
        return {}
    try:
        arguments = orjson.loads(call.arguments)
    except orjson.JSONDecodeError:
        return None
    return arguments if isinstance(arguments, dict) else None


def _spec(tool: Tool) -> ToolSpec:
    if isinstance(tool, WebhookTool):
        return ToolSpec(tool.name, tool.description, tool.parameters, tool.read_only)
    properties: dict[str, Any] = {}
    if isinstance(tool, TransferCallTool):
        properties = {"target": {"type": "string", "enum": list(tool.targets)}}
    return ToolSpec(tool.name, tool.description, {"type": "object", "properties": properties})
