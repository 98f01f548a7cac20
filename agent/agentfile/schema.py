"""The agent file: what an agent is, as its author writes it in YAML.

`agent.agentfile.load` reads one; every mistake in it becomes one line that names file, line and what is
allowed. The models here are frozen: an agent file does not change during a call.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Localized = dict[str, str]
"""Text by language. In the file also a plain string, which stands for the first language."""

LocalizedPhrases = dict[str, list[str]]
"""Lists of phrases by language. In the file also a plain list, which stands for the first language."""

Text = Annotated[str, Field(min_length=1)]

ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]
"""What every model service takes as a function's name."""


class Model(BaseModel):
    """Base of all sections: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Voice(Model):
    """How the agent sounds in one language."""

    name: str | None = None
    """The speech provider's own voice name."""
    speed: Annotated[float, Field(ge=0.5, le=2.0)] = 1.0


class Phrases(Model):
    """What the agent says by itself, by language. Each has a default in English, Spanish, French, German."""

    reprompt: Localized
    """Said when the caller has been silent for `turns.reprompt_ms`."""
    silence_goodbye: Localized
    """Said before hanging up on a caller who stays silent."""
    time_goodbye: Localized
    """Said before hanging up at `limits.max_call_s`."""
    apology: Localized
    """The honest sentence when no provider can answer."""
    not_understood: Localized
    """Said when speech was heard but no words were understood."""
    transferring: Localized
    """Said before handing over to a person, if the model said nothing."""
    goodbye: Localized
    """Said before `end_call` hangs up, if the model said nothing."""


class KnowledgeEntry(Model):
    """Several ways to ask, one answer."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    ask: LocalizedPhrases
    answer: Localized


SlotKind = Literal["choice", "weekday", "date", "time", "number", "digits", "yes_no", "name", "email", "text"]


class DialogueSlot(Model):
    """One thing to find out in a dialogue."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    kind: SlotKind
    ask: Localized
    choices: LocalizedPhrases | None = None
    """For `choice`: what may be answered."""
    digits: Annotated[int, Field(ge=1, le=32)] | None = None
    """For `digits`: how many; the turn ends at once when they are complete."""


class Dialogue(Model):
    """A small form that the agent fills by asking, such as a booking."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    start: LocalizedPhrases
    """What a caller says to start it."""
    slots: Annotated[list[DialogueSlot], Field(min_length=1)]
    confirm: Localized
    """Read back with `{slot}` place-holders, asking for yes or no."""
    done: Localized
    cancelled: Localized
    tool: str | None = None
    """A webhook tool called with the slots once confirmed."""


class EndCallTool(Model):
    """Lets the agent hang up after its goodbye was heard."""

    kind: Literal["end_call"]
    name: ToolName = "end_call"
    description: Text = "End the call after saying goodbye."
    ask: LocalizedPhrases = {}
    """What a caller says to end the call (used by the embedded responder and its recogniser)."""


class TransferCallTool(Model):
    """Lets the agent hand the caller to a person."""

    kind: Literal["transfer_call"]
    name: ToolName = "transfer_call"
    description: Text = "Hand the caller over to a person."
    targets: Annotated[dict[str, str], Field(min_length=1)]
    """Name to E.164 number or SIP URI; the first is the default."""
    ask: LocalizedPhrases = {}


class WebhookTool(Model):
    """Calls an HTTP endpoint of the agent's owner with JSON arguments.

    Its JSON or text answer goes to the model.
    """

    kind: Literal["webhook"]
    name: ToolName
    description: Text
    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+\S*$")]
    method: Literal["GET", "POST"] = "POST"
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON schema of the arguments."""
    headers: dict[str, str] = {}
    """Values may name environment variables as `${NAME}`."""
    read_only: bool = False
    """True: no effects, so it may run before the turn is certain, and may be cancelled and run again."""
    timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000


Tool = Annotated[EndCallTool | TransferCallTool | WebhookTool, Field(discriminator="kind")]


class ProviderChoice(BaseModel):
    """One provider of a chain: its entry point's name and its own options. In the file also a plain name."""

    model_config = ConfigDict(extra="allow", frozen=True)

    provider: Text

    @property
    def options(self) -> dict[str, Any]:
        """The provider's own keys."""
        return dict(self.model_extra or {})


class Providers(Model):
    """Chains: the first provider is used, the next one when it fails."""

    stt: Annotated[list[ProviderChoice], Field(min_length=1)] = [ProviderChoice(provider="embedded")]
    llm: Annotated[list[ProviderChoice], Field(min_length=1)] = [ProviderChoice(provider="embedded")]
    tts: Annotated[list[ProviderChoice], Field(min_length=1)] = [ProviderChoice(provider="embedded")]


Ms = Annotated[int, Field(ge=100, le=600_000)]
"""A bound on a wait. Below 100 ms no service answers, so every call would fail."""


class Turns(Model):
    """Turn taking: one place for every transport and model. All milliseconds."""

    barge_in_ms: Annotated[int, Field(ge=40, le=2_000)] = 100
    """Voiced audio that stops the agent. Lower reacts to coughs, higher talks over the caller."""
    barge_in: bool = True
    """False: the agent is never interrupted."""
    false_interruption_ms: Annotated[int, Field(ge=200, le=5_000)] = 700
    """Silence after an interruption without words until the agent resumes."""
    min_silence_ms: Annotated[int, Field(ge=100, le=3_000)] = 300
    """Silence that ends a turn whose words are complete."""
    silence_ms: Annotated[int, Field(ge=100, le=5_000)] = 600
    """Silence that ends a turn otherwise."""
    max_silence_ms: Annotated[int, Field(ge=200, le=10_000)] = 1_500
    """Silence that ends a turn while a number or an e-mail is being spelled, or a sentence hangs."""
    max_turn_ms: Annotated[int, Field(ge=2_000, le=600_000)] = 30_000
    """Longest turn: then it is answered, whatever is still heard (hold music must not hang a call)."""
    reprompt_ms: Annotated[int, Field(ge=1_000, le=120_000)] = 8_000
    """Silence of both sides until the agent asks again."""
    max_reprompts: Annotated[int, Field(ge=0, le=10)] = 2
    """Reprompts without an answer until the agent says goodbye and hangs up."""
    dtmf_timeout_ms: Annotated[int, Field(ge=200, le=10_000)] = 2_000
    """Pause after a key until the keys pressed so far are taken as a turn; `#` ends it at once."""


class Limits(Model):
    """Bounds on one call."""

    max_call_s: Annotated[int, Field(ge=10, le=86_400)] = 3_600
    max_reply_s: Annotated[int, Field(ge=5, le=600)] = 120
    max_tool_rounds: Annotated[int, Field(ge=1, le=20)] = 5
    llm_first_token_ms: Ms = 5_000
    tts_first_audio_ms: Ms = 3_000
    stt_open_ms: Ms = 3_000
    stt_final_ms: Annotated[int, Field(ge=0, le=600_000)] = 800
    """Longest wait for the final transcript after the end of speech; then the partial is used."""


class Budget(Model):
    """How long a stage of a turn may last, and what is done once it has lasted longer."""

    ms: Annotated[int, Field(ge=20, le=60_000)]
    """From the stage's beginning (`agent.metrics.names`); the stage may go on after that, up to its limit."""
    action: str = "none"
    """`none`: it is counted and shown, no more."""


class ResponseBudget(Budget):
    """Of a whole turn: last voiced sample in, to first sound of the reply."""

    action: Literal["none", "filler"] = "none"


class STTBudget(Budget):
    """Of the final transcript. There is no filler here: before it nobody knows that words were said."""

    action: Literal["none", "next_provider"] = "none"


class LLMBudget(Budget):
    """Of the first token."""

    action: Literal["none", "filler", "smaller_model", "cached_reply", "next_provider"] = "none"


class TTSBudget(Budget):
    """Of the first audio. There is no filler here: its own audio would come no sooner."""

    action: Literal["none", "next_provider"] = "none"


class Budgets(Model):
    """Latency budgets by stage, with what is done when one is blown. In the file also a plain number of ms.

    `agent.budgets` keeps them.
    """

    stt_final: STTBudget | None = None
    llm_first_token: LLMBudget | None = None
    tts_first_audio: TTSBudget | None = None
    response: ResponseBudget | None = None
    fillers: LocalizedPhrases = {}
    """What is said meanwhile, in turns. Has defaults in English, Spanish, French, German."""
    smaller_model: ProviderChoice | None = None
    """Who answers instead by the action `smaller_model`."""

    def all(self) -> dict[str, Budget]:
        """The budgets there are, by stage (a value of `agent.latency.Stage`)."""
        given = {
            "stt_final": self.stt_final,
            "llm_first_token": self.llm_first_token,
            "tts_first_audio": self.tts_first_audio,
            "response": self.response,
        }
        return {stage: budget for stage, budget in given.items() if budget is not None}


class AgentFile(Model):
    """An agent: persona, knowledge, tools, providers and manners."""

    name: Text
    languages: Annotated[list[str], Field(min_length=1)]
    """BCP 47 tags; the first is spoken first."""
    voices: dict[str, Voice] = {}
    """By language."""
    greeting: Localized
    instructions: Text
    """The model's system prompt."""
    phrases: Phrases
    knowledge: list[KnowledgeEntry] = []
    dialogues: list[Dialogue] = []
    unknown: Localized
    """The embedded responder's honest answer to what it does not know."""
    tools: list[Tool] = []
    providers: Providers = Providers()
    turns: Turns = Turns()
    limits: Limits = Limits()
    budgets: Budgets = Budgets()

    @property
    def language(self) -> str:
        """The language that calls start in."""
        return self.languages[0]
