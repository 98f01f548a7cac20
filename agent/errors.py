"""Every error that crosses a module border.

    ParleyError
    +-- ConfigError             the operator must change a file, a flag or the environment
    |   +-- AgentFileError      ... the agent file: carries one line per mistake
    +-- Refused                 a new call is not taken; carries the reason for the platform's answer
    +-- TicketError             a media or relay socket came without a valid ticket
    +-- WireError               a peer sent something that its protocol does not allow
    +-- LineError               an action on the platform (hang up, transfer) failed
    +-- ProviderError           an STT, LLM or TTS service failed
        +-- ProviderUnavailable ... refused, unreachable, overloaded: the next provider may do better
        +-- ProviderTimeout     ... too slow: the next provider may do better
        +-- ProviderRejected    ... our request is wrong (key, model, parameter): retrying cannot help

`ConfigError` is ours to fix before a call; the rest are met during calls and never end another call.
"""

from enum import StrEnum


class ParleyError(Exception):
    """Root of all of Parley's errors."""


class ConfigError(ParleyError):
    """The operator's configuration is wrong. The message says what to change."""


class AgentFileError(ConfigError):
    """The agent file has mistakes.

    `problems` holds one line each: file, line, what is wrong, what is allowed.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RefusalReason(StrEnum):
    """Why a call is not taken; also the label of the refusal counter."""

    FULL = "full"
    OVERLOADED = "overloaded"
    CORE_FULL = "core_full"
    DRAINING = "draining"


class Refused(ParleyError):
    """This process does not take a new call now. Answer with the platform's own refusal (busy, 503)."""

    def __init__(self, reason: RefusalReason) -> None:
        super().__init__(f"call refused: {reason.value}")
        self.reason = reason


class TicketError(ParleyError):
    """A socket's ticket is missing, unknown, used, expired or bound to another call. Close with 1008."""


class WireError(ParleyError):
    """A peer's message cannot be understood. Count it, drop the message, keep the call."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        """Label of the bad-message counter: a short fixed word, never the peer's own text."""


class LineError(ParleyError):
    """A platform action (hang up, transfer, redirect) failed. The call goes on unless it was the end."""


class ProviderError(ParleyError):
    """A provider failed. `provider` is its name in the chain."""

    def __init__(self, provider: str, detail: str) -> None:
        super().__init__(f"{provider}: {detail}")
        self.provider = provider
        self.detail = detail


class ProviderUnavailable(ProviderError):
    """Refused, unreachable, overloaded, or died mid-stream. Try the next provider."""


class ProviderTimeout(ProviderError):
    """No answer within the bound. Try the next provider."""


class ProviderRejected(ProviderError):
    """The provider says that the request itself is wrong. Try the next provider, never the same again."""
