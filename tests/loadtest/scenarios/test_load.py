from pathlib import Path

import pytest

from loadtest.scenarios.load import MAX_BYTES, ScenarioError, load_scenario, names, parse_scenario

GOOD = """name: mine
summary: A test.
callers:
  via: [telnyx-media/PCMA]
steps:
  - {calls: 3, seconds: 10}
criteria:
  barge_in_p95_ms: null
  recovery_s: 10
"""


@pytest.mark.parametrize("name", names())
def test_every_scenario_that_ships_can_be_read_and_is_named_like_its_file(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.limits, "each names its pass criteria"


def test_the_projects_scenarios_are_there() -> None:
    wanted = {"baseline", "ramp-up", "sustained", "spike", "soak", "chaos", "capacity", "relay-10k"}
    assert wanted <= set(names())


def test_defaults_hold_unless_switched_off_or_replaced() -> None:
    limits = parse_scenario(GOOD, "mine.yaml").limits
    assert limits["voice_to_voice_p50_ms"] == 840
    assert limits["recovery_s"] == 10
    assert "barge_in_p95_ms" not in limits


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "calls: 3",
            "calls: 0",
            "mine.yaml:6: steps.0.calls: input should be greater than or equal to 1, not 0",
        ),
        ("calls: 3", "cals: 3", r"mine.yaml:6: steps.0.cals: is not a key here \(did you mean calls\?\)"),
        ("calls: 3", "calls: many", "mine.yaml:6: steps.0.calls: .* not 'many'"),
        ("telnyx-media/PCMA", "skype", "mine.yaml:4: callers.via.0: 'skype' is not allowed; allowed: twilio"),
        (
            "telnyx-media/PCMA",
            "twilio-relay, twilio-media",
            "mine.yaml:4: callers.via: twilio-relay cannot be mixed",
        ),
        ("telnyx-media/PCMA", "webrtc, twilio-media", "mine.yaml:4: callers.via: webrtc cannot be mixed"),
        (
            "telnyx-media/PCMA",
            "telnyx-media, telnyx-media/L16",
            "mine.yaml:4: callers.via: a server sends one Telnyx codec",
        ),
        ("recovery_s: 10", "speed: 10", "mine.yaml:7: criteria: speed is not known; allowed: added_p95_ms"),
        ("summary: A test.", "", "summary: is missing"),
        (
            "steps:\n  - {calls: 3, seconds: 10}",
            "steps: []",
            "mine.yaml:5: steps: give either steps or search",
        ),
        ("name: mine", "name: My Test", "mine.yaml:1: name: "),
        ("name: mine", "name: [", "mine.yaml:.*is not YAML"),
        ("criteria:", "events: [{at_s: 1, do: dance}]\ncriteria:", "events.0.do: 'dance' is not allowed"),
        (
            "criteria:",
            "events:\n  - {at_s: 5, do: kill_server}\n  - {at_s: 1, do: kill_server}\ncriteria:",
            "events: put them in the order of at_s",
        ),
        (
            "criteria:",
            "events: [{at_s: 10, do: kill_server}]\ncriteria:",
            "mine.yaml:7: events: at_s 10 is behind the end of the steps, 10 s",
        ),
        (
            "criteria:",
            "providers: {profile: inprocess}\nevents: [{at_s: 1, do: stall_providers}]\ncriteria:",
            "mine.yaml:8: events: providers that are inside the server can be neither",
        ),
        (
            "criteria:",
            "providers: {profile: vendors, delays: [openai.first_token=nope]}\ncriteria:",
            "mine.yaml:7: providers.delays: no profile named 'nope': use one of ",
        ),
        ("recovery_s: 10", "recovery_s: -1", "mine.yaml:9: criteria.recovery_s: .* not -1"),
    ],
)
def test_a_mistake_names_line_and_field(old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    with pytest.raises(ScenarioError, match=complaint):
        parse_scenario(GOOD.replace(old, new), "mine.yaml")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("calls: 3", "calls: 0, colour: red").replace("name: mine", "name: M")
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, "mine.yaml")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[1] for line in lines] == ["1", "6", "6"]


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    assert load_scenario(str(path)).steps[0].calls == 3


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"did you mean baseline\?.*or a file.yaml"):
        load_scenario("basline")
    with pytest.raises(ScenarioError, match=r"none\.yaml: cannot be read: No such file"):
        load_scenario(str(tmp_path / "none.yaml"))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="not UTF-8"):
        load_scenario(str(binary))
    huge = tmp_path / "huge.yaml"
    huge.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(ScenarioError, match="is larger"):
        load_scenario(str(huge))
