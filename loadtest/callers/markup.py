"""Reading the XML with which a server answers a voice webhook (Twilio sheet 4, Telnyx sheet 4).

Only what a caller needs: the `<Connect>` and what it holds, or the refusal. Parsed with expat directly;
a document type, and with it every entity trick, is refused.
"""

from dataclasses import dataclass, field
from xml.parsers import expat

from agent.errors import WireError

_NOUNS = ("Stream", "ConversationRelay")


@dataclass(frozen=True, slots=True)
class Connect:
    """`<Connect>` with a `<Stream>` or a `<ConversationRelay>` in it."""

    noun: str
    """`Stream` or `ConversationRelay`."""
    attributes: dict[str, str]
    parameters: dict[str, str] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    """Codes of the `<Language>` children."""
    action: str | None = None
    """Where the platform asks what to do after it has ended."""

    @property
    def url(self) -> str:
        return self.attributes["url"]


@dataclass(frozen=True, slots=True)
class Rejection:
    """The server does not take the call."""

    reason: str
    """`busy`, `rejected`, or what was said or done instead of connecting."""


class _Reader:
    def __init__(self) -> None:
        self.path: list[str] = []
        self.verbs: list[tuple[str, dict[str, str]]] = []
        self.noun: tuple[str, dict[str, str]] | None = None
        self.action: str | None = None
        self.parameters: dict[str, str] = {}
        self.languages: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        parent = self.path[-1] if self.path else ""
        self.path.append(name)
        if len(self.path) == 1 and name != "Response":
            raise WireError("markup", f"the root element is <{name}>, not <Response> (12100)")
        if len(self.path) == 2:
            self.verbs.append((name, attributes))
            if name == "Connect" and self.noun is None:
                self.action = attributes.get("action")
        elif parent == "Connect" and name in _NOUNS and self.noun is None:
            self.noun = (name, attributes)
        elif parent in _NOUNS and name == "Parameter":
            self.parameters[attributes.get("name", "")] = attributes.get("value", "")
        elif parent in _NOUNS and name == "Language":
            self.languages.append(attributes.get("code", ""))

    def end(self, _name: str) -> None:
        self.path.pop()

    def refuse_doctype(self, *_: object) -> None:
        raise WireError("markup", "a document type is not allowed here (12100)")


def read_markup(body: bytes) -> Connect | Rejection:
    """Understand TwiML or TeXML. Raises `WireError` where the platform would fail the call."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise WireError("markup", f"the answer is not XML (12100): {error}") from None
    if reader.noun is None:
        return _rejection(reader)
    noun, attributes = reader.noun
    if not attributes.get("url", "").startswith(("ws://", "wss://")):
        raise WireError("markup", f"<{noun}> needs a ws:// or wss:// url, not {attributes.get('url')!r}")
    return Connect(noun, attributes, reader.parameters, tuple(reader.languages), reader.action)


def _rejection(reader: _Reader) -> Rejection:
    for name, attributes in reader.verbs:
        if name == "Reject":
            return Rejection(attributes.get("reason", "rejected"))
    verbs = ", ".join(f"<{name}>" for name, _ in reader.verbs) or "nothing"
    return Rejection(f"answered with {verbs} instead of <Connect>")
