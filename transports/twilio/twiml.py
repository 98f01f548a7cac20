"""TwiML answers (protocol sheet 4), written with the SDK's classes."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from twilio.twiml.voice_response import VoiceResponse

from agent.agentfile.schema import AgentFile, EndCallTool, TransferCallTool
from agent.errors import LineError
from transports.twilio.options import RelayOptions

TICKET = "ticket"
GREETED = "greeted"
"""Parameter that tells the relay socket whether Twilio speaks the greeting: `true` or `false`."""
CALLER = "caller"
CALLED = "called"
DIRECTION = "direction"
"""Parameters that carry to a media stream what its `start` does not tell."""
OWN_PARAMETERS = frozenset((TICKET, GREETED, CALLER, CALLED, DIRECTION))

MAX_HINTS = 100
MAX_HINTS_CHARS = 2_000
"""Per language. Deepgram takes 100 keywords, Google 500 phrases of 100 characters; a TwiML document may
have 64 kB. Assumed from the providers' own limits: Twilio names none."""
_MAX_HINT_CHARS = 100
_MAX_PARAMETER_CHARS = 400
"""Name and value together have to stay under 500 (sheet 4.3)."""

# Twilio wants a region; an agent file often names none. The commonest voice market of each language.
_REGIONS = {
    "ar": "ar-AE", "cs": "cs-CZ", "da": "da-DK", "de": "de-DE", "el": "el-GR", "en": "en-US",
    "es": "es-ES", "fi": "fi-FI", "fr": "fr-FR", "he": "he-IL", "hi": "hi-IN", "hu": "hu-HU",
    "id": "id-ID", "it": "it-IT", "ja": "ja-JP", "ko": "ko-KR", "nb": "nb-NO", "nl": "nl-NL",
    "no": "nb-NO", "pl": "pl-PL", "pt": "pt-BR", "ro": "ro-RO", "ru": "ru-RU", "sk": "sk-SK",
    "sv": "sv-SE", "th": "th-TH", "tr": "tr-TR", "uk": "uk-UA", "vi": "vi-VN", "zh": "cmn-CN",
}  # fmt: skip
_NUMBER = re.compile(r"\+?[0-9]{2,15}")
_SIP = re.compile(r"sips?:[^\s<>\"]{1,250}")
# XML 1.0 allows no other control characters; one of them would fail the whole call (12100).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def relay_language(language: str) -> str:
    """The tag as ConversationRelay wants it: `en` becomes `en-US`, `en-GB` stays."""
    return language if "-" in language else _REGIONS.get(language.casefold(), language)


def check_target(target: str) -> str:
    """A transfer target: an E.164 number or a SIP URI. Raises `LineError`."""
    if _NUMBER.fullmatch(target) or _SIP.fullmatch(target):
        return target
    raise LineError(f"cannot transfer to {target[:80]!r}: neither an E.164 number nor a SIP URI")


def dial(target: str) -> str:
    """Connect the caller to `target`; the call ends with that conversation. Raises `LineError`."""
    response = VoiceResponse()
    verb = response.dial()
    if check_target(target).startswith("sip"):
        verb.sip(target)
    else:
        verb.number(target)
    return str(response)


def reject_busy() -> str:
    """Refuse a call that rings: the caller hears a busy tone and pays nothing."""
    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)


def hang_up() -> str:
    """End the call."""
    response = VoiceResponse()
    response.hangup()
    return str(response)


def nothing() -> str:
    """The answer that Twilio does not act on."""
    return str(VoiceResponse())


class ConnectAnswers:
    """`<Connect>` documents of one agent."""

    def __init__(self, agent: AgentFile, options: RelayOptions) -> None:
        self._agent = agent
        self._options = options
        self._languages = [self._language(language) for language in agent.languages]

    def relay(self, socket_url: str, action_url: str, parameters: Mapping[str, str], *, greet: bool) -> str:
        """ConversationRelay to `socket_url`. `greet`: Twilio speaks the greeting by itself.

        After the session Twilio asks `action_url` what comes next.
        """
        agent, options = self._agent, self._options
        response = VoiceResponse()
        barge_in = "any" if agent.turns.barge_in else "none"
        relay = response.connect(action=action_url).conversation_relay(
            url=socket_url,
            language=relay_language(agent.language),
            welcome_greeting=_clean(agent.greeting[agent.language]) if greet else None,
            welcome_greeting_interruptible=barge_in if greet else None,
            interruptible=barge_in,
            # The words that interrupt are the caller's next turn; the default has been to drop them.
            report_input_during_agent_speech=barge_in,
            dtmf_detection=True,
            partial_prompts=options.partial_prompts,
            interrupt_sensitivity=options.interrupt_sensitivity,
            ignore_backchannel=options.ignore_backchannel,
            speech_timeout=options.speech_timeout,
            eot_threshold=options.eot_threshold,
            events=options.events,
        )
        for language in self._languages:
            relay.language(**language)
        _add_parameters(relay, {**parameters, GREETED: "true" if greet else "false"})
        return str(response)

    def media(self, socket_url: str, action_url: str, parameters: Mapping[str, str]) -> str:
        """A bidirectional media stream to `socket_url`, then whatever `action_url` answers, else the end."""
        response = VoiceResponse()
        stream = response.connect(action=action_url).stream(url=socket_url)
        _add_parameters(stream, parameters)
        response.hangup()
        return str(response)

    def _language(self, language: str) -> dict[str, Any]:
        options = self._options
        code = relay_language(language)
        voice = options.voices.get(language) or options.voices.get(code)
        if voice is None and language == self._agent.language:
            voice = options.voices.get("")
        return {
            "code": code,
            "tts_provider": options.tts_provider,
            "voice": voice,
            "transcription_provider": options.transcription_provider,
            "speech_model": options.speech_model,
            "hints": _hints(_phrases(self._agent, language)),
        }


def _add_parameters(noun: Any, parameters: Mapping[str, str]) -> None:
    for name, value in parameters.items():
        noun.parameter(name=name, value=_clean(value)[:_MAX_PARAMETER_CHARS])


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)


def _phrases(agent: AgentFile, language: str) -> Iterable[str]:
    """What callers are likely to say, the hardest to guess first."""
    for dialogue in agent.dialogues:
        for slot in dialogue.slots:
            yield from (slot.choices or {}).get(language, [])
        yield from dialogue.start.get(language, [])
    for tool in agent.tools:
        if isinstance(tool, (EndCallTool, TransferCallTool)):
            yield from tool.ask.get(language, [])
    for entry in agent.knowledge:
        yield from entry.ask.get(language, [])


def _hints(phrases: Iterable[str]) -> str | None:
    hints: dict[str, None] = {}
    chars = 0
    for phrase in phrases:
        # A comma separates hints.
        hint = " ".join(_clean(phrase).replace(",", " ").split())
        if not hint or len(hint) > _MAX_HINT_CHARS or hint in hints:
            continue
        chars += len(hint) + 1
        if chars > MAX_HINTS_CHARS or len(hints) == MAX_HINTS:
            break
        hints[hint] = None
    return ",".join(hints) or None
