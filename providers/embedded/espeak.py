"""espeak-ng through its C interface: a synthesiser on a thread of its own.

The library is global state and not re-entrant, so all requests of a process take turns. It speaks some
hundred times faster than real time, so turns are short, and lets go of the interpreter meanwhile.
"""

import ctypes
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import espeakng_loader

# speak_lib.h of espeak-ng 1.52
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_EVENT_END = 0
_EVENT_WORD = 1
_RATE_PARAMETER = 1
_VOLUME_PARAMETER = 2
_POS_CHARACTER = 1

BUFFER_MS = 40
"""Audio per callback: two frames, so that the first sound leaves early and callbacks stay few."""
MAX_JOBS = 256
"""Requests that may wait. At some 6 ms each the last one waits 1.5 s: more is refused."""
VOLUME = 75
"""Of 100, at which Mandarin and Turkish reach full scale: now peaks stay below -1 dBFS, and speech is at some
-21 dBFS, measured over ten languages."""
_CLOSE_S = 2.0

# The library has one voice and one callback per process, however many synthesisers there are.
_IN_USE = threading.Lock()


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


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(slots=True)
class Job:
    """One text to speak. `audio(pcm, words)` is called on the synthesiser's thread, words as
    (character index, ms); `ended(error)` once at the end, unless it was cancelled before its turn. Setting
    `cancelled` stops it."""

    text: str
    voice: str
    words_per_minute: int
    audio: Callable[[bytes, list[tuple[int, float]]], None]
    ended: Callable[[Exception | None], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


class EspeakError(Exception):
    """The library refused: unknown voice, it could not be set up, too many requests, or it is closed."""


class Espeak:
    """The synthesiser's thread. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(MAX_JOBS)
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._problem: Exception | None = None
        self._job: Job | None = None
        self._raised: Exception | None = None
        self.rate_hz = 22_050
        """Of the audio, mono PCM16; certain once `wait_ready` has returned."""
        self._thread = threading.Thread(target=self._run, name="espeak", daemon=True)
        self._thread.start()

    def wait_ready(self, timeout_s: float) -> None:
        """Block until the library is set up. Raises `EspeakError`."""
        if not self._ready.wait(timeout_s):
            raise EspeakError("espeak-ng did not start in time")
        if self._problem is not None:
            raise EspeakError(str(self._problem))

    def speak(self, job: Job) -> None:
        """Queue a job. Raises `EspeakError` when too many wait, or after `close`."""
        if self._closing.is_set():
            raise EspeakError("espeak-ng is closed")
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise EspeakError(f"{MAX_JOBS} requests wait already") from None

    def close(self) -> None:
        """Stop the thread; waiting and running jobs end with an error. Blocks for at most 2 s. Idempotent."""
        self._closing.set()
        try:
            self._jobs.put_nowait(None)
        except queue.Full:
            # Then it is awake anyway, and sees that it has to close.
            pass
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        try:
            with _IN_USE:
                self._set_up()
        except (OSError, AttributeError, EspeakError) as raised:
            self._problem = raised
        self._ready.set()
        while not self._closing.is_set():
            job = self._jobs.get()
            if job is not None and not job.cancelled.is_set():
                self._serve(job)
        while not self._jobs.empty():
            job = self._jobs.get_nowait()
            if job is not None and not job.cancelled.is_set():
                job.ended(EspeakError("espeak-ng is closed"))

    def _serve(self, job: Job) -> None:
        error = self._problem
        if error is None:
            try:
                with _IN_USE:
                    self._synthesise(job)
            except Exception as problem:  # noqa: BLE001  # told to the job: the thread serves all calls
                error = problem
        if error is None and self._closing.is_set():
            error = EspeakError("espeak-ng is closed")
        job.ended(error)

    def _set_up(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data, 0)
        if rate <= 0:
            raise EspeakError("espeak-ng could not be initialised")
        self.rate_hz = int(rate)
        # Kept referenced for as long as the library may call it.
        self._callback = _Callback(self._heard)

    def _synthesise(self, job: Job) -> None:
        library = self._library
        library.espeak_SetSynthCallback(self._callback)
        # 0.05 ms: cheaper than knowing which voice another synthesiser left behind.
        if library.espeak_SetVoiceByName(job.voice.encode()) != 0:
            raise EspeakError(f"espeak-ng has no voice {job.voice!r}")
        library.espeak_SetParameter(_RATE_PARAMETER, job.words_per_minute, 0)
        library.espeak_SetParameter(_VOLUME_PARAMETER, VOLUME, 0)
        text = job.text.encode() + b"\0"
        self._job, self._raised = job, None
        result = library.espeak_Synth(text, len(text), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
        self._job = None
        if self._raised is not None:
            raise self._raised
        if result != 0:
            raise EspeakError(f"espeak-ng could not speak (error {result})")

    def _heard(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        """The library's callback. Non-zero stops the synthesis."""
        job = self._job
        if job is None or job.cancelled.is_set() or self._closing.is_set() or self._raised is not None:
            return 1
        words: list[tuple[int, float]] = []
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_WORD:
                # Positions count from 1, in characters.
                words.append((events[index].text_position - 1, float(events[index].audio_position)))
            index += 1
        pcm = ctypes.string_at(samples, count * 2) if samples and count > 0 else b""
        try:
            if pcm or words:
                job.audio(pcm, words)
        except Exception as error:  # noqa: BLE001  # nothing may be raised through C: told to the job when it ends
            self._raised = error
            return 1
        return 0
