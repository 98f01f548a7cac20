"""espeak-ng through its C interface: one synthesiser per process, on a thread of its own.

The library is global state and not re-entrant, so all requests of a process take turns on one thread. It
speaks some hundred times faster than real time, so turns are short.
"""

import ctypes
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import espeakng_loader

logger = logging.getLogger(__name__)

# speak_lib.h of espeak-ng 1.52
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_EVENT_WORD = 1
_EVENT_END = 0
_RATE_PARAMETER = 1
_POS_CHARACTER = 1

BUFFER_MS = 40
"""Audio per callback: two frames, so that the first sound leaves early and callbacks stay few."""
MAX_JOBS = 256
"""Requests that may wait. At some 5 ms each the last one waits over a second: more is refused."""


class _Event(ctypes.Structure):
    _fields_ = [  # ctypes wants a plain list
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(slots=True)
class Job:
    """One text to speak. `audio(pcm, words)` is called on the synthesiser's thread, words as
    (character index, ms); `ended(error)` once at the end. Setting `cancelled` stops it."""

    text: str
    voice: str
    words_per_minute: int
    audio: Callable[[bytes, list[tuple[int, float]]], None]
    ended: Callable[[Exception | None], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


class EspeakError(Exception):
    """The library refused: unknown voice, or it could not be set up."""


class Espeak:
    """The synthesiser's thread. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(MAX_JOBS)
        self._ready = threading.Event()
        self._problem: Exception | None = None
        self._job: Job | None = None
        self._voice = ""
        self.rate_hz = 22_050
        self._thread = threading.Thread(target=self._run, name="espeak", daemon=True)
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> None:
        """Block until the library is set up. Raises `EspeakError`."""
        if not self._ready.wait(timeout_s):
            raise EspeakError("espeak-ng did not start in time")
        if self._problem is not None:
            raise EspeakError(str(self._problem))

    def speak(self, job: Job) -> None:
        """Queue a job. Raises `EspeakError` when too many wait."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise EspeakError(f"{MAX_JOBS} requests wait already") from None

    def close(self) -> None:
        """Stop the thread; waiting jobs are dropped. Blocks for at most 2 s."""
        job = self._job
        if job is not None:
            job.cancelled.set()
        while True:
            try:
                self._jobs.put_nowait(None)
                break
            except queue.Full:
                self._jobs.get_nowait()
        self._thread.join(2.0)

    def voices(self) -> list[str]:
        """Languages that there are voices for."""
        self.wait_ready(5.0)
        found: list[str] = []
        listed = self._library.espeak_ListVoices(None)
        index = 0
        while listed[index]:
            # Each entry: priority byte, then the language tag.
            found.append(listed[index].contents.languages[1:].decode("ascii", "replace"))
            index += 1
        return sorted(set(found))

    def _run(self) -> None:
        try:
            self._set_up()
        except (OSError, EspeakError) as raised:
            self._problem = raised
        self._ready.set()
        while (job := self._jobs.get()) is not None:
            if job.cancelled.is_set():
                continue
            self._job = job
            error: Exception | None = self._problem
            if error is None:
                try:
                    self._synthesise(job)
                except Exception as problem:  # noqa: BLE001  # told to the job: the thread serves all calls
                    error = problem
            self._job = None
            job.ended(error)

    def _set_up(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        rate = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, espeakng_loader.get_data_path().encode(), 0
        )
        if rate <= 0:
            raise EspeakError("espeak-ng could not be initialised")
        self.rate_hz = int(rate)
        # Kept referenced for as long as the library may call it.
        self._callback = _Callback(self._heard)
        self._library.espeak_SetSynthCallback(self._callback)

    def _synthesise(self, job: Job) -> None:
        if job.voice != self._voice:
            if self._library.espeak_SetVoiceByName(job.voice.encode()) != 0:
                self._voice = ""
                raise EspeakError(f"espeak-ng has no voice {job.voice!r}")
            self._voice = job.voice
        self._library.espeak_SetParameter(_RATE_PARAMETER, job.words_per_minute, 0)
        text = job.text.encode() + b"\0"
        result = self._library.espeak_Synth(text, len(text), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        if result != 0:
            raise EspeakError(f"espeak-ng could not speak (error {result})")

    def _heard(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        job = self._job
        if job is None or job.cancelled.is_set():
            return 1
        words: list[tuple[int, float]] = []
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_WORD:
                # Positions count from 1, in characters.
                words.append((events[index].text_position - 1, float(events[index].audio_position)))
            index += 1
        pcm = ctypes.string_at(samples, count * 2) if samples and count > 0 else b""
        if pcm or words:
            job.audio(pcm, words)
        return 0
