from pathlib import Path

import pytest

from agent.agentfile import parse_agent
from agent.clock import LoopClock
from loadtest.bulk.first_word import lost_ms
from loadtest.bulk.speech import PCMU
from loadtest.scenarios.schema import Profile, Providers
from loadtest.scenarios.services import FAST_DELAYS, Services, make_services
from tests.loadtest.fakes import tone


async def services(tmp_path: Path, profile: Profile, *, spare: bool = False, **more: object) -> Services:
    speech = tmp_path / "agent.ulaw"
    speech.write_bytes(b"".join(PCMU.encode([tone(1_000)])))
    wanted = Providers(profile=profile, spare=spare, **more)  # type: ignore[arg-type]  # by name
    return await make_services(wanted, LoopClock(), speech)


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("spare", [False, True])
async def test_the_agent_file_is_right_and_chains_the_spares(
    tmp_path: Path, profile: Profile, spare: bool
) -> None:
    found = await services(tmp_path, profile, spare=spare)
    providers = parse_agent(found.agent, "load.yaml").providers
    names = [choice.provider for chain in (providers.stt, providers.llm, providers.tts) for choice in chain]
    own = ["deepgram", "openai", "cartesia"] if profile.value.endswith("vendors") else ["stub"] * 3
    twice = spare and profile is not Profile.INPROCESS
    assert names == [name for name in own for _ in range(1 + twice)]
    assert len(found.children) == (0 if profile is Profile.INPROCESS else 1 + twice)
    assert len({port for child in found.children for port in child.ports}) == sum(
        len(child.ports) for child in found.children
    )
    for child in found.children:
        await child.stop()


async def test_the_voice_of_the_stubs_is_known(tmp_path: Path) -> None:
    found = await services(tmp_path, Profile.INPROCESS)
    heard = b"".join(PCMU.encode([tone(600)]))
    assert lost_ms(heard, PCMU, found.replies) == 0.0
    assert found.pace_ms is not None


async def test_simulated_vendors_can_be_made_faster(tmp_path: Path) -> None:
    delay = "openai.first_token=groq.gpt-oss-120b.first_token"
    found = await services(tmp_path, Profile.VENDORS, delays=[delay])
    assert found.primary is not None
    assert ("--delay", delay) == found.primary._arguments[-2:]
    assert found.pace_ms is None, "drawn, not fixed"
    await found.primary.stop()


async def test_fast_vendors_have_the_quickest_model_unless_told_otherwise(tmp_path: Path) -> None:
    delay = "openai.first_token=none"
    found = await services(tmp_path, Profile.FAST_VENDORS, delays=[delay])
    assert found.primary is not None
    told = [each for each in found.primary._arguments if "=" in each]
    assert told == [*FAST_DELAYS, delay], "the last one counts"
    await found.primary.stop()
