"""How long a vendor takes: latency profiles, and presets from the vendors' published figures.

A profile is three percentiles. Between them the delay is log-normal, which is what the published
distributions look like: the body runs through median and p95, and beyond p95 a second, usually steeper
log-normal runs through p99, because every vendor's tail is heavier than its body foretells (Cartesia's
ink-2: 299, 328 and 1,584 ms). The three percentiles are met exactly, by construction.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

# Quantiles of the standard normal distribution.
_Z95 = 1.6448536269514722
_Z99 = 2.3263478740408408

MAX_TAIL = 5.0
"""Longest delay, in p99s. The tail of a log-normal has no end: ink-2's would now and then ask for a minute,
which no client waits for. Well beyond p99, so that no percentile up to p99.9 or so is touched."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Latency percentiles in milliseconds. Raises `ValueError` unless 0 <= median <= p95 <= p99.

    All equal is a fixed delay; all zero is none. A median of zero takes p95 and p99 of zero.
    """

    median_ms: float
    p95_ms: float
    p99_ms: float

    def __post_init__(self) -> None:
        if not 0 <= self.median_ms <= self.p95_ms <= self.p99_ms < math.inf:
            raise ValueError(
                f"expected 0 <= median <= p95 <= p99, got {self.median_ms}, {self.p95_ms}, {self.p99_ms} ms"
            )
        if self.median_ms == 0 and self.p99_ms > 0:
            raise ValueError("a median of 0 ms leaves no room for a tail: all three must be 0")

    @classmethod
    def fixed(cls, delay_ms: float) -> "Profile":
        """Always `delay_ms`."""
        return cls(delay_ms, delay_ms, delay_ms)

    @classmethod
    def log_normal(cls, median_ms: float, p95_ms: float) -> "Profile":
        """The plain log-normal through two percentiles, for vendors of which no more is published."""
        return cls(median_ms, p95_ms, median_ms * (p95_ms / median_ms) ** (_Z99 / _Z95))

    def scaled(self, factor: float) -> "Profile":
        """The same shape, `factor` times as slow. A factor of 0 is no delay at all."""
        return Profile(self.median_ms * factor, self.p95_ms * factor, self.p99_ms * factor)

    def quantile(self, z: float) -> float:
        """The delay in ms at `z` standard deviations: 0 is the median, 1.645 the p95, 2.326 the p99."""
        if self.median_ms == 0:
            return 0.0
        if z <= _Z95:
            return self.median_ms * math.pow(self.p95_ms / self.median_ms, z / _Z95)
        tail = self.p95_ms * math.pow(self.p99_ms / self.p95_ms, (z - _Z95) / (_Z99 - _Z95))
        return min(tail, MAX_TAIL * self.p99_ms)

    def sample(self, rng: random.Random) -> float:
        """One delay in ms."""
        return self.quantile(rng.gauss(0.0, 1.0))


class Timings:
    """A simulator's named delays: profiles that can be changed while it runs.

    The names are fixed by the simulator (`first_token`, `inter_token`). `scale` multiplies all delays, so
    that tests run in a fraction of the vendor's time. Seeded, so that a run can be repeated.
    """

    def __init__(self, profiles: Mapping[str, Profile], *, seed: int = 0, scale: float = 1.0) -> None:
        self._profiles = dict(profiles)
        self._rng = random.Random(seed)
        self.scale = scale

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Profiles by name, before scaling."""
        return MappingProxyType(self._profiles)

    def set(self, name: str, profile: Profile) -> None:
        """Replace a profile; the next delay is drawn from it. Raises `ValueError` for an unknown name."""
        if name not in self._profiles:
            raise ValueError(f"no delay named {name!r}: use one of {', '.join(sorted(self._profiles))}")
        self._profiles[name] = profile

    def draw_ms(self, name: str) -> float:
        """One delay in ms. Raises `KeyError` for a name that this simulator does not have."""
        return self._profiles[name].sample(self._rng) * self.scale


def _median_and_max(median_ms: float, max_ms: float) -> Profile:
    """Where only median and maximum of some hundred turns are published: the maximum is taken as p99."""
    return Profile(median_ms, median_ms * (max_ms / median_ms) ** (_Z95 / _Z99), max_ms)


PRESETS: Mapping[str, Profile] = MappingProxyType(
    {
        # providers/README.md "STT at a glance" and providers/deepgram.md 6: end of speech (Finalize sent) to
        # the final transcript.
        "deepgram.nova-3.final": Profile(247, 298, 326),
        "deepgram.flux.turn_end": Profile.fixed(260),  # deepgram.md 6: "about 260 ms", no percentiles
        "cartesia.ink-2.final": Profile(299, 328, 1584),  # cartesia.md 6
        "openai.gpt-4o-transcribe.final": Profile(637, 965, 1655),  # openai.md 9
        # cartesia.md 6: 90 ms is the model alone, without a percentile. The spread is an assumption.
        "cartesia.sonic-3.5.first_audio": Profile(90, 160, 260),
        "cartesia.connect": Profile.fixed(200),  # cartesia.md 6: "pre-connect saves ~200 ms"
        # deepgram.md 6: 100 to 200 ms by third parties; the middle as median, the top as p95, p99 assumed.
        "deepgram.aura-2.first_audio": Profile(150, 200, 300),
        # elevenlabs.md 8: 150 to 250 ms with network (marked unsure there); p99 assumed.
        "elevenlabs.flash-2.5.first_audio": Profile(200, 250, 400),
        # openai.md 9 and README.md "LLM at a glance": first answer token, median and p95; p99 extrapolated.
        "openai.gpt-4.1.first_token": Profile.log_normal(536, 1771),
        "openai.gpt-4o.first_token": Profile.log_normal(546, 1369),
        "openai.gpt-4o-mini.first_token": Profile.log_normal(553, 1947),
        "openai.gpt-5.6-terra.first_token": Profile.log_normal(621, 1870),
        "google.gemini-2.5-flash.first_token": Profile.log_normal(550, 850),
        "groq.gpt-oss-120b.first_token": Profile.log_normal(98, 217),
        "local.qwen3.8-27b.first_token": Profile.log_normal(101, 318),
        # No sheet gives time between tokens. 80 tokens a second is an assumption, with the dribble of
        # openai.md 12 left to the fault of that name.
        "openai.inter_token": Profile(12, 30, 80),
        "groq.inter_token": Profile(3, 8, 25),
        # openai.md 9: the caller's last word to the agent's first, with server VAD; median and maximum.
        "openai.gpt-realtime-1.5.voice_to_voice": _median_and_max(1152, 2304),
        "openai.gpt-realtime-2.1.voice_to_voice": _median_and_max(1504, 4288),
        "openai.gpt-realtime.voice_to_voice": _median_and_max(1536, 4672),
        "none": Profile.fixed(0),
    }
)
"""Published latencies by `vendor.model.what`. Sheets: `protocols/providers/` (2026-11-20)."""


def preset(name: str) -> Profile:
    """The preset of that name. Raises `ValueError` that lists what there is."""
    found = PRESETS.get(name)
    if found is None:
        raise ValueError(f"no profile named {name!r}: use one of {', '.join(sorted(PRESETS))}")
    return found
