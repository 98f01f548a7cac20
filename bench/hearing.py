"""What hearing costs and how well it hears: voice detection, speech gate, echo guard.

    python -m bench.hearing

Real espeak-ng speech over a mu-law line at 8 kHz. Times are the best of several runs, in microseconds of one
core.
"""

import argparse
import math
import timeit
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from agent.audio.vad import SpeechChange, SpeechGate, VoiceDetector
from agent.turns.echo import EchoGuard
from tests import speech
from tests.speech import Scene

LINES = (
    ("en-us", "What are your opening hours on Tuesday?"),
    ("en-gb", "I would like to book an appointment please."),
    ("en-us+f3", "Yes."),
    ("en-us", "No, thank you, that's all."),
    ("en-gb+f2", "My number is five five five, one two three four."),
    ("en-us+m3", "Can I speak to a real person?"),
    ("es", "Quisiera reservar una cita para mañana."),
    ("de", "Haben Sie am Samstag geöffnet?"),
    ("fr", "Est-ce que vous êtes ouverts le dimanche?"),
    ("it", "Quanto costa una visita?"),
    ("en-us+f4", "Stop."),
    ("en-gb+m7", "How much is a check up for a six year old?"),
)
LEAD_MS = 3_000.0
"""Line noise before the speech: the detector knows it by then."""
BARGE_IN_MS = 100.0
RETRY_FRAMES = 5
"""After a yes, ask again every 100 ms."""


# --- voice detection -----------------------------------------------------------------------------------


class Heard(NamedTuple):
    """How one utterance was heard. Delays are against the true edges of the clean speech."""

    onset_ms: float
    offset_ms: float
    missed: float
    """Share of the frames within 20 dB of the loudest that were not voiced."""
    false_share: float
    """Share of the frames before the speech that were voiced."""


def hear_line(voice: str, text: str, condition: tuple[str, float, float], aggressiveness: int) -> Heard:
    """`condition` is noise kind ("" for none), SNR in dB and speech level in dBFS."""
    kind, snr_db, level = condition
    said = speech.at_level(speech.speech(text, voice=voice, mu_law_roundtrip=False), level)
    lead_ms = LEAD_MS + len(text) * 7 % 20
    clean = speech.silence(lead_ms) + said + speech.silence(2_000)
    line = clean
    if kind:
        line = speech.with_noise(clean, speech.noise(kind, len(clean) / 16), snr_db)
    detector = VoiceDetector(8000, aggressiveness)
    voiced = [detector.is_voiced(frame) for frame in speech.frames(speech.mu_law(line))]
    levels = [speech.level_dbfs(frame) for frame in speech.frames(clean)]
    begin, end = lead_ms / 20, (lead_ms + len(said) / 16) / 20
    first = int(begin)
    during = [at for at in range(first, min(int(end) + 40, len(voiced))) if voiced[at]]
    loud = [at for at, value in enumerate(levels) if value > max(levels) - 20]
    return Heard(
        (during[0] + 1 - begin) * 20 if during else math.inf,
        (during[-1] + 1 - end) * 20 if during else -math.inf,
        sum(not voiced[at] for at in loud) / len(loud),
        sum(voiced[100:first]) / (first - 100),
    )


def share(values: Sequence[float], part: float) -> float:
    """The value below which `part` of `values` lie."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def print_detection() -> None:
    """Onset, offset, missed and false frames by condition and aggressiveness."""
    conditions = [
        ("", 99.0, -26.0), ("", 99.0, -38.0), ("comfort", 25.0, -38.0),
        *((kind, snr, -26.0) for snr in (25.0, 15.0, 10.0) for kind in ("pink", "hum", "street", "cafe")),
    ]  # fmt: skip
    print("\nvoice detection: onset and offset in ms against the true edges, shares of frames in %")
    print(f"{'condition':<26} mode  onset p50  p90  offset p10  p50  p90  missed  false")
    for condition in conditions:
        for mode in range(4):
            rows = [hear_line(voice, text, condition, mode) for voice, text in LINES]
            onsets = [row.onset_ms for row in rows]
            offsets = [row.offset_ms for row in rows]
            name = f"{condition[0] or 'quiet'} SNR {condition[1]:.0f} dB at {condition[2]:.0f}"
            print(
                f"{name:<26} {mode:>4} {median(onsets):>10.0f} {share(onsets, 0.9):>4.0f}"
                f" {share(offsets, 0.1):>11.0f} {median(offsets):>4.0f} {share(offsets, 0.9):>4.0f}"
                f" {100 * sum(row.missed for row in rows) / len(rows):>7.1f}"
                f" {100 * sum(row.false_share for row in rows) / len(rows):>6.1f}"
            )


def print_noise() -> None:
    """Frames of pure noise called voice, in the first two seconds of a call and after them."""
    print("\nnoise alone, 20 s: % of frames voiced in the first 2 s / afterwards (mode 2); starts of speech")
    for kind in speech.NOISES:
        for level in (-60.0, -50.0, -40.0, -30.0):
            print(_noise_row(f"{kind} {level:.0f} dBFS", speech.noise(kind, 20_000, level)))
    print(_noise_row("hold music -24 dBFS", speech.hold_music(20_000)))
    print(_noise_row("clicks", b"".join([speech.silence(1_000), speech.clicks(60, 300)])))
    quiet, loud = speech.noise("pink", 5_000, -65.0), speech.noise("pink", 5_000, -40.0, seed=2)
    print(_noise_row("pink -65 dBFS, then -40", quiet + loud))


def _noise_row(name: str, pcm: bytes) -> str:
    detector, gate = VoiceDetector(8000), SpeechGate()
    voiced = [detector.is_voiced(frame) for frame in speech.frames(speech.mu_law(pcm))]
    starts = sum(gate.update(each) is SpeechChange.STARTED for each in voiced)
    after = voiced[100:]
    return f"{name:<28} {sum(voiced[:100]):>5.1f} / {100 * sum(after) / len(after):>5.2f}   starts {starts}"


# --- echo ----------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """What the guard said about one scene."""

    first: bool | None
    """Its first yes or no; None if no barge-in was ever in question."""
    after_ms: float
    """From the first voiced frame of the candidate to that answer."""
    barged_ms: float
    """From the first voiced frame of the candidate to the first no: infinite if it never came."""


def judge(scene: Scene, from_ms: float = 0.0) -> Verdict:
    """Run a scene as a call would: a candidate after 100 ms of voice, held while the answer is None."""
    detector, gate, guard = VoiceDetector(8000), SpeechGate(BARGE_IN_MS, BARGE_IN_MS + 40), EchoGuard()
    for number in range(0, len(scene.played), 3_200):
        guard.played(scene.played[number : number + 3_200], number / 16)
    first: bool | None = None
    onset_ms = after_ms = math.inf
    wait = 0
    for number, frame in enumerate(speech.frames(scene.heard)):
        now_ms = (number + 1) * 20.0
        guard.heard(frame, now_ms)
        changed = gate.update(detector.is_voiced(frame))
        if now_ms < from_ms or not gate.speaking:
            continue
        if changed is SpeechChange.STARTED or onset_ms == math.inf:
            onset_ms, wait = now_ms - gate.voiced_ms, 0
            onset_ms = max(onset_ms, from_ms)
        wait -= 1
        if wait >= 0:
            continue
        answer = guard.is_echo(now_ms)
        if first is None and answer is not None:
            first, after_ms = answer, now_ms - onset_ms
        if answer is False:
            return Verdict(first, after_ms, now_ms - onset_ms)
        wait = RETRY_FRAMES - 1 if answer else 0
    return Verdict(first, after_ms, math.inf)


def print_echo(count: int) -> None:
    """Echoes alone, callers alone, callers over echoes."""
    print(f"\necho guard, {count} scenes each (seeded by number)")
    echoes = [judge(speech.scene(number, echo=True, caller=False)) for number in range(count)]
    asked = [verdict for verdict in echoes if verdict.first is not None]
    print(
        f"echo alone: {len(asked)} asked for a barge-in; first answer yes {_percent(asked, True)} %,"
        f" answer after p50 {median(v.after_ms for v in asked):.0f}"
        f" p95 {share([v.after_ms for v in asked], 0.95):.0f} ms;"
        f" ever let through {100 * sum(v.barged_ms < math.inf for v in asked) / len(asked):.0f} %"
    )
    for name, echo in (("caller while the agent speaks", False), ("caller over an echo", True)):
        scenes = [speech.scene(number, echo=echo, caller=True) for number in range(count)]
        verdicts = [judge(each, each.caller_from_ms) for each in scenes]
        heard = [verdict for verdict in verdicts if verdict.first is not None]
        waits = [verdict.barged_ms for verdict in heard]
        print(
            f"{name}: {len(heard)} heard; first answer no {_percent(heard, False)} %,"
            f" let through after p50 {median(waits):.0f} p90 {share(waits, 0.9):.0f}"
            f" p95 {share(waits, 0.95):.0f} ms; never {sum(wait == math.inf for wait in waits)}"
        )


def print_answers(count: int) -> None:
    """Yes, no and cannot-tell by how much has been heard since the true beginning."""
    print(f"\necho guard by length of sound, {count} scenes each: yes / no / cannot tell in %")
    for name, echo, caller in (("echo", True, False), ("caller", False, True), ("both", True, True)):
        scenes = [speech.scene(number, echo=echo, caller=caller) for number in range(count)]
        for sound_ms in (100, 120, 160, 200, 300):
            answers = [_answer(scene, sound_ms) for scene in scenes]
            shares = [100 * sum(each is kind for each in answers) / count for kind in (True, False, None)]
            print(f"{name:<8} {sound_ms} ms  {shares[0]:>5.1f} / {shares[1]:>5.1f} / {shares[2]:>5.1f}")


def _answer(scene: Scene, sound_ms: float) -> bool | None:
    """The answer when the caller, or else the echo, has been heard for `sound_ms`."""
    begins = math.isfinite(scene.caller_from_ms)
    begin_ms = scene.caller_from_ms // 20 * 20 + 20 if begins else scene.echo_from_ms
    now_ms = begin_ms + sound_ms
    guard = EchoGuard()
    for at in range(0, len(scene.played), 3_200):
        if at / 16 < now_ms + 200:
            guard.played(scene.played[at : at + 3_200], at / 16)
    for number, frame in enumerate(speech.frames(scene.heard)[: int(now_ms / 20)]):
        guard.heard(frame, (number + 1) * 20.0)
    return guard.is_echo(now_ms)


def _percent(verdicts: Sequence[Verdict], answer: bool) -> str:
    return f"{100 * sum(verdict.first is answer for verdict in verdicts) / max(len(verdicts), 1):.0f}"


# --- cost ----------------------------------------------------------------------------------------------


def print_cost() -> None:
    """Microseconds per frame and per evaluation."""
    talk = speech.speech("I would like to book an appointment for my daughter on Tuesday please.")
    sounds = {
        "digital silence": speech.frames(speech.silence(4_000)),
        "line noise": speech.frames(speech.noise("comfort", 4_000, -62.0)),
        "speech": speech.frames(talk),
    }
    print("\ncost, us")
    for name, frames in sounds.items():
        detector, gate = VoiceDetector(8000), SpeechGate()

        def hear(
            frames: list[bytes] = frames, detector: VoiceDetector = detector, gate: SpeechGate = gate
        ) -> None:
            for frame in frames:
                gate.update(detector.is_voiced(frame))

        taken = min(timeit.repeat(hear, number=10, repeat=20)) / 10 / len(frames)
        print(f"VAD + gate per frame, {name:<16} {1e6 * taken:.2f}")
    guard = EchoGuard()
    frame = bytes(320)
    taken = min(timeit.repeat(lambda: guard.heard(frame, 0.0), number=20_000, repeat=5)) / 20_000
    print(f"EchoGuard.heard per frame             {1e6 * taken:.2f}")
    scene = speech.scene(1, echo=True, caller=False)
    guard = EchoGuard()
    for number in range(0, 32_000, 3_200):
        guard.played(scene.played[number : number + 3_200], number / 16)
    for number, heard in enumerate(speech.frames(scene.heard[:25_600])):
        guard.heard(heard, (number + 1) * 20.0)
    taken = min(timeit.repeat(lambda: guard.is_echo(1_600.0), number=50, repeat=10)) / 50
    print(f"EchoGuard.is_echo per evaluation      {1e6 * taken:.0f}")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=120, help="echo scenes of each kind")
    arguments = parser.parse_args()
    print_cost()
    print_detection()
    print_noise()
    print_echo(arguments.scenes)
    print_answers(arguments.scenes)


if __name__ == "__main__":
    main()
