"""Every name there is: stages, metrics and what is worked out of them. The one place where they are defined.

The server exports by it, the load tester and the dashboards read it, `docs/metrics.md` is checked against it,
and so are the alert rules and the Grafana dashboard. Prometheus metrics are in base units (seconds, bytes);
`/latency` and records are in milliseconds, which people read more easily.
"""

from dataclasses import dataclass
from enum import StrEnum

from agent.latency import Stage


class Party(StrEnum):
    """Who a stage's time belongs to."""

    OURS = "ours"
    PROVIDER = "provider"
    CARRIER = "carrier"
    CLIENT = "client"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class StageName:
    """One stage of a turn or of a barge-in."""

    stage: Stage
    code: str
    """L1 to L9, B1 to B4, or empty."""
    party: Party
    text: str
    target_ms: float | None = None
    """What p95 should stay under; None: shown, not judged."""


STAGES = (
    StageName(Stage.CAPTURE, "L1", Party.CLIENT, "Microphone to the client's software, told by it", 30),
    StageName(
        Stage.CLIENT_PROCESSING, "L2", Party.CLIENT, "Echo cancelling and encoding, told by the client", 20
    ),
    StageName(Stage.UPLINK, "L3", Party.CARRIER, "Client to this machine: half of the round trip", 75),
    StageName(
        Stage.ENDPOINTING, "", Party.OURS, "Last voiced sample in, to the decision that the turn is over", 800
    ),
    StageName(Stage.STT_FINAL, "L4", Party.PROVIDER, "That decision, to the final transcript", 200),
    StageName(Stage.LLM_FIRST_TOKEN, "L5", Party.PROVIDER, "The model asked, to its first token", 400),
    StageName(
        Stage.LLM_FIRST_SENTENCE,
        "",
        Party.PROVIDER,
        "The model asked, to the end of its first sentence; L5 is the beginning of it",
        600,
    ),
    StageName(
        Stage.TTS_FIRST_AUDIO,
        "L6",
        Party.PROVIDER,
        "The first sentence asked of speech synthesis, to its first audio",
        200,
    ),
    StageName(
        Stage.ADDED,
        "",
        Party.OURS,
        "Response less endpointing, L4, first sentence (text lines: L5) and L6",
        20,
    ),
    StageName(Stage.DOWNLINK, "L7", Party.CARRIER, "This machine to the client: half of the round trip", 75),
    StageName(Stage.RENDERING, "L8", Party.CLIENT, "Jitter buffer and decoding, told by the client", 80),
    StageName(Stage.OUTPUT, "L9", Party.CLIENT, "Audio device to loudspeaker, told by the client", 30),
    StageName(
        Stage.RESPONSE,
        "",
        Party.ALL,
        "Turn gap: last voiced sample in, to first audible sample handed to the socket; on text lines from "
        "the prompt to the first text. People leave 200 to 500 ms",
        840,
    ),
    StageName(
        Stage.END_TO_END, "", Party.ALL, "Response, and those of L1, L2, L3, L7, L8, L9 that are known", 1_200
    ),
    StageName(Stage.OUR_PART, "", Party.OURS, "Endpointing and added"),
    StageName(Stage.PROVIDER_PART, "", Party.PROVIDER, "Response less our part"),
    StageName(Stage.CARRIER_PART, "", Party.CARRIER, "L3 and L7, where a round trip is known"),
    StageName(Stage.CLIENT_PART, "", Party.CLIENT, "L1, L2, L8 and L9, where the client tells them"),
    StageName(
        Stage.BARGE_IN,
        "",
        Party.OURS,
        "First voiced sample of an interruption, to `clear` written: B1 and B2",
        320,
    ),
    StageName(
        Stage.INTERRUPTION_DETECTION,
        "B1",
        Party.OURS,
        "First voiced sample of an interruption, to the decision",
        300,
    ),
    StageName(Stage.PLAYBACK_STOP, "B2", Party.OURS, "That decision, to `clear` written", 5),
    StageName(
        Stage.SERVER_CANCEL, "B3", Party.OURS, "Words understood, to model and synthesis cancelled", 20
    ),
    StageName(
        Stage.BUFFER_FLUSH, "B4", Party.CARRIER, "`clear` written, to the answer to a mark behind it", 150
    ),
    StageName(
        Stage.ARRIVAL_JITTER,
        "",
        Party.CARRIER,
        "Interarrival jitter of the caller's audio at a turn's end",
        30,
    ),
)
"""Targets: E2E and barge-in are the load tester's pass criteria, and the other stages split E2E up. A round
trip of 150 ms, half of it each way, is half of what ITU-T G.114 calls good enough for conversation."""

STAGE_NAMES = {name.stage: name for name in STAGES}

BUCKETS_S = (
    0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0,
    10.0,
)  # fmt: skip
"""From our own share of a turn (some ms) to a failed one (seconds). The alerts' limits are among them."""


class Kind(StrEnum):
    """Prometheus types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `name` is as exposed: counters end in `_total`."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    target: str = ""


def _counter(name: str, text: str, *labels: str, target: str = "") -> Metric:
    return Metric(f"parley_{name}_total", Kind.COUNTER, text, labels, target)


def _gauge(name: str, text: str, *labels: str, target: str = "") -> Metric:
    return Metric(f"parley_{name}", Kind.GAUGE, text, labels, target)


COUNTER_HELP = {
    "frames_in": "Audio messages heard from callers: 20 ms each on most platforms",
    "frames_late": "Caller frames read more than 40 ms after they reached this machine",
    "frames_out": "20 ms frames of agent audio handed to lines",
    "stale_chunks": "Audio chunks of cancelled replies dropped before the socket",
    "underruns": "Gaps in the agent's speech because no audio was there in time",
    "turns": "Turns that callers took",
    "barge_ins": "Times that a caller's voice stopped the agent",
    "false_interruptions": "Barge-ins that had no words",
    "resumes": "Replies that went on after a false interruption",
    "echoes": "Times that the agent's own echo was heard and ignored",
    "reprompts": "Times that the agent asked again after silence",
    "unanswered": "Turns that got no sound of a reply",
    "provider_failures": "Provider failures met by calls",
    "apologies": "Turns answered by the apology since no provider could",
    "bad_messages": "Messages from platforms that could not be understood",
    "sends_dropped": "Messages to platforms (audio, text) dropped because the peer did not read",
    "ceilings": "States that lasted too long and were ended",
    "reconnects": "Lost sockets that were replaced while the call went on",
}
"""The whole numbers of `agent.latency.CallCounters`: field and help."""

COUNTERS = {name: _counter(name, text, "transport") for name, text in COUNTER_HELP.items()}

STAGE_SECONDS = Metric(
    "parley_stage_seconds",
    Kind.HISTOGRAM,
    "Duration of a stage of a turn",
    ("stage", "transport", "language", "provider", "cache"),
)
PLAYOUT_GAP = _counter(
    "playout_gap_seconds", "Silence that underruns put into the agent's speech", "transport"
)
TURN_GAPS = _counter("turn_gaps", "Answered turns by how natural the gap before them was", "transport", "gap")
BUDGETS_BLOWN = _counter(
    "budget_blown",
    "Stages that took longer than the agent file's budget, and what was done about it",
    "stage",
    "action",
    "transport",
    target="0",
)
SPECULATIONS = _counter(
    "speculations",
    "Work begun before it was known to be needed: `finalize`, recognition asked for its last word in a pause",
    "kind",
    "outcome",
    "transport",
)
CALLS_LIVE = _gauge("calls_live", "Calls that are on", "transport")
CALLS_ENDED = _counter("calls_ended", "Calls that ended", "transport", "cause")
CALLS_REFUSED = _counter("calls_refused", "Calls not taken", "reason")
BAD_REQUESTS = _counter("bad_requests", "Requests refused before a call", "transport", "kind")
FAILOVERS = _counter("failovers", "Failures of each provider that its chain went on from", "kind", "provider")
PROVIDER_EVENTS = _counter(
    "provider_events",
    "What providers count: connections opened, failed, reused, lost; messages unsent; requests asked again",
    "kind",
    "provider",
    "event",
)
PROVIDER_CONNECT_SECONDS = _counter(
    "provider_connect_seconds", "Time that opening those connections took together", "kind", "provider"
)
SLOTS = _gauge("slots", "Slots in all")
SLOTS_TAKEN = _gauge("slots_taken", "Slots held by calls and tickets")
DRAINING = _gauge("draining", "1 while new calls are refused before the end")
QUALITY = _gauge(
    "network_quality_index",
    "1 is perfect, by round trip, jitter and loss of live calls",
    "transport",
    target="> 0.5",
)
LOOP_LAG = _gauge("loop_lag_seconds", "Smoothed lag of the event loop", target="< 0.01")
LOOP_LAG_MAX = _gauge("loop_lag_max_seconds", "Greatest lag of the event loop so far")
LOOP_BUSY = _gauge(
    "loop_busy_ratio", "Share of the event loop's core in use, over three seconds", target="< 0.92"
)
PLAYOUT_LATE_MAX = _gauge("playout_late_max_seconds", "Latest playout beat so far", target="< 0.02")
STALLS = _counter("loop_stalls", "Blocks of the event loop over 50 ms", "cause", target="0")
STALL_SECONDS = _counter("loop_stall_seconds", "Time the event loop was blocked in those", "cause")
VIOLATIONS = _counter(
    "invariant_violations",
    "Times that what must always hold did not, and was mended",
    "invariant",
    target="0",
)
THROTTLED_PERIODS = _counter(
    "cpu_throttled_periods", "Periods in which the cgroup had used up its CPU", target="0"
)
THROTTLED_SECONDS = _counter(
    "cpu_throttled_seconds", "Time for which the cgroup was kept off the CPU", target="0"
)
MEMORY_USED = _gauge("memory_used_bytes", "Memory in use of the cgroup, or else of the machine")
MEMORY_LIMIT = _gauge("memory_limit_bytes", "Memory that the cgroup, or else the machine, has")
DISK_USED = _gauge(
    "disk_used_ratio", "Used share of the file system of the working directory", target="< 0.8"
)
CERTIFICATE_END = _gauge(
    "tls_certificate_expiry_timestamp_seconds", "When the public port's certificate ends"
)
PROCESSES = _gauge("processes", "Processes that this answer adds up")
PEER_MISSES = _counter(
    "peer_misses", "Times that a sibling process did not answer in time, and was left out", "peer"
)
TASKS = _gauge("tasks", "Tasks of the event loop: flat while the number of calls is")
OBJECTS = _gauge(
    "objects", "Blocks of memory that the interpreter holds, about one per object: flat in a long run"
)
BUILD = _gauge("build_info", "1; the version is the label", "version")

METRICS = (
    STAGE_SECONDS, *COUNTERS.values(), PLAYOUT_GAP, TURN_GAPS, BUDGETS_BLOWN, SPECULATIONS, CALLS_LIVE,
    CALLS_ENDED, CALLS_REFUSED, BAD_REQUESTS, FAILOVERS, PROVIDER_EVENTS, PROVIDER_CONNECT_SECONDS, SLOTS,
    SLOTS_TAKEN, DRAINING, QUALITY, LOOP_LAG, LOOP_LAG_MAX, LOOP_BUSY, PLAYOUT_LATE_MAX, STALLS,
    STALL_SECONDS, VIOLATIONS, THROTTLED_PERIODS, THROTTLED_SECONDS, MEMORY_USED, MEMORY_LIMIT, DISK_USED,
    CERTIFICATE_END, PROCESSES, PEER_MISSES, TASKS, OBJECTS, BUILD,
)  # fmt: skip
"""All metrics of our own. prometheus-client's `process_*` and `python_gc_*` are exported beside them."""

PROCESS_METRICS = (
    "process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
    "process_start_time_seconds", "process_open_fds", "process_max_fds", "python_gc_objects_collected_total",
    "python_gc_objects_uncollectable_total", "python_gc_collections_total",
)  # fmt: skip
"""What the rules and the dashboard may use of those."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A figure that Prometheus works out, by a recording rule in `deploy/prometheus/parley.rules.yml`."""

    name: str
    unit: str
    text: str
    target: str = ""


DERIVED = (
    Derived(
        "parley:end_to_end_seconds:p95_5m", "s", "p95 of end to end over 5 min", "< 1.2; alerts at 1.5 and 2"
    ),
    Derived("parley:barge_in_seconds:p95_5m", "s", "p95 of barge-in over 5 min", "< 0.32; alerts at 0.5"),
    Derived("parley:errors:ratio_2m", "1", "Turns that got an apology or nothing, of all turns", "< 0.01"),
    Derived("parley:reconnects:per_call_hour", "1/h", "Lost sockets replaced, by call and hour", "< 1"),
    Derived("parley:underruns:per_minute", "1/min", "Gaps in the agent's speech per minute", "0"),
    Derived(
        "parley:chunks_dropped:ratio_5m", "1", "Audio chunks dropped before the socket, of all", "< 0.001"
    ),
    Derived("parley:frames_late:ratio_5m", "1", "Caller audio read late, of all", "< 0.001"),
    Derived(
        "parley:stream_continuity:ratio_5m",
        "1",
        "Continuity score: agent audio, of it and the gaps in it",
        "> 0.98",
    ),
    Derived("parley:audio_seconds:rate_1m", "s/s", "Agent audio sent per second: speakers at the same time"),
    Derived("parley:messages:rate_1m", "1/s", "Audio messages from callers and frames to them per second"),
    Derived(
        "parley:cpu:ratio_3m", "1", "Share of one core that the process uses: its loop has no more", "< 0.9"
    ),
    Derived("parley:memory_per_call_bytes", "B", "Resident memory by live call, the idle process included"),
    Derived("parley:memory:ratio", "1", "Memory in use, of what there is", "< 0.85"),
)
