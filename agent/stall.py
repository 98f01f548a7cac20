"""Says what blocked the event loop.

A heartbeat on the loop comes every 20 ms. A thread sleeps until one would show a block of 50 ms; only then
does it look at what the loop's thread is doing, while it still does it. A loop that keeps its beat costs that
thread some twenty wake-ups a second and nothing else. The heartbeat, when it comes at last, counts the block
and logs the stack that was seen.

Nothing is killed: a blocked loop recovers by itself far more often than not, and then the log says why.
"""

import logging
import resource
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType

from agent.clock import Clock, Timer
from agent.metrics.collect import Watch

logger = logging.getLogger(__name__)

BEAT_MS = 20.0
THRESHOLD_MS = 50.0
"""A caller hears this: two frames and a half, more than half of a player's usual 60 to 80 ms of buffer."""
_LATE_MS = THRESHOLD_MS - BEAT_MS / 2
"""A block begins somewhere between two beats: on average it is half a beat longer than the beat is late."""
HANGS_MS = 2_000.0
"""A block this long is logged while it lasts: it may never end."""
LOG_EVERY_MS = 1_000.0
"""At most one line in so long: a loop that is always late must not be made later by its log."""
LOG_MACHINE_EVERY_MS = 30_000.0
"""... and in so long about blocks of which the log can only say that they were none of ours."""
MAX_FRAMES = 25
"""Innermost frames in the log."""
JOIN_S = 1.0
_LOOK_AGAIN_S = 0.025
CODE, MACHINE = "code", "machine"
"""Causes: something ran on the loop and kept it; or the machine did not let the loop run."""
_NO_STACK = "native code that held the interpreter"


class StallDetector:
    """Judges beats and looks. Pure: times come in, in ms; `now_ms` never goes back.

    `beat` belongs to the loop, `overdue` and `seen` to the watching thread. Each only writes what is its own.
    """

    def __init__(self, now_ms: float) -> None:
        self.due_ms = now_ms + BEAT_MS
        """When the next beat should come."""
        self._seen: tuple[float, str] | None = None

    def beat(self, now_ms: float) -> tuple[float, str] | None:
        """The loop is alive. If it was blocked: for how many ms, and the stack seen meanwhile, or nothing."""
        due_ms, seen = self.due_ms, self._seen
        self.due_ms = now_ms + BEAT_MS
        if now_ms - due_ms <= _LATE_MS:
            return None
        # A look at an earlier block says nothing about this one.
        return now_ms - due_ms + BEAT_MS / 2, seen[1] if seen is not None and seen[0] == due_ms else ""

    def overdue(self, now_ms: float) -> float:
        """For how long there has been a block to look at; not positive: there is none."""
        return now_ms - self.due_ms - _LATE_MS

    def needs_look(self) -> bool:
        """No stack of the block that goes on was seen yet."""
        return self._seen is None or self._seen[0] != self.due_ms

    def seen(self, due_ms: float, stack: str) -> None:
        """This is what the loop did while the beat that was due at `due_ms` was missing."""
        self._seen = (due_ms, stack)


class StallWatch(Watch):
    """One loop's watch: heartbeat and thread. `start` and `stop` on that loop; `start` only once."""

    def __init__(self, clock: Clock, invariants: Callable[[], dict[str, int]] = dict) -> None:
        """`invariants()`: counts of violations, to be exported beside the stalls."""
        self._clock = clock
        self._invariants = invariants
        self._detector = StallDetector(clock.now_ms())
        self._timer: Timer | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._cpu_ms = 0.0
        self._unlogged = 0
        self._next_log_ms = dict.fromkeys((CODE, MACHINE), float("-inf"))
        self._stalls = dict.fromkeys((CODE, MACHINE), 0)
        self._stalled_ms = dict.fromkeys((CODE, MACHINE), 0.0)

    @property
    def stalls(self) -> dict[str, int]:
        """See `Watch`."""
        return self._stalls

    @property
    def stalled_ms(self) -> dict[str, float]:
        """See `Watch`."""
        return self._stalled_ms

    @property
    def violations(self) -> dict[str, int]:
        """See `Watch`."""
        return self._invariants()

    def start(self) -> None:
        """Begin to watch the running loop's thread."""
        self._loop_thread = threading.get_ident()
        self._cpu_ms = _thread_cpu_ms()
        self._detector = StallDetector(self._clock.now_ms())
        self._timer = self._clock.call_later(BEAT_MS, self._beat)
        self._thread = threading.Thread(target=self._watch, name="stall watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, thread and all. Idempotent."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread is not None:
            self._thread.join(JOIN_S)
            self._thread = None

    def _beat(self) -> None:
        now_ms = self._clock.now_ms()
        block = self._detector.beat(now_ms)
        before_ms, self._cpu_ms = self._cpu_ms, _thread_cpu_ms()
        self._timer = self._clock.call_later(BEAT_MS, self._beat)
        if block is None:
            return
        blocked_ms, stack = block
        cpu_ms = min(self._cpu_ms - before_ms, blocked_ms)
        cause = cause_of(stack, cpu_ms, blocked_ms)
        self._stalls[cause] += 1
        self._stalled_ms[cause] += blocked_ms
        if now_ms < self._next_log_ms[cause]:
            self._unlogged += 1
            return
        self._next_log_ms[cause] = now_ms + (LOG_EVERY_MS if cause == CODE else LOG_MACHINE_EVERY_MS)
        others, self._unlogged = self._unlogged, 0
        if cause == CODE:
            text = f"by: {stack or _NO_STACK}"
        else:
            text = "by nothing that ran on it: the machine or a CPU quota kept the process waiting"
        logger.warning(
            "the event loop was blocked for %.0f ms (%.0f ms of it on the CPU; %d more not told) %s",
            blocked_ms, cpu_ms, others, text,
        )  # fmt: skip

    def _watch(self) -> None:
        """The thread. Reads the detector and the loop thread's stack, writes only what it has seen."""
        detector, hangs = self._detector, False
        while True:
            # Until the beat that is due now would be late; by then it has come, and another one is due.
            wait_ms = max(-detector.overdue(self._clock.now_ms()), 1.0)
            if self._stopped.wait(wait_ms / 1000):
                return
            due_ms, late_ms = detector.due_ms, detector.overdue(self._clock.now_ms())
            if late_ms <= 0:
                hangs = False
            elif detector.needs_look():
                detector.seen(due_ms, self._look())
            elif late_ms > HANGS_MS and not hangs:
                hangs = True
                logger.error(
                    "the event loop has been blocked for %.0f s, by: %s", late_ms / 1000, self._look()
                )
            elif self._stopped.wait(_LOOK_AGAIN_S):
                return

    def _look(self) -> str:
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001  # the documented way to do it
        return "" if _is_in(StallWatch._beat.__code__, frame) else describe(frame)


def _is_in(code: CodeType, frame: FrameType | None) -> bool:
    """The heartbeat itself, which comes when a block is over: it has not blocked anything."""
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def cause_of(stack: str, cpu_ms: float, blocked_ms: float) -> str:
    """Whose a block was. A stack is of something that waits or works; without one, work has used the CPU."""
    return CODE if stack or cpu_ms > blocked_ms / 2 else MACHINE


def _thread_cpu_ms() -> float:
    """CPU time of this thread so far."""
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return (used.ru_utime + used.ru_stime) * 1000


def describe(frame: FrameType | None) -> str:
    """Innermost frame first, as `function (file:line)`; empty if there is only the loop's own machinery.

    Reads no source file: a blocked process may be one whose disk hangs.
    """
    found: list[str] = []
    waiting = frame is not None and frame.f_code.co_filename.endswith(_MACHINERY)
    while frame is not None and len(found) < MAX_FRAMES:
        code = frame.f_code
        found.append(f"{code.co_qualname} ({_short(code.co_filename)}:{frame.f_lineno})")
        frame = frame.f_back
    return "" if waiting else " < ".join(found)


_MACHINERY = ("/selectors.py", "/asyncio/runners.py", "/asyncio/base_events.py", "/uvloop/__init__.py")
"""Where an idle loop's innermost Python frame is: it waits for events. uvloop itself has no Python frames."""


def _short(path: str) -> str:
    return "/".join(path.rsplit("/", 3)[-3:])
