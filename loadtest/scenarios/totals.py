"""The server's counters over all of its processes: a restart begins to count anew, a run does not. No IO.

What a process counted after it was last looked at is lost with it: some seconds where somebody else killed
it, its last moments where the load tester did, which looks once more before.
"""

import re

from loadtest.bulk.account import COUNTERS

_SAMPLE = re.compile(rf"^parley_({'|'.join(COUNTERS)})_total(?:\{{[^}}]*\}})? (\S+)", re.MULTILINE)
_STARTED = re.compile(r"^process_start_time_seconds (\S+)", re.MULTILINE)


class Totals:
    """Feed `saw` with `/metrics` whenever it is read."""

    def __init__(self) -> None:
        self._before: dict[str, float] = dict.fromkeys(COUNTERS, 0.0)
        """Of the processes that have gone."""
        self._now: dict[str, float] = {}
        """Of the present one, as last seen."""
        self._started = ""
        self.processes = 0
        """That were seen."""

    @property
    def sums(self) -> dict[str, float]:
        """`COUNTERS`, summed over transports and processes; empty while none was seen."""
        return {name: self._before[name] + value for name, value in self._now.items()}

    def saw(self, exposition: str) -> None:
        """The metrics in Prometheus's text format. What has no start time is no server's, and is ignored."""
        started = _STARTED.search(exposition)
        if started is None:
            return
        now = dict.fromkeys(COUNTERS, 0.0)
        # The library's parser takes 40 ms for a busy server's metrics, which would make the callers late.
        for name, value in _SAMPLE.findall(exposition):
            now[name] += float(value)
        if started[1] != self._started:
            self._before = self.sums or self._before
            self._started = started[1]
            self.processes += 1
        self._now = now
