"""What a scenario file may say. Durations in seconds where they are a test's own, else in milliseconds."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from loadtest.scenarios.criteria import DEFAULTS, KNOWN
from loadtest.simulators.profile import preset

RELAY, WEBRTC = "twilio-relay", "webrtc"
Via = Literal[
    "twilio-media",
    "twilio-relay",
    "telnyx-media",
    "telnyx-media/PCMU",
    "telnyx-media/PCMA",
    "telnyx-media/L16",
    "webrtc",
    "webrtc/opus",
    "webrtc/PCMU",
    "webrtc/PCMA",
]
Milliseconds = Annotated[float, Field(ge=0, le=600_000)]
Every = Annotated[int, Field(ge=0, le=1_000)]
Calls = Annotated[int, Field(ge=1, le=100_000)]
Seconds = Annotated[float, Field(gt=0, le=864_000)]


class Model(BaseModel):
    """Base of all sections: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Profile(StrEnum):
    """Where the server's speech and model services are."""

    STUBS = "stubs"
    """In a process of their own, over sockets, as fast as can be: the server alone is measured."""
    INPROCESS = "inprocess"
    """The same stubs inside the server."""
    VENDORS = "vendors"
    """Simulators of Deepgram, OpenAI and Cartesia at their published speeds, in their own protocols."""
    FAST_VENDORS = "fast-vendors"
    """The same with the quickest hosted model behind OpenAI's protocol: what somebody would choose who wants
    answers within 840 ms (`loadtest.scenarios.services.FAST_DELAYS`)."""


class Callers(Model):
    """How callers behave: see `loadtest.bulk.script.Script`, which these fields become."""

    via: Annotated[list[Via], Field(min_length=1)] = ["twilio-media"]
    """Calls take turns over these. Relay and WebRTC calls do not mix with others."""
    think_ms: Annotated[list[Milliseconds], Field(min_length=2, max_length=2)] = [500.0, 1500.0]
    barge_every: Every = 3
    barge_after_ms: Milliseconds = 1500.0
    cough_every: Every = 0
    keys_every: Every = 0
    keys: Annotated[str, Field(pattern=r"^[0-9*#]{1,16}$")] = "1#"
    hang_up_after: Every = 0
    hang_up_after_ms: Annotated[float, Field(ge=0, le=86_400_000)] = 0.0
    answer_within_ms: Milliseconds = 5000.0
    turn_ms: Annotated[float, Field(ge=100, le=600_000)] = 10_000.0
    """Of relay callers: from one question to the next."""
    redial_ms: Annotated[float, Field(ge=50, le=60_000)] | None = None
    """Callers whose call was lost, cut or refused call again after this; where one hangs up by script, the
    next is on before."""

    @property
    def relay(self) -> bool:
        """True for callers over ConversationRelay."""
        return RELAY in self.via

    @property
    def webrtc(self) -> bool:
        """True for callers in browsers."""
        return any(via.partition("/")[0] == WEBRTC for via in self.via)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        for alone, there in ((RELAY, self.relay), (WEBRTC, self.webrtc)):
            if there and len(set(self.via)) > 1:
                raise ValueError(f"via: {alone} cannot be mixed with other calls in one scenario")
        if self.relay and self.cough_every:
            raise ValueError("cough_every: over ConversationRelay the platform hears coughs, not we")
        if len({via.partition("/")[2] or "PCMU" for via in self.via if via.startswith("telnyx")}) > 1:
            raise ValueError("via: a server sends one Telnyx codec (PARLEY_TELNYX_CODEC); name one of them")
        if self.think_ms[0] > self.think_ms[1]:
            raise ValueError("think_ms: the shorter time first")
        return self


class Step(Model):
    """One load: calls are opened or ended until there are so many, then measured for some time."""

    calls: Calls
    seconds: Seconds
    """Measured time; multiplied by `--scale`."""
    open_per_s: Annotated[float, Field(gt=0, le=2_000)] = 50.0
    settle_s: Annotated[float, Field(ge=0, le=600)] = 3.0
    """After the last call was opened, until measuring begins."""
    measure_opening: bool = False
    """Measure from the first call on: a spike is about what happens meanwhile."""


class Search(Model):
    """Find the most calls at which p95 stays within `slip_percent` of one call's: doubling, then halving."""

    first: Calls = 25
    at_most: Calls = 800
    seconds: Seconds = 20.0
    open_per_s: Annotated[float, Field(gt=0, le=2_000)] = 50.0
    settle_s: Annotated[float, Field(ge=0, le=600)] = 3.0
    slip_percent: Annotated[float, Field(gt=0, le=1_000)] = 20.0
    resolution_percent: Annotated[float, Field(ge=1, le=50)] = 5.0
    """Of the found number of calls: the search ends when it is known so well."""


class Action(StrEnum):
    """What can be done to a server and its services while callers talk."""

    KILL_PROVIDERS = "kill_providers"
    STALL_PROVIDERS = "stall_providers"
    """They stop in the middle of everything, sockets open."""
    RESTORE_PROVIDERS = "restore_providers"
    CUT_SOCKETS = "cut_sockets"
    RESTART_SERVER = "restart_server"
    KILL_SERVER = "kill_server"
    """SIGKILL, then a new one on the same ports."""


_OF_PROVIDERS = (Action.KILL_PROVIDERS, Action.STALL_PROVIDERS, Action.RESTORE_PROVIDERS)


class Event(Model):
    """Something goes wrong, or right again."""

    at_s: Annotated[float, Field(ge=0, le=864_000)]
    """From the beginning of measuring; multiplied by `--scale`."""
    do: Action
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Of the calls, for `cut_sockets`."""


class Providers(Model):
    """The services that the server under test is given. Nothing of it applies with `--target`."""

    profile: Profile = Profile.STUBS
    spare: bool = False
    """A second set of the same, next in the chains: what the server can turn to when the first fails."""
    delays: list[Annotated[str, Field(pattern=r"^[a-z-]+\.[a-z_]+=[a-z0-9._-]+$")]] = []
    """Other speeds of the simulated vendors: `openai.first_token=groq.gpt-oss-120b.first_token`, as for
    `parley simulate --delay`."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for each in self.delays:
            try:
                preset(each.partition("=")[2])
            except ValueError as error:
                raise ValueError(f"delays: {error}") from None
        return self


class Scenario(Model):
    """A load test."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    summary: Annotated[str, Field(min_length=1, max_length=200)]
    callers: Callers = Callers()
    providers: Providers = Providers()
    refuses: bool = False
    """The server refuses calls when it is busy, as it does by default. Without it latency is seen to slip."""
    steps: list[Step] = []
    search: Search | None = None
    events: list[Event] = []
    settles_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    """Growth is looked at from then on, at the earliest: windows of time that the server keeps are full then.
    Real time: it does not shrink with the run's scale."""
    criteria: dict[str, Annotated[float, Field(ge=0)] | None] = {}
    """By the names of `criteria.KNOWN`; null switches a default off."""

    @property
    def limits(self) -> dict[str, float]:
        """The criteria that apply, with the defaults."""
        merged = {**DEFAULTS, **self.criteria}
        return {name: limit for name, limit in merged.items() if limit is not None}

    @property
    def needs_own_server(self) -> bool:
        """True where something is done to the server or its services, which only their parent can."""
        return any(event.do is not Action.CUT_SOCKETS for event in self.events)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.steps) == (self.search is not None):
            raise ValueError("steps: give either steps or search")
        unknown = sorted(set(self.criteria) - set(KNOWN))
        if unknown:
            raise ValueError(f"criteria: {unknown[0]} is not known; allowed: {', '.join(sorted(KNOWN))}")
        if self.search is not None and self.events:
            raise ValueError("events: a search for the capacity has none")
        if any(later.at_s < event.at_s for event, later in zip(self.events, self.events[1:], strict=False)):
            raise ValueError("events: put them in the order of at_s")
        seconds = sum(step.seconds for step in self.steps)
        if self.events and self.events[-1].at_s >= seconds:
            raise ValueError(
                f"events: at_s {self.events[-1].at_s:g} is behind the end of the steps, {seconds:g} s"
            )
        if self.providers.profile is Profile.INPROCESS and any(
            event.do in _OF_PROVIDERS for event in self.events
        ):
            raise ValueError("events: providers that are inside the server can be neither killed nor stalled")
        return self
