"""The page's pure modules, run where they live: in a browser."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from tests.transports.webrtc_page.fake_server import PAGE

SITE = "http://modules.test"


async def serve(route: Route) -> None:
    """What the page is made of, from disk; and an empty document."""
    name = route.request.url.removeprefix(f"{SITE}/page/")
    if name.endswith(".js"):
        await route.fulfill(path=PAGE / name)
    else:
        await route.fulfill(body="", content_type="text/html")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(connection: Browser) -> AsyncIterator[Page]:
    """One for all: pure functions leave nothing behind."""
    page = await connection.new_page()
    await page.route(f"{SITE}/**", serve)
    await page.goto(SITE)
    yield page
    await page.close()


async def run(page: Page, module: str, body: str, *arguments: Any) -> Any:
    """The value of `body`, in which `m` is the module and `args` the arguments."""
    script = f"async (args) => {{ const m = await import('/page/{module}.js'); {body} }}"
    return await page.evaluate(script, list(arguments))


async def entries(page: Page, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    body = "const t = new m.Transcript(); for (const each of args) t.apply(each); return t.entries;"
    return list(await run(page, "transcript", body, *messages))


def caller(text: str, final: bool = True) -> dict[str, Any]:
    return {"type": "caller", "text": text, "final": final}


def agent(turn: int, text: str) -> dict[str, Any]:
    return {"type": "agent", "turn": turn, "text": text, "kind": "speech"}


def heard(turn: int, text: str, done: bool = False, interrupted: bool = False) -> dict[str, Any]:
    return {"type": "heard", "turn": turn, "text": text, "done": done, "interrupted": interrupted}


async def test_a_partial_transcript_grows_into_the_final_one(page: Page) -> None:
    [entry] = await entries(
        page, caller("when", False), caller("when are", False), caller("When are you open?")
    )
    assert (entry["text"], entry["final"]) == ("When are you open?", True)


async def test_a_sound_that_was_no_words_leaves_nothing(page: Page) -> None:
    assert await entries(page, caller("hm", False), caller("")) == []


async def test_both_halves_of_a_question_become_one_turn_when_nothing_was_heard_in_between(
    page: Page,
) -> None:
    made = await entries(
        page,
        caller("when are you open"),
        agent(1, "From nine to five."),
        caller("when are you open on sunday"),
    )
    assert [(each["who"], each["text"]) for each in made] == [("caller", "when are you open on sunday")]


async def test_words_after_an_answer_was_heard_are_a_new_turn(page: Page) -> None:
    made = await entries(
        page, caller("when"), agent(1, "From nine to five."), heard(1, "From nine"), caller("when on sunday")
    )
    assert [each["who"] for each in made] == ["caller", "agent", "caller"]


async def test_the_server_telling_of_typed_words_does_not_double_them(page: Page) -> None:
    body = "const t = new m.Transcript(); t.typed('where are you'); t.apply(args[0]); return t.entries;"
    [entry] = await run(page, "transcript", body, caller("where are you"))
    assert entry["typed"] is True


async def test_an_interrupted_reply_keeps_what_was_heard(page: Page) -> None:
    [entry] = await entries(
        page, agent(1, "We are open from nine to five."), heard(1, "We are open", True, True)
    )
    assert (entry["heard"], entry["interrupted"]) == ("We are open", True)


async def test_a_reply_heard_to_its_end_is_heard_as_written(page: Page) -> None:
    [entry] = await entries(page, agent(1, "At 12 River Street."), heard(1, "At 12 River", done=True))
    assert entry["heard"] == "At 12 River Street."


async def test_turns_of_a_new_call_do_not_touch_those_of_the_lost_one(page: Page) -> None:
    made = await entries(
        page,
        {"type": "hello", "call": "a"},
        agent(1, "Hello."),
        {"type": "hello", "call": "b"},
        agent(1, "Hello again."),
    )
    assert [each.get("text") or each.get("key") for each in made] == ["Hello.", "noteNewCall", "Hello again."]


async def test_a_call_that_goes_on_after_a_reconnection_keeps_its_turns(page: Page) -> None:
    made = await entries(
        page,
        {"type": "hello", "call": "a"},
        agent(1, "Hello"),
        {"type": "hello", "call": "a"},
        agent(1, "Hello there."),
    )
    assert [each["text"] for each in made] == ["Hello there."]


@pytest.mark.parametrize(
    ("text", "said", "expected"),
    [
        ("We are open.", "We are", ["We are", " open."]),
        ("We  are open.", "We are", ["We  are", " open."]),
        ("We are open.", "", ["", "We are open."]),
        ("We are open.", "We are open.", ["We are open.", ""]),
        ("Twelve dollars.", "12", ["Twelve", " dollars."]),
    ],
)
async def test_a_reply_is_cut_after_the_last_heard_word(
    page: Page, text: str, said: str, expected: list[str]
) -> None:
    assert await run(page, "transcript", "return m.splitHeard(...args)", text, said) == expected


async def test_entries_are_bounded(page: Page) -> None:
    body = """
    const t = new m.Transcript();
    for (let n = 0; n < 1000; n++) t.note({ text: `${n}` });
    return t.entries;
    """
    made = await run(page, "transcript", body)
    assert len(made) == 400
    assert made[-1]["text"] == "999"


STAGES = {
    "endpointing": 300,
    "stt_final": 40,
    "llm_first_sentence": 120,
    "tts_first_audio": 80,
    "added": 2,
    "response": 542,
}


async def fall(page: Page, *arguments: Any) -> dict[str, Any]:
    return dict(await run(page, "latency", "return m.waterfall(...args)", *arguments))


async def test_a_turns_stages_follow_each_other(page: Page) -> None:
    made = await fall(page, STAGES)
    assert [(row["key"], row["startMs"], row["ms"]) for row in made["rows"]] == [
        ("endpointing", 0, 300), ("stt", 300, 40), ("llm", 340, 120), ("tts", 460, 80), ("added", 540, 2),
    ]  # fmt: skip
    assert made["totalMs"] == 542


async def test_network_and_playback_come_on_top_of_the_servers_response(page: Page) -> None:
    made = await fall(page, STAGES, {"rtt_ms": 30, "jitter_buffer_ms": 40, "l9_output_ms": 10})
    assert [(row["key"], row["startMs"], row["ms"]) for row in made["rows"][-2:]] == [
        ("network", 542, 30),
        ("playback", 572, 50),
    ]
    assert made["totalMs"] == 622


async def test_a_reply_made_ahead_overlaps_with_the_wait_for_the_endpoint(page: Page) -> None:
    made = await fall(
        page, {"endpointing": 300, "llm_first_sentence": 200, "tts_first_audio": 80, "response": 320}
    )
    assert [(row["key"], row["startMs"]) for row in made["rows"]] == [
        ("endpointing", 0),
        ("llm", 40),
        ("tts", 240),
    ]
    assert made["totalMs"] == 320


async def test_an_answer_from_the_cache_has_no_model(page: Page) -> None:
    made = await fall(page, {"endpointing": 300, "cache": 3, "response": 303}, {}, {"cache": "exact"})
    assert [row["key"] for row in made["rows"]] == ["endpointing", "cache"]


@pytest.mark.parametrize(
    ("stages", "providers", "ms"),
    [
        ({"endpointing": 300, "cache": 0.0, "response": 300}, {"cache": "exact"}, 0),
        # What the budget action `cached_reply` answers with is told as a provider's name.
        ({"endpointing": 300, "llm_first_sentence": 150, "response": 450}, {"llm": "stored"}, 150),
    ],
)
async def test_an_answer_that_no_model_wrote_is_shown_as_such(
    page: Page, stages: dict[str, float], providers: dict[str, str], ms: float
) -> None:
    made = await fall(page, stages, {}, providers)
    assert [(row["key"], row["ms"]) for row in made["rows"]] == [("endpointing", 300), ("cache", ms)]


async def test_figures_that_are_none_make_no_rows(page: Page) -> None:
    assert (await fall(page, {"endpointing": None, "stt_final": -1, "response": None}))["rows"] == []


ANSWERS = """
const timer = new m.AnswerTimer();
const found = [];
for (const [from, to, caller, agent] of args) {
  for (let ms = from; ms < to; ms += 10) {
    const waited = timer.feed(ms, caller, agent);
    if (waited !== null) found.push(waited);
  }
}
return found;
"""


async def test_the_wait_is_from_the_callers_last_sound_to_the_agents_first(page: Page) -> None:
    waited = await run(
        page, "latency", ANSWERS,
        (0, 1000, 0.6, 0), (1000, 1600, 0, 0), (1600, 3000, 0, 0.6), (3000, 4000, 0, 0),
    )  # fmt: skip
    assert waited == [610]


async def test_a_greeting_has_nothing_to_wait_for(page: Page) -> None:
    assert await run(page, "latency", ANSWERS, (0, 500, 0, 0), (500, 2000, 0, 0.6)) == []


async def test_a_click_is_no_answer(page: Page) -> None:
    waited = await run(
        page,
        "latency",
        ANSWERS,
        (0, 1000, 0.6, 0),
        (1000, 1200, 0, 0),
        (1200, 1220, 0, 0.6),
        (1220, 2000, 0, 0),
    )
    assert waited == []


OFFER = "\r\n".join([
    "v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=ice-ufrag:old1", "a=ice-pwd:oldpassword", "a=mid:0",
    "a=candidate:1 1 udp 1 192.0.2.1 4000 typ host", "a=end-of-candidates",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=ice-ufrag:old1", "a=ice-pwd:oldpassword",
    "a=mid:1", "",
])  # fmt: skip


async def test_a_fragment_names_the_first_media_section_and_its_credentials(page: Page) -> None:
    made = await run(
        page,
        "sdpfrag",
        "return m.fragment(...args)",
        OFFER,
        ["candidate:2 1 udp 1 192.0.2.1 5000 typ host"],
        True,
    )
    assert made.split("\r\n") == [
        "a=group:BUNDLE 0 1", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=ice-ufrag:old1",
        "a=ice-pwd:oldpassword", "a=candidate:2 1 udp 1 192.0.2.1 5000 typ host", "a=end-of-candidates", "",
    ]  # fmt: skip


async def test_a_restart_replaces_credentials_everywhere_and_candidates_once(page: Page) -> None:
    restart = "\r\n".join([
        "a=ice-lite", "a=ice-ufrag:new1", "a=ice-pwd:newpassword", "m=audio 9 RTP/AVP 0", "a=mid:0",
        "a=candidate:3 1 udp 1 192.0.2.9 6000 typ host", "",
    ])  # fmt: skip
    made = str(await run(page, "sdpfrag", "return m.restarted(...args)", OFFER, restart)).split("\r\n")
    assert made.count("a=ice-ufrag:new1") == made.count("a=ice-pwd:newpassword") == 2
    assert [line for line in made if "candidate" in line] == [
        "a=candidate:3 1 udp 1 192.0.2.9 6000 typ host",
        "a=end-of-candidates",
    ]
    assert not any("old" in line for line in made)


async def test_candidates_are_those_of_the_first_media_section(page: Page) -> None:
    two = f"{OFFER}a=candidate:9 1 udp 1 192.0.2.1 7000 typ host\r\n"
    assert await run(page, "sdpfrag", "return m.candidates(...args)", two) == [
        "candidate:1 1 udp 1 192.0.2.1 4000 typ host"
    ]


async def test_a_restart_without_credentials_is_none(page: Page) -> None:
    assert await run(page, "sdpfrag", "return m.restarted(...args)", OFFER, "a=mid:0\r\n") is None


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "7", "{", '{"type":"bye"}', '{"v":2,"type":"bye"}', '{"v":1,"type":"nonsense"}',
        '{"v":1,"type":"toString"}', '{"v":1,"type":"heard","turn":"1","text":"x"}',
        '{"v":1,"type":"latency","turn":1,"stages_ms":null}',
        json.dumps({"v": 1, "type": "error", "text": "x" * 20_000}),
    ],
)  # fmt: skip
async def test_messages_of_no_known_shape_are_ignored(page: Page, text: str) -> None:
    assert await run(page, "messages", "return m.parse(args[0])", text) is None


async def test_unknown_fields_are_no_reason_to_ignore_a_message(page: Page) -> None:
    assert await run(page, "messages", "return m.parse(args[0])", '{"v":1,"type":"bye","new":true}') == {
        "v": 1, "type": "bye", "new": True,
    }  # fmt: skip


async def test_every_language_has_words_for_everything_on_the_page(page: Page) -> None:
    body = """
    const load = (name) => import(`/page/strings-${name}.js`);
    const tables = await Promise.all(["en", "es", "fr", "de"].map(load));
    const [english, ...others] = tables.map((table) => Object.keys(table.default));
    const without = (some, others) => some.filter((key) => !others.includes(key));
    return others.map((keys) => [without(english, keys), without(keys, english)]);
    """
    assert await run(page, "strings", body) == [[[], []]] * 3


async def test_a_language_without_words_of_its_own_is_served_in_english(page: Page) -> None:
    assert await run(page, "strings", "return m.strings('tlh', 'es-MX').language") == "es"
    assert await run(page, "strings", "return m.strings('tlh').language") == "en"
    assert await run(page, "strings", "return m.languageName('es', ['en', 'es'])") == "Español"
