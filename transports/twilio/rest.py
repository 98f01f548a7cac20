"""Twilio's REST API through its SDK (protocol sheet 5.4).

The SDK blocks, so it runs on threads of its own, each request with a deadline. Import this module only where
credentials are set: the SDK's client takes 140 ms to import.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# The SDK ships no types.
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from agent.errors import LineError

logger = logging.getLogger(__name__)

DEFAULT_URL = "https://api.twilio.com"
HTTP_TIMEOUT_S = 5.0
"""One request on its thread."""
HANG_UP_DEADLINE_S = 1.5
"""Below the core's 2 s ceiling on a hang-up; the request itself goes on, and the socket closes anyway."""
REDIRECT_DEADLINE_S = 5.0
MAX_PENDING = 64
"""Requests waiting for one of the threads; beyond it the API is as good as down."""
_THREADS = 4
_OVER_ALREADY = frozenset((20404, 21220))
"""No such resource; call is not in progress. 20404: sheet 5.4, 21220: assumed."""


class TwilioRest:
    """REST actions on calls. Implements `transports.twilio.actions.CallActions`."""

    def __init__(self, account_sid: str, auth_token: str, base_url: str | None = None) -> None:
        """`base_url` replaces Twilio's own, for a stand-in or a proxy."""
        self._http = _HttpClient(base_url)
        self._client = Client(account_sid, auth_token, http_client=self._http)
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="twilio-rest")
        self._lock = threading.Lock()
        self._pending = 0
        self._closed = False

    async def hang_up(self, call_sid: str) -> None:
        """See `CallActions`."""
        await self._run(
            lambda: self._client.calls(call_sid).update(status="completed"),
            f"hang up {call_sid}",
            HANG_UP_DEADLINE_S,
            done_if=_OVER_ALREADY,
        )

    async def redirect(self, call_sid: str, twiml: str) -> None:
        """See `CallActions`."""
        await self._run(
            lambda: self._client.calls(call_sid).update(twiml=twiml),
            f"redirect {call_sid}",
            REDIRECT_DEADLINE_S,
        )

    async def close(self) -> None:
        """See `CallActions`. A request that is under way ends on its thread, within its timeout."""
        if not self._closed:
            self._closed = True
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._http.session.close()

    async def _run(
        self,
        request: Callable[[], object],
        what: str,
        deadline_s: float,
        done_if: frozenset[int] = frozenset(),
    ) -> None:
        if self._closed or self._pending >= MAX_PENDING:
            why = "closed" if self._closed else "busy"
            raise LineError(f"cannot {what}: the Twilio REST client is {why}")
        with self._lock:
            self._pending += 1
        future = self._executor.submit(request)
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.wrap_future(future)
        except TwilioRestException as error:
            if error.code in done_if:
                logger.debug("%s: the call was over (%s)", what, error.code)
                return
            raise LineError(f"cannot {what}: Twilio answers {error.status}, error {error.code}") from None
        except TimeoutError:
            raise LineError(f"cannot {what}: no answer from Twilio in {deadline_s:g} s") from None
        except (TwilioException, OSError) as error:
            # `requests` raises subclasses of OSError.
            raise LineError(f"cannot {what}: {type(error).__name__}") from None

    def _done(self, _: object) -> None:
        # On whichever thread it ended, or was cancelled before it began.
        with self._lock:
            self._pending -= 1


class _HttpClient(TwilioHttpClient):  # type: ignore[misc]  # its base is untyped
    """The SDK's HTTP client with a deadline, one retry of the connection, and another base URL if wanted."""

    def __init__(self, base_url: str | None) -> None:
        super().__init__(timeout=HTTP_TIMEOUT_S, max_retries=1)
        self._base_url = base_url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if self._base_url is not None:
            url = self._base_url + url.removeprefix(DEFAULT_URL)
        return super().request(method, url, *args, **kwargs)
