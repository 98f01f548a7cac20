"""Where a dialogue stands, worked out from the conversation alone.

Nothing is remembered between turns: the caller's and the agent's messages say it all, so a reconnected call,
or one whose last reply was cut off, goes on where the caller believes it is.
"""

from dataclasses import dataclass, field

from agent.agentfile.schema import Dialogue, DialogueSlot
from agent.providers import Message, Role
from providers.embedded.answers import is_cancel, parse, yes_or_no
from providers.embedded.matching import Matcher, words

MAX_MISSES = 2
"""Answers not understood in a row until the agent offers something else."""


@dataclass(slots=True)
class Progress:
    """An open dialogue."""

    dialogue: Dialogue
    values: dict[str, str] = field(default_factory=dict)
    misses: int = 0
    confirming: bool = False
    confirmed: bool = False
    cancelled: bool = False
    understood: bool = True
    """The last caller's turn fitted what was asked."""

    @property
    def open_slot(self) -> DialogueSlot | None:
        """What to ask next; None when everything is known."""
        for slot in self.dialogue.slots:
            if slot.name not in self.values:
                return slot
        return None

    def question(self, language: str) -> str:
        """The next thing to say."""
        slot = self.open_slot
        if slot is not None:
            return slot.ask[language]
        return fill(self.dialogue.confirm[language], self.values)


def fill(text: str, values: dict[str, str]) -> str:
    """`text` with `{slot}` replaced."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def start_matcher(dialogues: list[Dialogue]) -> Matcher:
    """Finds the dialogue that a caller's sentence starts."""
    return Matcher(
        (
            (dialogue.id, phrase)
            for dialogue in dialogues
            for phrases in dialogue.start.values()
            for phrase in phrases
        ),
        days_matter=False,
    )


def follow(
    dialogues: list[Dialogue], starts: Matcher, messages: tuple[Message, ...], language: str
) -> Progress | None:
    """The dialogue that is open after the caller's last message, or that this message completed."""
    by_id = {dialogue.id: dialogue for dialogue in dialogues}
    progress: Progress | None = None
    last = len(messages) - 1
    for index, message in enumerate(messages):
        if message.role is Role.ASSISTANT and progress is not None:
            progress.confirming = progress.open_slot is None
        if message.role is not Role.USER:
            continue
        if progress is not None and (progress.confirmed or progress.cancelled):
            progress = None
        if progress is None:
            found = starts.best(message.content)
            if found:
                progress = Progress(by_id[found[0].key])
                _volunteered(progress, message.content, language)
        else:
            _answer(progress, message.content, language)
            if progress.misses > MAX_MISSES and index != last:
                progress = None
    return progress


def _answer(progress: Progress, text: str, language: str) -> None:
    progress.understood = True
    if is_cancel(text, language):
        progress.cancelled = True
        return
    slot = progress.open_slot
    if slot is not None:
        value = parse(slot, text, language)
        if value is None:
            progress.understood = False
            progress.misses += 1
        else:
            progress.values[slot.name] = value
            progress.misses = 0
        return
    answer = yes_or_no(text, language)
    corrected = _correct(progress, text, language)
    if answer is True and not corrected:
        progress.confirmed = True
    elif answer is False and not corrected:
        progress.cancelled = True
    elif not corrected:
        progress.understood = False
        progress.misses += 1


def _correct(progress: Progress, text: str, language: str) -> bool:
    """ "No, on Friday": a new value instead of the old one."""
    for slot in progress.dialogue.slots:
        if slot.kind in ("yes_no", "name", "text", "number"):
            continue
        value = parse(slot, text, language)
        if value is not None and value != progress.values.get(slot.name):
            progress.values[slot.name] = value
            progress.misses = 0
            return True
    return False


def _volunteered(progress: Progress, text: str, language: str) -> None:
    """ "I want to book a check up on Monday" answers two questions before they are asked."""
    if len(words(text)) < 4:
        return
    for slot in progress.dialogue.slots:
        if slot.kind in ("choice", "weekday"):
            value = _in_full(slot, text, language)
            if value is not None:
                progress.values[slot.name] = value


def _in_full(slot: DialogueSlot, text: str, language: str) -> str | None:
    if slot.kind != "choice":
        return parse(slot, text, language)
    said = set(words(text))
    for choice in (slot.choices or {}).get(language, []):
        content = [word for word in words(choice) if len(word) > 2]
        if content and all(word in said for word in content):
            return choice
    return None
