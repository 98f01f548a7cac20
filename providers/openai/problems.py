"""What went wrong, as Parley's errors: each says what to do. Pure.

openai.md 1 has the statuses and codes; the other servers' shapes are in others.md 8.
"""

from collections.abc import Mapping
from typing import Any

import aiohttp
import httpx2
import openai

from agent.errors import ProviderError, ProviderRejected, ProviderTimeout, ProviderUnavailable
from providers.connections import hidden

NO_CREDIT = frozenset(
    ("insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "account_deactivated")
)
"""Codes of a 429 that waiting does not cure (openai.md 1 and 7.8)."""
_BUSY = frozenset(("rate_limit_exceeded", "server_error", "overloaded_error", "internal_error", "timeout"))
_CHARS = 300


def of_status(provider: str, error: openai.APIStatusError, key_name: str, key: str = "") -> ProviderError:
    """The error for an HTTP status other than success. `key` is hidden in it: some servers repeat it."""
    status, body = error.status_code, _inside(error.body)
    code = str(body.get("code") or "")
    message = hidden(str(body.get("message") or error.response.reason_phrase), key)
    said = f"{status} {_shortened(message)}".strip()
    if code in NO_CREDIT or status == 402:
        return ProviderRejected(provider, f"{said}: out of credit, top up the account behind {key_name}")
    if status == 429:
        return ProviderUnavailable(provider, f"{said}: too many requests, {_when(error.response.headers)}")
    if status == 401:
        return ProviderRejected(provider, f"{said}: check {key_name}")
    if status == 403:
        return ProviderRejected(provider, f"{said}: {key_name} may not use this model or region")
    if status == 404:
        return ProviderRejected(provider, f"{said}: check `model` and `base_url` in the agent file")
    if code == "context_length_exceeded":
        return ProviderRejected(provider, f"{said}: shorten the instructions or the knowledge")
    if status in (408, 409):
        return ProviderUnavailable(provider, f"{said}: the service is slow")
    if status < 500:
        return ProviderRejected(provider, f"{said}: check this provider's options in the agent file")
    return ProviderUnavailable(provider, f"{said}: the service is in trouble")


def of_connection(provider: str, error: BaseException, url: str, waited_ms: float) -> ProviderError:
    """The error for a request that got no answer, or whose answer broke off."""
    causes = _causes(error)
    if any(isinstance(cause, aiohttp.ClientConnectorError) for cause in causes):
        reason = next(str(cause) for cause in causes if isinstance(cause, aiohttp.ClientConnectorError))
        return ProviderUnavailable(provider, f"cannot be reached: {_shortened(reason)}: check {url}")
    if dropped(error):
        return ProviderUnavailable(provider, f"{url} closed the connection without an answer")
    if any(isinstance(cause, aiohttp.ConnectionTimeoutError) for cause in causes):
        return ProviderTimeout(provider, f"no connection to {url} in time")
    if any(isinstance(cause, TimeoutError | httpx2.TimeoutException) for cause in causes):
        return ProviderTimeout(provider, f"nothing from {url} for {waited_ms:.0f} ms")
    if any(isinstance(cause, httpx2.ReadError | aiohttp.ClientPayloadError) for cause in causes):
        return ProviderUnavailable(provider, "the stream broke off in the middle of the reply")
    return ProviderUnavailable(provider, f"{url}: {type(causes[-1]).__name__}: {_shortened(causes[-1])}")


def dropped(error: BaseException) -> bool:
    """The connection was closed before any answer: as by a server that had just let an idle one go."""
    return any(
        isinstance(cause, aiohttp.ServerDisconnectedError | ConnectionResetError | aiohttp.ClientOSError)
        and not isinstance(cause, aiohttp.ClientConnectorError)
        for cause in _causes(error)
    )


def in_stream(provider: str, document: Mapping[str, Any]) -> ProviderError:
    """The error for an error object where a piece of the answer should be."""
    body = _inside(document)
    code, kind = str(body.get("code") or ""), str(body.get("type") or "")
    said = f"{_shortened(body.get('message') or code or kind)}, in the middle of the stream"
    if code in NO_CREDIT:
        return ProviderRejected(provider, f"{said}: out of credit, top up the account")
    if code in _BUSY or kind in _BUSY or code.startswith("5") or code == "429":
        return ProviderUnavailable(provider, f"{said}: the service is in trouble")
    if kind == "invalid_request_error" or code.startswith("4"):
        return ProviderRejected(provider, f"{said}: check this provider's options in the agent file")
    return ProviderUnavailable(provider, said)


def unsupported(error: openai.APIStatusError) -> str | None:
    """The name of the parameter that this model or server does not take, if that is what it says."""
    body = _inside(error.body)
    if error.status_code != 400 or body.get("code") not in ("unsupported_parameter", "unsupported_value"):
        return None
    name = body.get("param")
    return name if isinstance(name, str) else None


def _inside(body: object) -> Mapping[str, Any]:
    """The error object: under `error`, or at the top (older vLLM), or only a text."""
    if not isinstance(body, Mapping):
        # A proxy's web page says nothing that its status does not say.
        return {"message": body} if isinstance(body, str) and not body.lstrip().startswith("<") else {}
    inner = body.get("error", body)
    return inner if isinstance(inner, Mapping) else {"message": str(inner)}


def _when(headers: httpx2.Headers) -> str:
    """From the retry headers, of which OpenAI sends one in milliseconds."""
    if wait_ms := headers.get("retry-after-ms"):
        return f"retry after {_shortened(wait_ms)} ms"
    if wait := headers.get("retry-after"):
        return f"retry after {_shortened(wait)}" + (" s" if wait.isdigit() else "")
    return "raise the plan's limit"


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__
    return found


def _shortened(text: object) -> str:
    return " ".join(str(text).split())[:_CHARS]
