"""Opus, by libopus itself: PyAV's codec contexts give no FEC and no concealment, and cost an object a frame.

The library is the one in PyAV's wheel (aiortc brings it along), else the system's. Measured on one core of a
2-core AMD EPYC, libopus 1.6.1, a 20 ms frame of speech at 32 kbit/s with FEC: decode to 16 kHz 19 us; encode
from 24 kHz 135 us at complexity 3, 161 at 5, 198 at 10.
"""

import ctypes
import ctypes.util
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from agent.errors import ConfigError, WireError

MAX_PACKET_MS = 120
"""Longest Opus packet (RFC 6716, 3.2.5)."""
MAX_PACKET_BYTES = 1275
"""Longest Opus frame (RFC 6716, 3.2.1): what an encoder may return for 20 ms."""
SILENCE = b"\xf8\xff\xfe"
"""20 ms of silence, mono, full band: the frame that encoders send to end a talk spurt (RFC 7587, 3.1.3)."""
DTX_BYTES = 2
"""A packet of at most this length says that nothing follows for a while (opus_encode, libopus manual)."""

# opus_defines.h: requests are stable ABI.
_APPLICATION_VOIP = 2048
_SET_BITRATE = 4002
_SET_COMPLEXITY = 4010
_SET_INBAND_FEC = 4012
_SET_PACKET_LOSS_PERC = 4014
_SET_DTX = 4016
_SET_SIGNAL = 4024
_RESET_STATE = 4028
_SIGNAL_VOICE = 3001


class OpusDecoder:
    """Packets of one stream to PCM16 mono at `rate_hz` (8, 12, 16, 24 or 48 kHz: no resampler is needed)."""

    def __init__(self, rate_hz: int) -> None:
        lib = _library()
        self.rate_hz = rate_hz
        self._decode = lib.opus_decode
        self._state = ctypes.create_string_buffer(lib.opus_decoder_get_size(1))
        _check(lib.opus_decoder_init(self._state, rate_hz, 1))
        self._limit = rate_hz * MAX_PACKET_MS // 1000
        self._pcm = ctypes.create_string_buffer(2 * self._limit)
        self._view = memoryview(self._pcm)

    def decode(self, packet: bytes) -> bytes:
        """One packet. Raises `WireError` where it is no Opus; the decoder may be used on."""
        size = len(packet)
        samples = self._decode(self._state, packet, size, self._pcm, self._limit, 0) if size else -1
        if samples < 0:
            raise WireError("opus", f"a packet of {len(packet)} bytes cannot be decoded ({samples})")
        return bytes(self._view[: 2 * samples])

    def conceal(self, duration_ms: int, following: bytes | None = None) -> bytes:
        """Sound in place of a lost packet of `duration_ms` (a multiple of 2.5).

        `following` is the packet right after it, if that has come: it may hold a copy (in-band FEC), and if
        it does not, libopus makes up a continuation that fades out, or comfort noise after DTX.
        """
        samples = self.rate_hz * duration_ms // 1000
        if following:
            got = self._decode(self._state, following, len(following), self._pcm, samples, 1)
        else:
            got = self._decode(self._state, None, 0, self._pcm, samples, 0)
        return bytes(self._view[: 2 * got]) if got > 0 else bytes(2 * samples)


class OpusEncoder:
    """PCM16 mono at `rate_hz` to packets of 20 ms."""

    def __init__(self, rate_hz: int, bitrate: int, complexity: int) -> None:
        """`bitrate` in bit/s; `complexity` 0 to 10."""
        lib = _library()
        self._encode = lib.opus_encode
        self._ctl = lib.opus_encoder_ctl
        self._state = ctypes.create_string_buffer(lib.opus_encoder_get_size(1))
        _check(lib.opus_encoder_init(self._state, rate_hz, 1, _APPLICATION_VOIP))
        self._samples = rate_hz // 50
        self._packet = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        self._view = memoryview(self._packet)
        for request, value in (
            (_SET_BITRATE, bitrate),
            (_SET_COMPLEXITY, complexity),
            (_SET_SIGNAL, _SIGNAL_VOICE),
            (_SET_INBAND_FEC, 1),
            (_SET_DTX, 1),
        ):
            _check(self._ctl(self._state, request, ctypes.c_int(value)))

    def encode(self, pcm: bytes) -> bytes:
        """20 ms of PCM16. A packet of at most `DTX_BYTES` need not be sent."""
        if len(pcm) != 2 * self._samples:
            raise ValueError(f"a frame is {2 * self._samples} bytes, not {len(pcm)}")
        size = self._encode(self._state, pcm, self._samples, self._packet, MAX_PACKET_BYTES)
        _check(size)
        return bytes(self._view[:size])

    def expect_loss(self, percent: int) -> None:
        """How much of what is sent gets lost: in-band FEC is added accordingly."""
        _check(self._ctl(self._state, _SET_PACKET_LOSS_PERC, ctypes.c_int(percent)))

    def reset(self) -> None:
        """As if nothing had been encoded; the settings stay."""
        _check(self._ctl(self._state, _RESET_STATE))


def _check(result: int) -> None:
    if result < 0:
        raise ValueError(f"libopus: {_library().opus_strerror(result).decode()}")


@cache
def _library() -> ctypes.PyDLL:
    path = _bundled() or ctypes.util.find_library("opus")
    if path is None:
        raise ConfigError("libopus was not found: install PyAV's wheel (pip install av) or libopus0")
    # PyDLL keeps the interpreter lock: a call takes 20 to 200 us, while getting the lock back from a busy
    # worker thread can take a whole switch interval (5 ms), for every frame of every call.
    lib = ctypes.PyDLL(path)
    pointer, integer, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    lib.opus_strerror.restype = text
    lib.opus_decoder_init.argtypes = [pointer, ctypes.c_int32, integer]
    lib.opus_decode.argtypes = [pointer, text, ctypes.c_int32, pointer, integer, integer]
    lib.opus_encoder_init.argtypes = [pointer, ctypes.c_int32, integer, integer]
    lib.opus_encode.argtypes = [pointer, text, integer, pointer, ctypes.c_int32]
    lib.opus_encoder_ctl.argtypes = [pointer, integer]
    return lib


def _bundled() -> str | None:
    """libopus as PyAV's wheels carry it: `av.libs` on Linux and Windows, `av/.dylibs` on macOS."""
    spec = find_spec("av")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    for folder in (package.with_name("av.libs"), package / ".dylibs"):
        for path in sorted(folder.glob("*opus*")):
            if "opusfile" not in path.name:
                return str(path)
    return None
