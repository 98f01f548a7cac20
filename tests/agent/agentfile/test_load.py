"""Each kind of mistake in an agent file is one line: file, line, what is wrong, what is allowed."""

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from agent.agentfile import AgentFile, load_agent, parse_agent
from agent.agentfile.load import MAX_BYTES
from agent.agentfile.schema import EndCallTool, TransferCallTool, WebhookTool
from agent.errors import AgentFileError

BASE = """name: Reception
languages: [en]
greeting: Hello.
instructions: Be kind.
"""
"""The least that an agent needs; what a test adds begins on line 5."""
TWO_LANGUAGES = """name: Reception
languages: [en, es]
greeting: {en: Hello., es: Hola.}
instructions: Be kind.
"""


def problems(text: str) -> list[str]:
    """The mistakes that are found in a file."""
    with pytest.raises(AgentFileError) as caught:
        parse_agent(text, "a.yaml")
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


def test_the_least_agent_has_everything_else_by_default() -> None:
    agent = parse_agent(BASE, "a.yaml")
    assert agent.greeting == {"en": "Hello."}
    assert agent.language == "en"
    assert agent.unknown["en"].startswith("I am sorry")
    assert agent.phrases.goodbye["en"] == "Thank you for calling. Goodbye."
    assert [choice.provider for choice in agent.providers.llm] == ["embedded"]


def test_the_example_speaks_both_of_its_languages() -> None:
    agent = load_agent()
    assert agent.languages == ["en", "es"]
    for entry in agent.knowledge:
        assert set(entry.ask) == set(entry.answer) == {"en", "es"}, entry.id
        assert all(entry.ask.values())
    for dialogue in agent.dialogues:
        assert set(dialogue.confirm) == {"en", "es"}
        for slot in dialogue.slots:
            assert set(slot.ask) == {"en", "es"}
            if slot.choices is not None:
                assert len(slot.choices["en"]) == len(slot.choices["es"])
    for tool in agent.tools:
        assert isinstance(tool, EndCallTool | TransferCallTool)
        assert set(tool.ask) == {"en", "es"}
    assert set(agent.voices) == {"en", "es"}


def test_short_forms_mean_the_first_language_and_plain_names() -> None:
    agent = parse_agent(
        TWO_LANGUAGES
        + "unknown: {en: No idea., es: No sé.}\n"
        + "voices: {en: en-gb}\n"
        + "providers: {llm: embedded, tts: [embedded, {provider: embedded, pitch: 3}]}\n"
        + "tools:\n  - {kind: end_call, ask: [bye]}\n",
        "a.yaml",
    )
    assert agent.voices["en"].name == "en-gb"
    assert [choice.options for choice in agent.providers.tts] == [{}, {"pitch": 3}]
    tool = agent.tools[0]
    assert isinstance(tool, EndCallTool)
    assert tool.ask == {"en": ["bye"]}


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        pytest.param(
            "turn: {barge_in: true}",
            "a.yaml:5: turn: is not a key here (did you mean turns?); allowed: budgets, dialogues, greeting, "
            "instructions, knowledge, languages, limits, name, phrases, providers, tools, turns, unknown, "
            "voices",
            id="unknown key",
        ),
        pytest.param(
            "voices:\n  en:\n    nmae: en-gb",
            "a.yaml:7: voices.en.nmae: is not a key here (did you mean name?); allowed: name, speed",
            id="unknown key in a section",
        ),
        pytest.param(
            "turns:\n  barge_in_ms: soon",
            "a.yaml:6: turns.barge_in_ms: expected a whole number, not 'soon'",
            id="text for a number",
        ),
        pytest.param(
            "turns:\n  barge_in: maybe",
            "a.yaml:6: turns.barge_in: expected true or false, not 'maybe'",
            id="text for a truth value",
        ),
        pytest.param(
            "turns:\n  max_reprompts: 99",
            "a.yaml:6: turns.max_reprompts: 99 is not allowed; allowed: 10 or less",
            id="too much",
        ),
        pytest.param(
            "limits:\n\n  llm_first_token_ms: 0",
            "a.yaml:7: limits.llm_first_token_ms: 0 is not allowed; allowed: 100 or more",
            id="a bound that nothing meets",
        ),
        pytest.param(
            "turns: {silence_ms: 100}",
            "a.yaml:5: turns: must have min_silence_ms <= silence_ms <= max_silence_ms",
            id="silences out of order",
        ),
        pytest.param(
            "voices:\n  en: {speed: .nan}",
            "a.yaml:6: voices.en.speed: expected a number, not '.nan'",
            id="not a number",
        ),
        pytest.param(
            "knowledge:\n  - id: hours\n    ask: [when]\n    answer:",
            "a.yaml:8: knowledge.0.answer: is empty; expected keys with values, such as en: Hello",
            id="no answer",
        ),
        pytest.param(
            "knowledge:\n  - id: hours\n    ask: [when]",
            "a.yaml:6: knowledge.0.answer: is missing; needed here: id, ask, answer",
            id="missing key",
        ),
        pytest.param(
            "knowledge:\n  - id: Opening Hours\n    ask: [when]\n    answer: Now.",
            "a.yaml:6: knowledge.0.id: 'Opening Hours' is not allowed; allowed: small letters, digits and _, "
            "beginning with a letter",
            id="bad id",
        ),
        pytest.param(
            "knowledge:\n  - id: hours\n    ask: [when, '?!']\n    answer: Now.",
            "a.yaml:7: knowledge.0.ask.en.1: '?!' has no words",
            id="phrase without words",
        ),
        pytest.param(
            "knowledge:\n  - id: a\n    ask: [b]\n    answer: {en: c, fr: d}",
            "a.yaml:8: knowledge.0.answer.fr: is not among languages; allowed: en",
            id="undeclared language",
        ),
        pytest.param(
            "knowledge:\n  - {id: a, ask: [b], answer: c}\n  - {id: a, ask: [d], answer: e}",
            "a.yaml:7: knowledge.1.id: a stands twice; every entry needs its own",
            id="duplicate id",
        ),
        pytest.param(
            "tools:\n  - kind: webhook\n    name: book\n    description: Books.",
            "a.yaml:6: tools.0.url: is missing; needed here: kind, name, description, url",
            id="tool without url",
        ),
        pytest.param(
            "tools:\n  - kind: webhook\n    name: book\n    description: Books.\n    url: ftp://x/y",
            "a.yaml:9: tools.0.url: 'ftp://x/y' is not allowed; allowed: an address that begins with http:// "
            "or https://",
            id="tool with a bad url",
        ),
        pytest.param(
            "tools:\n  - kind: webhok",
            "a.yaml:6: tools.0: 'webhok' is no kind of tool; needs kind: end_call, transfer_call or webhook",
            id="unknown kind of tool",
        ),
        pytest.param(
            "tools:\n  - kind: end_call\n  - kind: end_call",
            "a.yaml:7: tools.1.name: end_call stands twice; give one of them another name",
            id="duplicate tool",
        ),
        pytest.param(
            "tools:\n  - kind: transfer_call\n    targets:\n      desk: +15005550009",
            "a.yaml:8: tools.0.targets.desk: expected text, not 15005550009; put it in quotes",
            id="number without quotes",
        ),
        pytest.param(
            "tools:\n  - kind: transfer_call\n    targets:\n      desk: '5005'",
            "a.yaml:8: tools.0.targets.desk: '5005' is no target; allowed: such as +15005550006 or "
            "sip:name@host",
            id="bad transfer target",
        ),
        pytest.param("providers:\n  stt: []", "a.yaml:6: providers.stt: is empty", id="empty chain"),
        pytest.param("name: Again", "a.yaml:5: name: stands twice", id="key twice"),
        pytest.param(
            "unknown: We are open: always",
            "a.yaml:5: is not YAML: mapping values are not allowed here; put a text that contains ': ' in "
            "quotes",
            id="colon in a text",
        ),
        pytest.param(
            "turns:\n\tbarge_in: true",
            "a.yaml:6: is not YAML: found character '\\t' that cannot start any token; indent with spaces, "
            "not tabs",
            id="tab",
        ),
        pytest.param(
            "unknown: a\x00b", "a.yaml:5: the character U+0000 is not allowed in YAML", id="control character"
        ),
    ],
)
def test_a_mistake_is_one_line(added: str, expected: str) -> None:
    assert problems(f"{BASE}{added}\n") == [expected]


def test_an_unknown_provider_is_named_with_what_is_installed() -> None:
    installed = ", ".join(sorted(point.name for point in entry_points(group="parley.llm")))
    assert "embedded" in installed
    assert problems(
        BASE + "providers:\n  stt: embedded\n  llm:\n    - embedded\n    - provider: opnai\n"
    ) == [f"a.yaml:9: providers.llm.1.provider: 'opnai' is not installed; allowed: {installed}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "a.yaml:1: is empty; expected keys such as name, languages, greeting", id="empty"),
        pytest.param(
            "# later\n", "a.yaml:1: is empty; expected keys such as name, languages, greeting", id="comment"
        ),
        pytest.param(
            "- a\n",
            "a.yaml:1: begins with something else; expected keys such as name, languages, greeting",
            id="list",
        ),
        pytest.param(
            "name: A\ngreeting: B\ninstructions: C\n",
            "a.yaml:1: languages: is missing; needed here: name, languages, greeting, instructions",
            id="no languages",
        ),
        pytest.param(
            BASE.replace("[en]", "en"),
            "a.yaml:2: languages: expected a list, such as [one, two], not 'en'",
            id="languages as text",
        ),
        pytest.param(
            BASE.replace("[en]", "5"),
            "a.yaml:2: languages: expected a list, such as [one, two], not 5",
            id="languages as a number",
        ),
        pytest.param(
            BASE.replace("[en]", "[en, en]"), "a.yaml:2: languages.1: en stands twice", id="language twice"
        ),
    ],
)
def test_the_top_of_the_file_is_explained(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_a_bad_language_tag_is_named_with_examples() -> None:
    found = problems(BASE.replace("[en]", "[en, spanish_mx]").replace("Hello.", "{en: a, spanish_mx: b}"))
    assert (
        "a.yaml:2: languages.1: 'spanish_mx' is no language tag; allowed: such as en, en-GB, es-419" in found
    )


@pytest.mark.parametrize("tag", ["en", "en-GB", "es-419", "zh-Hans-CN", "fil"])
def test_language_tags_of_every_usual_shape_are_taken(tag: str) -> None:
    phrases = ["reprompt", "silence_goodbye", "time_goodbye", "apology", "not_understood", "transferring"]
    said = "".join(f"  {name}: hm\n" for name in [*phrases, "goodbye"])
    text = BASE.replace("[en]", f"[{tag}]") + f"unknown: hm\nphrases:\n{said}"
    assert parse_agent(text, "a.yaml").languages == [tag]


def test_an_answer_missing_in_a_language_is_named() -> None:
    added = "knowledge:\n  - id: a\n    ask: {en: [b], es: [c]}\n    answer: {en: d}\n"
    assert problems(TWO_LANGUAGES + added) == [
        "a.yaml:8: knowledge.0.answer: has no text in es; every declared language needs one"
    ]


def test_a_language_without_texts_of_its_own_needs_them_all() -> None:
    found = problems(BASE.replace("[en]", "[en, nl]").replace("Hello.", "{en: Hello., nl: Hallo.}"))
    assert "a.yaml:1: unknown: has no text in nl; every declared language needs one" in found
    assert "a.yaml:1: phrases.goodbye: has no text in nl; every declared language needs one" in found


DIALOGUE = """dialogues:
  - id: booking
    start: {en: [book], es: [cita]}
    slots:
      - name: service
        kind: choice
        ask: {en: 'Which?', es: '¿Cuál?'}
        choices: {en: [one]}
      - name: service
        kind: weekday
        ask: {en: 'When?', es: '¿Cuándo?'}
    confirm: {en: 'On {day}?', es: '¿Bien?'}
    done: {en: Done., es: Hecho.}
    cancelled: {en: All right., es: Vale.}
    tool: book
"""


def test_places_of_a_dialogue_must_agree() -> None:
    assert problems(TWO_LANGUAGES + DIALOGUE) == [
        "a.yaml:12: dialogues.0.slots.0.choices: has no text in es; every declared language needs one",
        "a.yaml:13: dialogues.0.slots.1.name: service stands twice; every slot needs its own",
        "a.yaml:16: dialogues.0.confirm.en: {day} is no slot; allowed: service",
        "a.yaml:19: dialogues.0.tool: book is no webhook tool; allowed: none yet",
    ]


def test_several_mistakes_are_listed_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        "nmae: Reception\nlanguages: [en]\ngreeting: Hello.\ngreeting: Hi.\n"
        "turns:\n  barge_in: maybe\n  barge_in_ms: 1\ntools: 5\ninstructions: Be kind.\n"
    )
    assert [line.split(" ")[0] for line in found] == [
        "a.yaml:1:", "a.yaml:1:", "a.yaml:4:", "a.yaml:6:", "a.yaml:7:", "a.yaml:8:",
    ]  # fmt: skip


def test_what_people_say_stays_text() -> None:
    agent = parse_agent(
        BASE
        + "knowledge:\n"
        + "  - id: yes_no\n    ask: [yes, no, on, 12:30, 2026-01-02, 0123, 1_000, 1e3]\n"
        + "    answer: 12:30\n",
        "a.yaml",
    )
    said = ["yes", "no", "on", "12:30", "2026-01-02", "0123", "1_000", "1e3"]
    entry = agent.knowledge[0]
    assert entry.ask["en"] == said
    assert entry.answer["en"] == "12:30"


def test_a_language_called_no_is_norwegian() -> None:
    text = BASE.replace("[en]", "[no]").replace("Hello.", "{no: Hei.}")
    found = problems(text)
    assert all("has no text in no" in line for line in found)


def test_the_authors_own_keys_are_left_alone() -> None:
    schema = {
        "type": "object",
        "properties": {"ask": {"type": "string", "description": "done"}, "answer": {"enum": ["a", "b"]}},
        "required": ["ask"],
    }
    agent = parse_agent(
        BASE
        + "tools:\n"
        + "  - kind: webhook\n    name: book\n    description: Books.\n    url: http://127.0.0.1/x\n"
        + "    headers: {done: 'yes'}\n    parameters:\n"
        + "      type: object\n      required: [ask]\n      properties:\n"
        + "        ask: {type: string, description: done}\n        answer: {enum: [a, b]}\n"
        + "  - kind: transfer_call\n    targets: {confirm: 'sip:desk@example.com'}\n",
        "a.yaml",
    )
    webhook, transfer = agent.tools
    assert isinstance(webhook, WebhookTool)
    assert isinstance(transfer, TransferCallTool)
    assert webhook.parameters == schema
    assert webhook.headers == {"done": "yes"}
    assert transfer.targets == {"confirm": "sip:desk@example.com"}


def test_a_file_that_multiplies_itself_is_stopped() -> None:
    rows = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    rows += "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert problems(BASE + rows) == ["a.yaml:5: the file has too many values (aliases that multiply?)"]


def test_long_texts_that_multiply_are_not_printed() -> None:
    long = "x" * 100_000
    rows = f"unknown: &t {long}\nname: [{', '.join(['*t'] * 1000)}]\n"
    found = problems(BASE.replace("name: Reception\n", "") + rows)
    assert found == ["a.yaml:5: name: expected text, not a list"]


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("knowledge: &a [*a]", "a.yaml:5: is nested too deeply (an alias of itself?)"),
        (f"knowledge: {'[' * 3000}", "a.yaml:1: is nested too deeply"),
    ],
    ids=["alias of itself", "brackets"],
)
def test_a_file_without_a_bottom_is_stopped(added: str, expected: str) -> None:
    assert problems(f"{BASE}{added}\n") == [expected]


def test_tags_make_nothing_but_text() -> None:
    agent = parse_agent(BASE + "unknown: !!python/object/apply:os.getcwd 'ls'\n", "a.yaml")
    assert agent.unknown == {"en": "ls"}


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text("\ufeff" + BASE, encoding="utf-8")
    agent = load_agent(path)
    assert isinstance(agent, AgentFile)
    assert agent.name == "Reception"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name: A\ngreeting: Ol\xe9\n", "{path}:2: is not UTF-8 text; save the file as UTF-8"),
        (b"a: \xe2\x82\n", "{path}:1: is not UTF-8 text; save the file as UTF-8"),
        (
            b"# " + "é".encode() * MAX_BYTES,
            f"{{path}}:1: is larger than {MAX_BYTES} bytes, the most that is read",
        ),
    ],
    ids=["latin 1", "cut character", "huge"],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_bytes(content)
    with pytest.raises(AgentFileError) as caught:
        load_agent(path)
    assert caught.value.problems == [expected.format(path=path)]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentFileError, match=r"absent\.yaml: cannot be read: No such file"):
        load_agent(tmp_path / "absent.yaml")
    with pytest.raises(AgentFileError, match=r"cannot be read: Is a directory"):
        load_agent(tmp_path)
