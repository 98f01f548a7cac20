"""The agent file's tools: what the model is told of them, and running the ones that call out."""

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from agent.agentfile.schema import AgentFile, EndCallTool, Tool, TransferCallTool, WebhookTool
from agent.lines import CallInfo
from agent.providers import ToolCall, ToolSpec

logger = logging.getLogger(__name__)

MAX_RESULT_BYTES = 8 * 1024
"""More of a tool's answer than a model can use in a spoken reply is cut off."""
_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ToolRunner:
    """One process's tools; shared by all calls."""

    def __init__(self, agent: AgentFile, environ: Mapping[str, str]) -> None:
        self._tools: dict[str, Tool] = {tool.name: tool for tool in agent.tools}
        self._environ = environ
        self._session: aiohttp.ClientSession | None = None
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
        """Run a webhook tool. Failures come back as a text that tells the model so; never raises them."""
        tool = self._tools.get(call.name)
        if not isinstance(tool, WebhookTool):
            return f"error: there is no tool named {call.name}"
        arguments = _arguments(call)
        if arguments is None:
            return "error: the arguments were not a JSON object"
        try:
            async with asyncio.timeout(tool.timeout_ms / 1000):
                return await self._request(tool, arguments, info)
        except TimeoutError:
            problem = f"no answer within {tool.timeout_ms} ms"
        except aiohttp.ClientError as error:
            problem = str(error) or type(error).__name__
        logger.warning("tool %s failed: %s", tool.name, problem)
        return f"error: {problem}"

    async def close(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request(self, tool: WebhookTool, arguments: dict[str, Any], info: CallInfo) -> str:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = {name: self._substituted(value) for name, value in tool.headers.items()}
        if tool.method == "GET":
            query = {
                name: value if isinstance(value, str) else orjson.dumps(value).decode()
                for name, value in arguments.items()
            }
            request = self._session.get(tool.url, params=query, headers=headers)
        else:
            body = {
                "tool": tool.name,
                "arguments": arguments,
                "call": {
                    "id": info.platform_call_id,
                    "transport": info.transport,
                    "from": info.caller,
                    "to": info.called,
                },
            }
            headers.setdefault("Content-Type", "application/json")
            request = self._session.post(tool.url, data=orjson.dumps(body), headers=headers)
        async with request as response:
            content = await response.content.read(MAX_RESULT_BYTES)
            text = content.decode("utf-8", "replace")
            if response.status >= 400:
                logger.warning("tool %s answered %d", tool.name, response.status)
                return f"error: HTTP {response.status}: {text[:200]}"
            return text

    def _substituted(self, value: str) -> str:
        return _ENVIRONMENT.sub(lambda match: self._environ.get(match[1], ""), value)


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
