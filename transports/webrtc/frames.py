"""Speech as Opus frames: encoded once, sent again without encoding.

Greetings and cached replies are the same samples each time. An encoder that starts anew at each talk spurt
gives the same packets for them, so the packets can be kept: under the running digest of all samples since the
spurt began, which is all that an encoder's state depends on. Nobody has to know what will be said again.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from transports.webrtc.opus import OpusEncoder

MAX_FRAMES = 30_000
"""Ten minutes of speech: about 7 MB."""
_WARM_UP_FRAMES = 3
"""Frames encoded for nothing when the store runs out in the middle of a spurt: an encoder that starts there
needs about 60 ms until its predictors have settled."""


class FrameStore:
    """Packets of this process, by digest. Oldest out."""

    def __init__(self, limit: int = MAX_FRAMES) -> None:
        self._frames: OrderedDict[bytes, bytes] = OrderedDict()
        self._limit = limit

    def get(self, key: bytes) -> bytes | None:
        """The packet, if it is kept."""
        packet = self._frames.get(key)
        if packet is not None:
            self._frames.move_to_end(key)
        return packet

    def put(self, key: bytes, packet: bytes) -> None:
        """Keep a packet."""
        self._frames[key] = packet
        if len(self._frames) > self._limit:
            self._frames.popitem(last=False)

    def __len__(self) -> int:
        return len(self._frames)


class StoredSpeech:
    """One call's encoder, in front of it the store. PCM16 in, packets out."""

    def __init__(self, make: Callable[[], OpusEncoder], settings: str, store: FrameStore) -> None:
        """`make` is called when something has to be encoded for the first time; `settings` names what else
        the packets depend on: rate, bit rate, complexity."""
        self._make = make
        self._encoder: OpusEncoder | None = None
        self._settings = settings.encode()
        self._store = store
        self._loss = 0
        self._key = b""
        self._missed: list[bytes] = []
        self._running = False
        self.encoded = 0
        """Frames that had to be encoded."""
        self.stored = 0
        """Frames that came from the store."""
        self.begin()

    def begin(self) -> None:
        """A talk spurt begins: after silence, packets depend on nothing before it."""
        self._key = blake2b(b"%s %d" % (self._settings, self._loss), digest_size=16).digest()
        self._missed.clear()
        self._running = False

    def expect_loss(self, percent: int) -> None:
        """Loss on the way, for in-band FEC. Counts from the next spurt on: packets depend on it too."""
        self._loss = percent

    def encode(self, pcm: bytes) -> bytes:
        """The packet for the next 20 ms of the spurt."""
        self._key = key = blake2b(pcm, key=self._key, digest_size=16).digest()
        packet = self._store.get(key)
        if packet is not None:
            self.stored += 1
            self._running = False
            self._missed.append(pcm)
            if len(self._missed) > _WARM_UP_FRAMES:
                del self._missed[0]
            return packet
        packet = self._started().encode(pcm)
        self.encoded += 1
        self._store.put(key, packet)
        return packet

    def _started(self) -> OpusEncoder:
        encoder = self._encoder
        if encoder is None:
            encoder = self._encoder = self._make()
        if not self._running:
            encoder.reset()
            encoder.expect_loss(self._loss)
            for pcm in self._missed:
                encoder.encode(pcm)
            self._missed.clear()
            self._running = True
        return encoder
