"""One HTTP request to an agent owner's endpoint, and what may be told of its answer.

Redirects are refused: following one would carry the caller's data and the owner's secret header to an
address that nobody wrote down.
"""

import codecs
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from agent.agentfile.schema import WebhookTool
from agent.errors import ConfigError
from agent.lines import CallInfo

MAX_RESULT_BYTES = 8 * 1024
"""More of an answer than a model can use in a spoken reply is cut off."""
CUT = " … (the rest was cut off)"
DONE = "ok: done, without a result"
_MAX_ERROR_CHARS = 200
_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Webhook:
    """A webhook tool, ready to be called: its address and headers, with secrets filled in."""

    def __init__(self, tool: WebhookTool, environ: Mapping[str, str]) -> None:
        """Raises `ConfigError` for an address or header that cannot be sent, or a secret that is not set."""
        self.tool = tool
        try:
            _ = urlsplit(tool.url).port
        except ValueError as error:
            raise ConfigError(f"tool {tool.name}: url {tool.url!r} cannot be used: {error}") from None
        self._headers = {name: _filled(tool, name, value, environ) for name, value in tool.headers.items()}

    async def call(self, session: aiohttp.ClientSession, arguments: dict[str, Any], info: CallInfo) -> str:
        """Send it once. Returns the text for the model; raises `aiohttp.ClientError`. Without a bound."""
        headers = dict(self._headers)
        if self.tool.method == "GET":
            query = {
                name: value if isinstance(value, str) else orjson.dumps(value).decode()
                for name, value in arguments.items()
            }
            request = session.get(self.tool.url, params=query, headers=headers, allow_redirects=False)
        else:
            body = {
                "tool": self.tool.name,
                "arguments": arguments,
                "call": {
                    "id": info.platform_call_id,
                    "transport": info.transport,
                    "from": info.caller,
                    "to": info.called,
                },
            }
            headers.setdefault("Content-Type", "application/json")
            request = session.post(
                self.tool.url, data=orjson.dumps(body), headers=headers, allow_redirects=False
            )
        async with request as response:
            text = await _text(response)
            if 300 <= response.status < 400:
                return f"error: HTTP {response.status}: redirects are not followed"
            if response.status >= 400:
                return f"error: HTTP {response.status}: {text[:_MAX_ERROR_CHARS]}".rstrip(": ")
            return text if text.strip() else DONE


def _filled(tool: WebhookTool, header: str, value: str, environ: Mapping[str, str]) -> str:
    for name in _ENVIRONMENT.findall(value):
        if not environ.get(name):
            raise ConfigError(f"tool {tool.name}: header {header} needs the environment variable {name}")
    # Secrets kept in files end in a newline.
    filled = _ENVIRONMENT.sub(lambda match: environ[match[1]].strip(), value)
    if _CONTROL.search(header + filled):
        raise ConfigError(f"tool {tool.name}: header {header} has a line break or another control character")
    return filled


async def _text(response: aiohttp.ClientResponse) -> str:
    """The body as text, cut where it is longer than a model can use."""
    content = b""
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_RESULT_BYTES:
            break
    try:
        decoder = codecs.getincrementaldecoder(response.charset or "utf-8")("replace")
    except LookupError:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
    # Not final: a character that the cut went through is dropped.
    text = decoder.decode(content[:MAX_RESULT_BYTES])
    return text + CUT if len(content) > MAX_RESULT_BYTES else text
