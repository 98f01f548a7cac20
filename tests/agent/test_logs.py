"""Log lines, and what is taken out of them."""

import json
import logging

import pytest

from agent.errors import ConfigError
from agent.logs import JsonFormatter, RecentProblems, TextFormatter, log_level, redact, set_up


def line(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("agent.call", logging.WARNING, "call.py", 1, message, arguments, None)
    vars(record).update(extra)
    return record


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no route to +44 20 7946 0958", "no route to <number>"),
        ("from +15551234567.", "from <number>."),
        ("call (555) 123-4567 back", "call <number> back"),
        ("sip:alice@example.com refused", "<address> refused"),
        ("mail to jo.doe+x@mail.example.org", "mail to <address>"),
        ("listening on 127.0.0.1:9464", "listening on 127.0.0.1:9464"),
        ("at 2026-11-21 08:26", "at 2026-11-21 08:26"),
        ("call 4f1a62840584 ended", "call 4f1a62840584 ended"),
        ("blocked for 12345 ms, 10.0.12.134", "blocked for 12345 ms, 10.0.12.134"),
        ("CA0123456789abcdef0123456789abcdef", "CA0123456789abcdef0123456789abcdef"),
    ],
)
def test_numbers_and_addresses_of_people_are_taken_out(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_line_of_json_has_the_ids_of_call_and_turn() -> None:
    found = json.loads(
        JsonFormatter().format(line("call %s: no answer from %s", "ab12", "+15551234567", turn=3))
    )
    assert found["call"] == "ab12"
    assert found["turn"] == 3
    assert found["message"] == "call ab12: no answer from <number>"
    assert (found["level"], found["logger"]) == ("warning", "agent.call")
    assert found["at"].endswith("Z")


def test_a_line_without_a_call_has_no_id() -> None:
    assert "call" not in json.loads(JsonFormatter().format(line("ready")))


def test_tracebacks_are_redacted_too() -> None:
    record = line("failed")
    try:
        raise ValueError("+15551234567")  # noqa: TRY301
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    found = json.loads(JsonFormatter().format(record))
    assert "ValueError: <number>" in found["error"]
    assert "5551234567" not in TextFormatter().format(record)


def test_an_operator_may_see_all() -> None:
    assert "+15551234567" in TextFormatter(personal=True).format(line("to +15551234567"))
    assert "+15551234567" in JsonFormatter(personal=True).format(line("to +15551234567"))


def test_the_last_problems_are_kept_and_no_more() -> None:
    problems = RecentProblems(size=2)
    logger = logging.Logger("agent.x")  # noqa: LOG001  # one that nobody else has
    logger.addHandler(problems)
    logger.info("not a problem")
    for number in range(3):
        logger.warning("call %s: %d", "ab12", number)
    assert [(note.number, note.text, note.call) for note in problems.noted] == [
        (2, "call ab12: 1", "ab12"), (3, "call ab12: 2", "ab12"),
    ]  # fmt: skip
    assert problems.count == 3


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(("environ", "shown"), [({}, False), ({"PARLEY_LOG_PERSONAL": "1"}, True)])
def test_numbers_are_in_the_log_only_where_that_is_switched_on(
    form: str, environ: dict[str, str], shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    set_up({"PARLEY_LOG_FORMAT": form, **environ})
    (handler,) = logging.root.handlers
    assert ("5551234567" in handler.format(line("to +15551234567"))) is shown


def test_wrong_settings_are_explained() -> None:
    with pytest.raises(ConfigError, match="DEBUG, INFO"):
        log_level({"PARLEY_LOG_LEVEL": "loud"})
    with pytest.raises(ConfigError, match="text or json"):
        set_up({"PARLEY_LOG_FORMAT": "xml"})
    assert log_level({}) == logging.INFO
