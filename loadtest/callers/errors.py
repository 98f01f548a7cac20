"""Why a synthetic call did not come about.

CallNotMade             root; the message is one line for people
+-- Unreachable         nothing answers at that address
+-- CallRefused         the server is there and does not take the call
"""

from agent.errors import ParleyError


class CallNotMade(ParleyError):
    """There was no call."""


class Unreachable(CallNotMade):
    """Nothing answers there."""


class CallRefused(CallNotMade):
    """The server does not take this call: busy, draining, or the request did not verify."""
