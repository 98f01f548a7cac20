"""What can be done to a call over Twilio's REST API.

Apart from `transports.twilio.rest`, which does it: that one imports the SDK's client, and is itself imported
only where credentials are set.
"""

from typing import Protocol


class CallActions(Protocol):
    """REST actions on calls."""

    async def hang_up(self, call_sid: str) -> None:
        """End the call. A call that is over already counts as done. Raises `LineError`."""

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """Replace what the call is running by `twiml`. Raises `LineError`."""

    async def close(self) -> None:
        """Free the client. Idempotent."""
