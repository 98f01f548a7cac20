"""When the parts of a turn happened, and how long each took.

All marks are monotonic milliseconds of one clock. `last_voiced_ms` is audio time: the moment at which the
last voiced sample of the caller reached this machine's network border, worked out from the platform's
stream timestamps (`AudioClock`), not the moment at which we got round to reading it. A server that lags
therefore shows up in its own figures.
"""

from dataclasses import dataclass, fields
from enum import StrEnum


class Stage(StrEnum):
    """Names of the figures, as metrics and the latency table show them. All milliseconds.

    `agent.metrics.names` has each one's code (L1 to L9, B1 to B4), definition and target.
    """

    # The caller's wait, from mouth to ear. What only the caller's device can know is absent unless it tells.
    CAPTURE = "capture"
    CLIENT_PROCESSING = "client_processing"
    UPLINK = "uplink"
    ENDPOINTING = "endpointing"
    """Last voiced sample in, to the decision that the turn is over: a wait we choose."""
    STT_FINAL = "stt_final"
    """The decision, to the final transcript."""
    LLM_FIRST_TOKEN = "llm_first_token"  # noqa: S105
    """The model asked, to its first token."""
    LLM_FIRST_SENTENCE = "llm_first_sentence"
    """The model asked, to the end of its first sentence: what speech has to wait for."""
    TTS_FIRST_AUDIO = "tts_first_audio"
    """The first sentence asked of speech synthesis, to its first audio."""
    DOWNLINK = "downlink"
    RENDERING = "rendering"
    OUTPUT = "output"

    RESPONSE = "response"
    """Last voiced sample in, to first audible sample of the reply handed to the socket."""
    ADDED = "added"
    """Response minus endpointing, STT, first sentence and first audio: the server's own share."""
    END_TO_END = "end_to_end"
    """Response and whatever is known of the way to and from it."""
    OUR_PART = "our_part"
    PROVIDER_PART = "provider_part"
    CARRIER_PART = "carrier_part"
    CLIENT_PART = "client_part"

    BARGE_IN = "barge_in"
    """First voiced sample of an interruption, to the agent's audio stopped (`clear` written)."""
    INTERRUPTION_DETECTION = "interruption_detection"
    PLAYBACK_STOP = "playback_stop"
    SERVER_CANCEL = "server_cancel"
    BUFFER_FLUSH = "buffer_flush"

    ARRIVAL_JITTER = "arrival_jitter"
    """Interarrival jitter of the caller's audio when the turn ended (RFC 3550, section 6.4.1)."""


PROVIDER_WAITS = (Stage.STT_FINAL, Stage.LLM_FIRST_SENTENCE, Stage.TTS_FIRST_AUDIO)
"""What a reply waits for one after the other; the first token is part of the first sentence."""


@dataclass(slots=True)
class TurnMarks:
    """Moments of one turn, None until they come. Filled in by the call and its reply."""

    last_voiced_ms: float | None = None
    endpoint_ms: float | None = None
    transcript_ms: float | None = None
    llm_asked_ms: float | None = None
    llm_first_token_ms: float | None = None
    llm_first_sentence_ms: float | None = None
    tts_asked_ms: float | None = None
    tts_first_audio_ms: float | None = None
    first_audio_out_ms: float | None = None
    filler_ms: float | None = None
    """When a filler was said, since the answer was late: what sounds first is then not the answer."""
    jitter_ms: float | None = None
    """Of the caller's audio (`AudioClock.jitter_ms`) at the end of the turn."""

    def stages(self) -> dict[Stage, float]:
        """The stages that can be told from the marks there are. Nothing is guessed.

        A text line has no endpointing, STT or TTS of ours: `response` then runs from the prompt's arrival
        to the first text handed to the socket, and the model's first token is what it waits for.
        """
        found: dict[Stage, float] = {}
        begin = self._begin_ms()
        _span(found, Stage.ENDPOINTING, self.last_voiced_ms, self.endpoint_ms)
        if self.last_voiced_ms is not None:
            _span(found, Stage.STT_FINAL, self.endpoint_ms, self.transcript_ms)
        _span(found, Stage.LLM_FIRST_TOKEN, self.llm_asked_ms, self.llm_first_token_ms)
        _span(found, Stage.LLM_FIRST_SENTENCE, self.llm_asked_ms, self.llm_first_sentence_ms)
        _span(found, Stage.TTS_FIRST_AUDIO, self.tts_asked_ms, self.tts_first_audio_ms)
        _span(found, Stage.RESPONSE, begin, self.first_audio_out_ms)
        if Stage.RESPONSE in found:
            waits_ms = found.get(Stage.ENDPOINTING, 0.0) + self._provider_waits_ms(found)
            found[Stage.ADDED] = max(found[Stage.RESPONSE] - waits_ms, 0.0)
        if self.jitter_ms is not None:
            found[Stage.ARRIVAL_JITTER] = self.jitter_ms
        return found

    def _begin_ms(self) -> float | None:
        """The end of what the caller said; what he wrote came whole."""
        if self.last_voiced_ms is not None:
            return self.last_voiced_ms
        return self.endpoint_ms if self.endpoint_ms is not None else self.transcript_ms

    def _provider_waits_ms(self, found: dict[Stage, float]) -> float:
        """What the first sound waited for. All that was waited for before a filler was a provider's work."""
        if self.filler_ms is None:
            waits_ms = sum(found.get(stage, 0.0) for stage in PROVIDER_WAITS)
            # Text goes out token by token.
            by_token = Stage.LLM_FIRST_SENTENCE not in found
            return waits_ms + (found.get(Stage.LLM_FIRST_TOKEN, 0.0) if by_token else 0.0)
        begin_ms = self.endpoint_ms if self.endpoint_ms is not None else self.transcript_ms
        until_filler_ms = self.filler_ms - begin_ms if begin_ms is not None else 0.0
        return until_filler_ms + found.get(Stage.TTS_FIRST_AUDIO, 0.0)


def _span(found: dict[Stage, float], stage: Stage, begin: float | None, end: float | None) -> None:
    if begin is not None and end is not None:
        found[stage] = end - begin


_JITTER_GAIN = 1 / 16
"""RFC 3550, 6.4.1: a good ratio of noise reduction to speed of convergence."""


class AudioClock:
    """Maps a platform's stream time to ours.

    The network only ever delays, so the smallest difference between arrival and stream time seen so far is
    the closest to the truth (as NTP and RTP receivers do it); it is let up slowly, since two clocks drift
    apart (100 ppm at worst for cheap oscillators).

    A stream time that goes back by more than packets overtake each other is a stream that began anew.
    """

    __slots__ = ("_offset_ms", "_seen_ms", "_stream_ms", "jitter_ms")

    DRIFT_PER_MS = 1e-4
    RESTART_MS = 500.0
    """Far more than reordering buffers let through, far less than what a call had lasted."""

    def __init__(self) -> None:
        self._offset_ms: float | None = None
        self._seen_ms = 0.0
        self._stream_ms = 0.0
        self.jitter_ms = 0.0
        """How unevenly the audio arrives, smoothed as RFC 3550 (6.4.1, A.8) says."""

    def arrived(self, stream_ms: float, now_ms: float) -> float:
        """Audio of stream time `stream_ms` was read at `now_ms`: when it reached this machine."""
        offset_ms = now_ms - stream_ms
        known_ms, seen_ms, seen_stream_ms = self._offset_ms, self._seen_ms, self._stream_ms
        if known_ms is None or stream_ms < seen_stream_ms - self.RESTART_MS:
            self._offset_ms = offset_ms
        else:
            known_ms += (now_ms - seen_ms) * self.DRIFT_PER_MS
            # `min` would cost more than all the rest of this.
            self._offset_ms = known_ms if known_ms < offset_ms else offset_ms  # noqa: FURB136
            # The change of transit time is what the interval between two arrivals is off by.
            change_ms = offset_ms - seen_ms + seen_stream_ms
            jitter_ms = self.jitter_ms
            self.jitter_ms = jitter_ms + (abs(change_ms) - jitter_ms) * _JITTER_GAIN
        self._seen_ms = now_ms
        self._stream_ms = stream_ms
        return stream_ms + self._offset_ms


@dataclass(slots=True)
class CallCounters:
    """What happened in one call. Plain integers, bumped where it happens; read by whoever asks."""

    frames_in: int = 0
    frames_late: int = 0
    """Caller frames read more than 40 ms after they reached this machine."""
    frames_out: int = 0
    """20 ms frames of the agent handed to the line."""
    stale_chunks: int = 0
    """Audio of a cancelled reply dropped before the socket."""
    underruns: int = 0
    """The far buffer ran dry in the middle of a reply."""
    turns: int = 0
    barge_ins: int = 0
    """The agent was stopped because the caller spoke."""
    false_interruptions: int = 0
    """... and it was no words."""
    resumes: int = 0
    """... and the reply went on."""
    echoes: int = 0
    """The agent's own voice coming back, ignored."""
    reprompts: int = 0
    unanswered: int = 0
    """Turns without a sound of reply."""
    provider_failures: int = 0
    """Providers that failed; the chain went on with the next one."""
    apologies: int = 0
    """Turns answered by the apology, since no provider could."""
    bad_messages: int = 0
    sends_dropped: int = 0
    """Messages that the platform did not read in time."""
    ceilings: int = 0
    """A state that lasted too long and was ended."""
    reconnects: int = 0
    """A lost socket was replaced and the call went on."""
    finalizes_used: int = 0
    """Pauses in which recognition was asked for its last word, and that became the end of the turn."""
    finalizes_wasted: int = 0
    """... and in which the caller went on, or the answer did not come."""
    gap_ms: float = 0.0
    """Silence that underruns put into the agent's speech."""

    def count_early_finalize(self, *, used: bool) -> None:
        """What was asked for in a pause was the turn's last word, or was not."""
        if used:
            self.finalizes_used += 1
        else:
            self.finalizes_wasted += 1

    def add(self, other: "CallCounters") -> None:
        """Sum `other` into this one: totals of ended calls."""
        for counter in fields(self):
            setattr(self, counter.name, getattr(self, counter.name) + getattr(other, counter.name))
