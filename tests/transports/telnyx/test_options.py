"""What the operator can set."""

import pytest

from agent.audio.formats import G722_16K, PCMA_8K, PCMU_8K, AudioFormat, linear
from agent.errors import ConfigError
from agent.settings import Settings
from tests.transports.telnyx.fakes import PUBLIC_KEY
from transports.telnyx.options import ByteOrderChoice, TelnyxOptions


def options(**environ: str) -> TelnyxOptions:
    return TelnyxOptions.from_settings(Settings(environ=environ))


def test_nothing_set() -> None:
    assert options() == TelnyxOptions()
    assert options().outbound == PCMU_8K


@pytest.mark.parametrize(
    ("codec", "rate", "expected"),
    [
        ("PCMU", "", PCMU_8K),
        ("pcma", "8000", PCMA_8K),
        ("G722", "16000", G722_16K),
        ("L16", "", linear(16000)),
        ("L16", "8000", linear(8000)),
    ],
)
def test_codecs(codec: str, rate: str, expected: AudioFormat) -> None:
    found = options(PARLEY_TELNYX_CODEC=codec, PARLEY_TELNYX_SAMPLE_RATE=rate)
    assert found.outbound == expected


def test_everything_set() -> None:
    found = options(
        TELNYX_PUBLIC_KEY=f"{PUBLIC_KEY}, {PUBLIC_KEY}",
        TELNYX_API_KEY="KEY",
        PARLEY_TELNYX_L16_BYTE_ORDER="Detect",
        PARLEY_TELNYX_API_URL="http://127.0.0.1:1/v2/",
        PARLEY_TELNYX_TEXML_SECRET="0123456789abcdef",
        PARLEY_TELNYX_TEXML_NETWORKS="192.76.120.128/29, 10.0.0.1",
    )
    assert len(found.public_keys) == 2
    assert len(found.public_keys[0]) == 32
    assert found.byte_order is ByteOrderChoice.DETECT
    assert found.api_url == "http://127.0.0.1:1/v2"
    assert [str(network) for network in found.texml_networks] == ["192.76.120.128/29", "10.0.0.1/32"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TELNYX_PUBLIC_KEY", "KEY0123", "TELNYX_PUBLIC_KEY: expected the public key"),
        ("TELNYX_PUBLIC_KEY", "AAAA", "TELNYX_API_KEY"),
        ("PARLEY_TELNYX_CODEC", "OPUS", "not one of PCMU, PCMA, G722, L16"),
        ("PARLEY_TELNYX_SAMPLE_RATE", "fast", "not a number"),
        ("PARLEY_TELNYX_SAMPLE_RATE", "16000", "not a rate of PCMU: use 8000"),
        ("PARLEY_TELNYX_L16_BYTE_ORDER", "middle", "little, big, detect"),
        ("PARLEY_TELNYX_API_URL", "api.telnyx.com", "http"),
        ("PARLEY_TELNYX_TEXML_SECRET", "short", "16 to 128"),
        ("PARLEY_TELNYX_TEXML_NETWORKS", "telnyx", "telnyx"),
        ("PARLEY_TELNYX_TEXML_NETWORKS", "10.0.0.0/8", "nothing without"),
        ("PARLEY_TELNYX_CODEK", "PCMU", "no such setting: PARLEY_TELNYX_CODEK"),
    ],
)
def test_mistakes_are_named(name: str, value: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        options(**{name: value})
    assert name in str(caught.value)


def test_a_secret_is_never_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        options(PARLEY_TELNYX_TEXML_SECRET="hunter2")
    assert "hunter2" not in str(caught.value)
    shown = repr(options(TELNYX_API_KEY="hunter2", PARLEY_TELNYX_TEXML_SECRET="hunter2hunter2hunter2"))
    assert "hunter2" not in shown


def test_l16_has_only_the_rates_that_all_parts_take() -> None:
    with pytest.raises(ConfigError, match="use 8000 or 16000"):
        options(PARLEY_TELNYX_CODEC="L16", PARLEY_TELNYX_SAMPLE_RATE="24000")
