"""What can be done to a call over Telnyx's REST API, and getting hold of it.

`transports.telnyx.rest`, which does it, needs the SDK: over a second to import and 40 MB. So it is imported
on a thread of its own, only where there is an API key, and never while somebody waits if it can be helped.
"""

import asyncio
import importlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from agent.audio.formats import AudioFormat
from agent.errors import LineError
from transports.telnyx.farewell import Sentence

logger = logging.getLogger(__name__)

LOAD_DEADLINE_S = 20.0
"""Importing the SDK takes 1.6 s on an idle machine."""


class CallOver(LineError):
    """The platform says that the call has ended, or knows no such call."""


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """What `streaming_start` is asked for."""

    url: str
    outbound: AudioFormat
    ticket: str = field(repr=False)


class CallActions(Protocol):
    """Commands on calls. Each raises `LineError`, and `CallOver` where the call has ended before."""

    async def answer(self, call_id: str) -> None:
        """Take an incoming call."""

    async def reject(self, call_id: str) -> None:
        """Refuse a call that rings: busy. A call that is over counts as done."""

    async def start_stream(self, call_id: str, order: StreamOrder) -> None:
        """Open a media socket for an answered call."""

    async def speak(self, call_id: str, sentence: Sentence) -> None:
        """Have the platform say something to the caller."""

    async def hang_up(self, call_id: str) -> None:
        """End the call. A call that is over counts as done."""

    async def transfer(self, call_id: str, target: str) -> None:
        """Connect the caller to a number or SIP URI."""

    async def send_digits(self, call_id: str, digits: str) -> None:
        """Send DTMF to the caller: `0-9 A-D * #`, `w` and `W` are pauses."""

    async def close(self) -> None:
        """Free the client. Idempotent."""


class LoadedActions:
    """`CallActions` whose client is loaded in the background, at `warm` or when first used."""

    def __init__(self, api_key: str, api_url: str | None) -> None:
        self._api_key = api_key
        self._api_url = api_url
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="telnyx-sdk")
        self._loading: Future[CallActions] | None = None
        self._closed = False

    def warm(self) -> None:
        """Begin to load, if it has not begun."""
        if self._loading is None and not self._closed:
            self._loading = self._executor.submit(self._load)

    async def answer(self, call_id: str) -> None:
        await (await self._actions()).answer(call_id)

    async def reject(self, call_id: str) -> None:
        await (await self._actions()).reject(call_id)

    async def start_stream(self, call_id: str, order: StreamOrder) -> None:
        await (await self._actions()).start_stream(call_id, order)

    async def speak(self, call_id: str, sentence: Sentence) -> None:
        await (await self._actions()).speak(call_id, sentence)

    async def hang_up(self, call_id: str) -> None:
        await (await self._actions()).hang_up(call_id)

    async def transfer(self, call_id: str, target: str) -> None:
        await (await self._actions()).transfer(call_id, target)

    async def send_digits(self, call_id: str, digits: str) -> None:
        await (await self._actions()).send_digits(call_id, digits)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._executor.shutdown(wait=False)
        if self._loading is not None:
            try:
                await (await self._loaded(self._loading)).close()
            except LineError as error:
                logger.warning("closing: %s", error)

    async def _actions(self) -> CallActions:
        self.warm()
        if self._loading is None or self._closed:
            raise LineError("the Telnyx REST client is closed")
        return await self._loaded(self._loading)

    async def _loaded(self, loading: Future[CallActions]) -> CallActions:
        try:
            async with asyncio.timeout(LOAD_DEADLINE_S):
                # Shielded, since others wait for the same loading.
                return await asyncio.shield(asyncio.wrap_future(loading))
        except TimeoutError:
            raise LineError(f"the Telnyx SDK did not load in {LOAD_DEADLINE_S:g} s") from None
        except ImportError as error:
            raise LineError(f"the Telnyx SDK cannot be loaded: {error}") from None

    def _load(self) -> CallActions:
        rest = importlib.import_module("transports.telnyx.rest")
        client: CallActions = rest.TelnyxRest(self._api_key, self._api_url)
        return client
