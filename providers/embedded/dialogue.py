"""Where a dialogue stands, worked out from the conversation alone.

No state is kept between turns: the caller's words say it all, so a reconnected call, or one whose last reply
was cut off, goes on where the caller believes it is.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from agent.agentfile.schema import Dialogue, DialogueSlot
from providers.embedded.answers import Value, is_cancel, parse, spoken, yes_or_no
from providers.embedded.intents import Heard, Intent, Intents, Kind
from providers.embedded.lexicon import lexicon, spread, words
from providers.embedded.numerals import digits_in

MAX_MISSES = 2
"""Answers not understood in a row until the agent offers something else."""
MAX_KEPT = 1_024
"""Conversations remembered: a few turns of each of some hundred calls, about 1 kB each."""
_ASKING = frozenset(
    "what where when who how why which is are do does can could will que donde cuando quien como "
    "por cual hay "
    "tienen puedo pueden".split()
)
_SOFT = frozenset(
    "about work possible available free good fine okay come go anything something time day morning afternoon "
    "evening oclock clock half past quarter noon appointment suit suits do make put change bien "
    "venir ir algo "
    "libre posible hora dia cita tarde media cuarto".split()
)
"""Words of a question that is an answer: "How about Tuesday?", "Could I come at ten?"."""
_NOTHING = frozenset(("nothing", "nada"))


@dataclass(slots=True)
class Progress:
    """An open dialogue, as the caller's last turn left it."""

    dialogue: Dialogue
    values: dict[str, Value] = field(default_factory=dict)
    partial: str = ""
    """Digits of the open slot that came so far."""
    misses: int = 0
    changing: bool = False
    """The caller said no to what was read back, and not yet what is wrong."""
    confirmed: bool = False
    cancelled: bool = False
    understood: bool = True
    """The caller's last turn fitted what was asked, or was a question of its own."""
    stranger: bool = False
    """It was a question that nothing here answers."""
    asides: tuple[Intent, ...] = ()
    """What the caller wanted besides."""

    @property
    def open_slot(self) -> DialogueSlot | None:
        """What to ask next; None when everything is known."""
        return next((slot for slot in self.dialogue.slots if slot.name not in self.values), None)

    def read_back(self, text: str, language: str) -> str:
        """`text` with `{slot}` replaced by what is known."""
        slots = {slot.name: slot for slot in self.dialogue.slots}

        def said(match: re.Match[str]) -> str:
            name = match[1]
            return spoken(slots[name], self.values[name], language) if name in self.values else match[0]

        return re.sub(r"\{([^{}]*)\}", said, text)

    def question(self, language: str) -> str:
        """The next thing to ask."""
        slot = self.open_slot
        return slot.ask[language] if slot else self.read_back(self.dialogue.confirm[language], language)


@dataclass(slots=True)
class Standing:
    """Where a conversation stands after the caller's last turn."""

    progress: Progress | None
    """The dialogue that is open, or that this turn completed."""
    before: str
    """Language before that turn."""
    language: str
    """Language now: the turn may have asked for another, or simply been in it."""
    asked_language: bool = False
    """The turn was a wish for that language and nothing else."""


class Follower:
    """Follows conversations through the agent file's dialogues.

    What the last turns led to is remembered, so that a long conversation is not walked through again for each
    turn; forgetting it costs time only.
    """

    def __init__(self, dialogues: Iterable[Dialogue], intents: Intents) -> None:
        self._dialogues = {dialogue.id: dialogue for dialogue in dialogues}
        self._intents = intents
        self._kept: OrderedDict[tuple[str, tuple[str, ...]], Standing] = OrderedDict()

    def follow(self, turns: Sequence[str], language: str) -> Standing:
        """What came of the caller's `turns`, the first of which was in `language`."""
        known = tuple(turns)
        left: list[str] = []
        while known and (language, known) not in self._kept:
            left.append(known[-1])
            known = known[:-1]
        standing = self._kept.get((language, known), Standing(None, language, language))
        for text in reversed(left):
            standing = self._step(standing, text)
        if turns:
            self._kept[language, tuple(turns)] = standing
            self._kept.move_to_end((language, tuple(turns)))
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return standing

    def _step(self, before: Standing, text: str) -> Standing:
        """One turn further. Leaves `before` as it is."""
        progress, language = before.progress, before.language
        if progress is not None:
            over = progress.confirmed or progress.cancelled or progress.misses > MAX_MISSES
            progress = None if over else replace(progress, values=dict(progress.values))
        wanted = self._intents.wanted_language(text, language)
        if wanted is not None:
            return Standing(progress, language, wanted, asked_language=True)
        spoken_in = self._intents.spoken_language(text, language) if progress is None else None
        after = Standing(progress, language, spoken_in or language)
        heard = self._intents.heard(text, after.language)
        if progress is not None:
            _answer(progress, text, heard, after.language)
            return after
        start = heard.first(Kind.START)
        if start is not None:
            others = tuple(intent for intent in heard.intents if intent is not start)
            after.progress = Progress(self._dialogues[start.id], asides=others)
            _volunteer(after.progress, text, after.language)
        return after


def _answer(progress: Progress, text: str, heard: Heard, language: str) -> None:
    progress.understood, progress.stranger = True, False
    progress.asides = tuple(intent for intent in heard.intents if intent.kind is not Kind.START)
    if is_cancel(text, language):
        progress.cancelled = True
        return
    if heard.intents:
        # What is left beside a question may still be the answer: "Tuesday, and where can I park?".
        text = text if heard.first(Kind.START) else heard.rest
        if not spread(text):
            return
    if _asks_something_else(progress, text, language):
        progress.stranger = True
        return
    slot = progress.open_slot
    taken = _confirm(progress, text, language) if slot is None else _fill(progress, slot, text, language)
    if taken:
        progress.misses = 0
    elif not heard.intents:
        progress.understood = False
        progress.misses += 1


def _fill(progress: Progress, slot: DialogueSlot, text: str, language: str) -> bool:
    """The answer to an open question. True if something was taken from it."""
    value = parse(slot, text, language)
    if value is None and slot.kind == "digits" and slot.digits:
        value = _dictated(progress, slot.digits, text, language)
        if value is None and progress.partial:
            return True
    if value is None:
        return _correct(progress, text, language, sure=True) or _volunteer(progress, text, language)
    progress.values[slot.name] = value
    progress.partial = ""
    if slot.kind not in ("name", "text", "email"):
        _correct(progress, text, language, sure=True, but=slot.name)
        _volunteer(progress, text, language)
    return True


def _dictated(progress: Progress, wanted: int, text: str, language: str) -> str | None:
    """Digits in groups with pauses between: kept until there are enough. Too many: begun anew."""
    digits = digits_in(text, language)
    if not digits:
        return None
    together = progress.partial + digits
    if len(together) == wanted:
        return together
    progress.partial = together if len(together) < wanted else ""
    return None


def _confirm(progress: Progress, text: str, language: str) -> bool:
    """The answer to what was read back."""
    changing, progress.changing = progress.changing, False
    answer = yes_or_no(text, language)
    if _correct(progress, text, language, sure=answer is not False and not changing):
        return True
    if (answer is not True or changing) and _reopen(progress, text, language):
        return True
    if changing and _NOTHING & set(words(text)):
        return True
    if answer is False:
        progress.cancelled, progress.changing = changing, not changing
        return True
    if answer is True:
        progress.confirmed, progress.changing = not changing, changing
        return True
    progress.changing = changing
    return False


def _correct(progress: Progress, text: str, language: str, *, sure: bool, but: str = "") -> bool:
    """ "No, on Friday": a new value instead of an old one. `sure`: only what cannot be meant otherwise."""
    changed = False
    for slot in progress.dialogue.slots:
        if slot.name not in progress.values or slot.name == but:
            continue
        value = parse(slot, text, language, asked=False)
        if value is None and slot.kind == "time" and not sure and not changed:
            value = parse(slot, text, language)
        if value is not None and value != progress.values[slot.name]:
            progress.values[slot.name] = value
            changed = True
    return changed


def _reopen(progress: Progress, text: str, language: str) -> bool:
    """ "The day is wrong": the slot that was named is asked for again."""
    said = _content(text, language)
    fits = [
        (
            len(said & (_content(slot.ask[language], language) | set(words(slot.name.replace("_", " "))))),
            slot.name,
        )
        for slot in progress.dialogue.slots
    ]
    best, name = max(fits)
    if best == 0 or sum(count == best for count, _ in fits) > 1:
        return False
    del progress.values[name]
    return True


def _volunteer(progress: Progress, text: str, language: str) -> bool:
    """ "I want to book a check up on Monday" answers two questions before they are asked."""
    taken = False
    for slot in progress.dialogue.slots:
        if slot.name not in progress.values and slot.kind in ("choice", "weekday", "date", "time", "digits"):
            value = parse(slot, text, language, asked=False)
            if value is not None:
                progress.values[slot.name] = value
                taken = True
    return taken


def _asks_something_else(progress: Progress, text: str, language: str) -> bool:
    """A question of the caller's own, with more in it than an answer has: "Have you a lift on Monday?"."""
    slot = progress.open_slot
    said = spread(text)
    if not said or said[0] not in _ASKING or (slot is not None and slot.kind in ("name", "text", "email")):
        return False
    tables = lexicon(language)
    known = _SOFT | tables.light | tables.courtesy | tables.numbers | set(tables.days) | tables.when
    known |= {word for each in progress.dialogue.slots for choice in (each.choices or {}).get(language, [])
              for word in spread(choice)}  # fmt: skip
    return sum(word not in known and not word.isdecimal() for word in said) >= 2


def _content(text: str, language: str) -> set[str]:
    tables = lexicon(language)
    return {word for word in spread(text) if word not in tables.light and word not in tables.courtesy}
