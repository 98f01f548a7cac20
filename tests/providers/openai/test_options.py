"""What may stand in the agent file, and what is said of mistakes."""

from typing import Any

import pytest

from agent.errors import ConfigError
from providers.openai.options import DEFAULT_BASE, DEFAULT_MODEL, Options, default_effort


def test_without_anything_it_is_openai() -> None:
    options = Options.read({}, {})
    assert (options.base_url, options.model, options.key_name) == (
        DEFAULT_BASE,
        DEFAULT_MODEL,
        "OPENAI_API_KEY",
    )
    assert options.official
    assert options.parameters == {}


def test_the_agent_file_goes_before_the_environment_and_parleys_name_before_the_vendors() -> None:
    environ = {
        "PARLEY_OPENAI_BASE_URL": "http://one/v1/",
        "OPENAI_BASE_URL": "http://two/v1",
        "PARLEY_OPENAI_MODEL": "m1",
    }
    options = Options.read({}, environ)
    assert (options.base_url, options.model, options.official) == ("http://one/v1", "m1", False)
    options = Options.read({"base_url": "http://three/v1", "model": "m2"}, environ)
    assert (options.base_url, options.model) == ("http://three/v1", "m2")
    assert Options.read({}, {"OPENAI_BASE_URL": "http://two/v1"}).base_url == "http://two/v1"
    assert Options.read({}, {"OPENAI_BASE_URL": " "}).base_url == DEFAULT_BASE


def test_parameters_are_collected_and_a_servers_own_are_passed_on() -> None:
    options = Options.read(
        {
            "temperature": 0.3, "seed": 0, "stop": ["\n"], "parallel_tool_calls": False, "verbosity": "low",
            "extra": {"chat_template_kwargs": {"enable_thinking": False}},
        },
        {},
    )  # fmt: skip
    assert options.parameters == {
        "temperature": 0.3,
        "seed": 0,
        "stop": ["\n"],
        "parallel_tool_calls": False,
        "verbosity": "low",
        "chat_template_kwargs": {"enable_thinking": False},
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"temprature": 1}, "no option 'temprature': use .*temperature"),
        ({"temperature": 3}, "temperature is a number from 0 to 2"),
        ({"temperature": True}, "temperature is a number"),
        ({"max_tokens": 0}, "max_tokens is a whole number, 1 or more"),
        ({"max_tokens": 1.5}, "max_tokens is a whole number"),
        ({"model": ""}, "model is text"),
        ({"model": 4}, "model is text"),
        ({"base_url": "localhost:8000"}, "base_url 'localhost:8000': expected https://host/v1"),
        ({"stop": [1]}, "stop is a text or a list"),
        ({"keep_warm": "yes"}, "keep_warm is true or false"),
        ({"timeout_ms": 5}, "timeout_ms is a number from 500"),
        ({"extra": {"messages": []}}, "not messages"),
        ({"extra": []}, "extra is a mapping"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Options.read(given, {})


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-4.1", None),
        ("gpt-4o-mini", None),
        ("gpt-5", "minimal"),
        ("gpt-5-mini-2025-08-07", "minimal"),
        ("gpt-5.2", "none"),
        ("gpt-5.6-luna", "none"),
        ("gpt-6-sol", "none"),
        ("openai/gpt-6-luna", "none"),
        ("gpt-5-chat-latest", None),
        ("o4-mini", "low"),
        ("gpt-oss-120b", None),
        ("llama-3.3-70b", None),
        ("qwen3.8-27b", None),
    ],
)
def test_models_that_reason_are_asked_for_as_little_as_they_take(model: str, effort: str | None) -> None:
    assert default_effort(model) == effort
