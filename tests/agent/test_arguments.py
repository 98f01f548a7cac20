"""A model's arguments against a tool's JSON schema."""

from typing import Any

import pytest

from agent.arguments import misfit

BOOKING = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "enum": ["Monday", "Tuesday"]},
        "people": {"type": "integer", "minimum": 1, "maximum": 9},
        "phone": {"type": ["string", "null"], "pattern": "^[0-9]+$", "minLength": 3, "maxLength": 7},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "where": {"type": "object", "properties": {"room": {"type": "number"}}, "required": ["room"]},
        "sure": {"type": "boolean"},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "kind": {"const": "visit"},
    },
    "required": ["day"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "more",
    [
        {}, {"people": 1}, {"people": 9.0}, {"phone": None}, {"phone": "1234567"}, {"tags": ["a", "b"]},
        {"where": {"room": 1.5, "floor": "any"}}, {"sure": False}, {"share": 0.5}, {"kind": "visit"},
    ],
)  # fmt: skip
def test_what_fits_is_let_through(more: dict[str, Any]) -> None:
    assert misfit(BOOKING, {"day": "Monday", **more}) is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "day is missing"),
        ({"day": "Sunday"}, "day must be one of Monday, Tuesday"),
        ({"day": 1}, "day must be string"),
        ({"day": "Monday", "people": "2"}, "people must be integer"),
        ({"day": "Monday", "people": 1.5}, "people must be integer"),
        ({"day": "Monday", "people": True}, "people must be integer"),
        ({"day": "Monday", "people": 0}, "people must be 1 or more"),
        ({"day": "Monday", "people": 10}, "people must be 9 or less"),
        ({"day": "Monday", "phone": 5}, "phone must be string or null"),
        ({"day": "Monday", "phone": "12"}, "phone must have 3 or more characters"),
        ({"day": "Monday", "phone": "12345678"}, "phone must have 7 characters or less"),
        ({"day": "Monday", "phone": "12a"}, "phone must match ^[0-9]+$"),
        ({"day": "Monday", "tags": []}, "tags must have 1 or more items"),
        ({"day": "Monday", "tags": ["a", "b", "c"]}, "tags must have 2 items or less"),
        ({"day": "Monday", "tags": ["a", 5]}, "tags[1] must be string"),
        ({"day": "Monday", "where": {}}, "where.room is missing"),
        ({"day": "Monday", "where": {"room": "x"}}, "where.room must be number"),
        ({"day": "Monday", "sure": 1}, "sure must be boolean"),
        ({"day": "Monday", "share": 0}, "share must be more than 0"),
        ({"day": "Monday", "share": 1}, "share must be less than 1"),
        ({"day": "Monday", "kind": "call"}, "kind must be visit"),
        (
            {"day": "Monday", "hour": 5},
            "hour is not known; allowed: day, people, phone, tags, where, sure, share, kind",
        ),
        ([], "the arguments must be object"),
    ],
)
def test_the_first_misfit_is_said_in_words(arguments: Any, expected: str) -> None:
    assert misfit(BOOKING, arguments) == expected


def test_other_properties_may_have_a_schema_of_their_own() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    assert misfit(schema, {"a": "b"}) is None
    assert misfit(schema, {"a": 1}) == "a must be string"


def test_unknown_keywords_and_types_allow_everything() -> None:
    assert misfit({"type": "fancy", "format": "date", "$comment": "x"}, {"a": 1}) is None
    assert misfit({}, {"a": [None]}) is None
