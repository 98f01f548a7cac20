"""Sibling processes on the side port: several workers give one answer at `/metrics` and `/latency`.

`PARLEY_PEERS` names the side ports of the other processes. Whichever process is asked asks them, all at the
same time and for a second at most; one that does not answer is counted and left out. But what a process has
counted must not go back in the sum when it falls silent or starts again (Prometheus would take the rest for
new): its last counters stay, everything else of it goes.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from agent.errors import ConfigError
from agent.metrics import Metrics
from agent.metrics.latency_book import summary_of
from agent.metrics.together import MALFORMED, Together, Told, Windows, read_document, read_windows

logger = logging.getLogger(__name__)

VARIABLE = "PARLEY_PEERS"
METRICS_PATH = "/peer/metrics"
LATENCY_PATH = "/peer/latency"
DEADLINE_S = 1.0
"""For a sibling's whole answer: on one machine some milliseconds. Prometheus gives a scrape 10 s."""
MAX_PEERS = 64
_MAX_BYTES = 16 * 1024 * 1024
"""Longest answer that is read: several times that of a process with all its label sets in use."""
_NONSENSE = "not a document of this version"


def read_peers(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Addresses such as `http://127.0.0.1:9465`, without a slash at the end. Raises `ConfigError`."""
    found = dict.fromkeys(part.strip().rstrip("/") for part in environ.get(VARIABLE, "").split(","))
    urls = tuple(url for url in found if url)
    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and parts.hostname and not parts.path and parts.port != 0
        except ValueError:
            good = False
        if not good or set(url) & set("?#@ "):
            raise ConfigError(f"{VARIABLE}: {url!r}: expected side ports, such as http://127.0.0.1:9465")
    if len(urls) > MAX_PEERS:
        raise ConfigError(f"{VARIABLE}: {len(urls)} processes: {MAX_PEERS} at most")
    return urls


class Peers:
    """The other processes, and what they last told. Event loop only."""

    def __init__(
        self,
        urls: Sequence[str],
        metrics: Metrics,
        own_address: Callable[[], str],
        token: str | None,
    ) -> None:
        """`own_address()`: host and port of our side port. `token`: that of all their side ports."""
        self._urls = tuple(urls)
        self._metrics = metrics
        self._own_address = own_address
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None
        self._last: dict[str, tuple[str, Told]] = {}
        """By address: the process that answered last, and what it told."""
        self._past: dict[str, Together] = {}
        """By address: what processes before that one had counted."""
        self._silent: set[str] = set()
        self._asking = asyncio.Lock()

    async def exposition(self) -> bytes:
        """All processes' metrics in Prometheus's text format."""
        # One after the other: an answer that is overtaken by a newer one would look like a restart.
        async with self._asking:
            return self._sum(await self._ask(METRICS_PATH))

    def _sum(self, answers: Mapping[str, Mapping[str, Any]]) -> bytes:
        together = Together()
        for url in self._urls:
            answered = self._read(url, answers.get(url))
            if answered is not None:
                self._remember(url, *answered)
                together.add(answered[1], url.partition("://")[2])
            elif url in self._last:
                together.add_lasting(self._last[url][1])
            if url in self._past:
                together.add_lasting(self._past[url].told())
        # Ourselves at last: who did not answer is counted by now.
        own = read_document(self._metrics.document())
        together.add(own, self._own_address())
        return together.exposition()

    async def latency(self, windows: Sequence[str]) -> dict[str, object]:
        """`LatencyBook.summary` of all processes, and of how many it is."""
        answers = await self._ask(f"{LATENCY_PATH}?window={','.join(windows)}")
        own = self._metrics.book.counted(windows)
        # Longer than a frame may wait; `own` is a copy.
        summary, wrong = await asyncio.to_thread(_add_up, own, answers, windows)
        for url in answers:
            if url in wrong:
                self._missed(url, wrong[url])
            else:
                self._answered(url)
        return {"processes": 1 + len(answers) - len(wrong), **summary}

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _remember(self, url: str, instance: str, told: Told) -> None:
        before = self._last.get(url)
        if before is not None and before[0] != instance:
            self._past.setdefault(url, Together()).add_lasting(before[1])
        self._last[url] = instance, told

    def _read(self, url: str, answer: Mapping[str, Any] | None) -> tuple[str, Told] | None:
        """The process that answered, and what; None where it did not, or told nonsense."""
        if answer is None:
            return None
        try:
            told = read_document(answer["metrics"])
        except MALFORMED as error:
            self._missed(url, f"{_NONSENSE}: {error!r}")
            return None
        self._answered(url)
        return answer["instance"], told

    def _answered(self, url: str) -> None:
        if url in self._silent:
            self._silent.discard(url)
            logger.info("sibling %s answers again", url)

    def _missed(self, url: str, why: str) -> None:
        """Count, and log the first in a row."""
        self._metrics.misses[url.partition("://")[2]] += 1
        if url not in self._silent:
            self._silent.add(url)
            logger.warning("sibling %s is left out of metrics: %s", url, why)

    async def _ask(self, path: str) -> dict[str, Mapping[str, Any]]:
        """By address, who answered: each process once, however many addresses it has, and never ourselves."""
        answers = await asyncio.gather(*(self._one(url, path) for url in self._urls))
        seen = {self._metrics.instance}
        found: dict[str, Mapping[str, Any]] = {}
        for url, answer in zip(self._urls, answers, strict=True):
            if answer is not None and answer["instance"] not in seen:
                seen.add(answer["instance"])
                found[url] = answer
        return found

    async def _one(self, url: str, path: str) -> dict[str, Any] | None:
        """A sibling's answer; None where there is none, which is counted."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await self._fetch(url + path)
        except TimeoutError:
            self._missed(url, f"no answer within {DEADLINE_S:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._missed(url, str(error) or type(error).__name__)
        return None

    async def _fetch(self, url: str) -> dict[str, Any]:
        """Raises `aiohttp.ClientError`, and `ValueError` for an answer that is none of a side port's."""
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        async with self._session.get(url, allow_redirects=False) as answer:
            if answer.status != HTTPStatus.OK:
                raise ValueError(f"answers {answer.status}: is PARLEY_SIDE_TOKEN the same everywhere?")
            if answer.content_length is None or answer.content_length > _MAX_BYTES:
                raise ValueError("too long an answer")
            told = orjson.loads(await answer.read())
        if not isinstance(told, dict) or not isinstance(told.get("instance"), str):
            raise ValueError("the answer is no side port's")  # noqa: TRY004
        return told


def _add_up(
    own: Windows, answers: Mapping[str, Mapping[str, Any]], windows: Sequence[str]
) -> tuple[dict[str, object], dict[str, str]]:
    """The summary, and by address what is wrong with an answer that could not be used."""
    told, wrong = [own], {}
    for url, answer in answers.items():
        try:
            told.append(read_windows(answer["windows"], windows))
        except MALFORMED as error:
            wrong[url] = f"{_NONSENSE}: {error!r}"
    return summary_of(told, windows), wrong
