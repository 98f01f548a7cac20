"""What callers mean, over the whole of the example agent, in English and Spanish."""

import random
from collections.abc import Iterator

import pytest

from agent.agentfile import load_agent
from agent.agentfile.schema import EndCallTool, TransferCallTool
from providers.embedded.intents import Intents, Kind
from providers.embedded.lexicon import lexicon, words

AGENT = load_agent()
INTENTS = Intents(AGENT)

PARAPHRASES = [
    ("en", "what are your hours", "hours"),
    ("en", "opening hours please", "hours"),
    ("en", "when do you open", "hours"),
    ("en", "when do you close today", "hours"),
    ("en", "are you open", "hours"),
    ("en", "are you open on monday", "hours"),
    ("en", "are you open tuesday", "hours"),
    ("en", "what are your hours on friday", "hours"),
    ("en", "what time do you open on wednesday", "hours"),
    ("en", "are you open on saturdays", "saturday"),
    ("en", "what are your saturday hours", "saturday"),
    ("en", "do you open on saturday", "saturday"),
    ("en", "are you open saturday", "saturday"),
    ("en", "are you open sunday", "sunday"),
    ("en", "what time do you open on sunday", "sunday"),
    ("en", "where is your clinic", "address"),
    ("en", "what's your address", "address"),
    ("en", "where are you guys located", "address"),
    ("en", "where's the clinic", "address"),
    ("en", "can you give me your address", "address"),
    ("en", "your location please", "address"),
    ("en", "how can i get there", "address"),
    ("en", "could you tell me where you are", "address"),
    ("en", "is there a car park", "parking"),
    ("en", "where do i park", "parking"),
    ("en", "can i park there", "parking"),
    ("en", "do you have parking", "parking"),
    ("en", "don't you have a car park", "parking"),
    ("en", "how much does a checkup cost", "price_checkup"),
    ("en", "how much for a check up", "price_checkup"),
    ("en", "what's the price of a check-up", "price_checkup"),
    ("en", "what does a check up cost", "price_checkup"),
    ("en", "cost of a vaccination", "price_vaccination"),
    ("en", "how much is a flu vaccine", "price_vaccination"),
    ("en", "how much is a flu shot", "price_vaccination"),
    ("en", "what do you charge for a consultation", "price_consultation"),
    ("en", "how much is an appointment", "price_consultation"),
    ("en", "what are your charges", "price_consultation"),
    ("en", "do you accept credit cards", "payment"),
    ("en", "can i pay with my card", "payment"),
    ("en", "can i pay cash", "payment"),
    ("en", "do you accept my insurance", "insurance"),
    ("en", "what insurance do you take", "insurance"),
    ("en", "do you take insurance", "insurance"),
    ("en", "who are the doctors", "doctors"),
    ("en", "i need to renew my prescription", "prescription"),
    ("en", "i need a repeat prescription", "prescription"),
    ("en", "when will i get my test results", "results"),
    ("en", "are my results ready", "results"),
    ("en", "my blood test results", "results"),
    ("en", "i've got chest pain", "emergency"),
    ("en", "it's an emergency", "emergency"),
    ("en", "i need an ambulance now", "emergency"),
    ("en", "what should i bring with me", "what_to_bring"),
    ("en", "which documents should i bring", "what_to_bring"),
    ("en", "can i make an appointment", "booking"),
    ("en", "i'd like to make an appointment please", "booking"),
    ("en", "i want to book an appointment for monday at ten", "booking"),
    ("en", "book an appointment", "booking"),
    ("en", "can i schedule an appointment", "booking"),
    ("en", "i need to see a doctor", "booking"),
    ("en", "i'd like to book a check up on tuesday", "booking"),
    ("en", "i need a vaccination", "booking"),
    ("en", "speak to a human", "transfer_call"),
    ("en", "talk to a real person please", "transfer_call"),
    ("en", "i want to talk to someone", "transfer_call"),
    ("en", "can i speak to a person", "transfer_call"),
    ("en", "let me talk to an operator", "transfer_call"),
    ("en", "no i want to speak to a person", "transfer_call"),
    ("en", "a person please", "transfer_call"),
    ("en", "put me through to a person", "transfer_call"),
    ("en", "okay goodbye", "end_call"),
    ("en", "thank you bye", "end_call"),
    ("en", "thanks goodbye", "end_call"),
    ("en", "good bye", "end_call"),
    ("en", "bye now", "end_call"),
    ("en", "no that is all", "end_call"),
    ("en", "that's all thanks", "end_call"),
    ("en", "no thank you that is all goodbye", "end_call"),
    ("en", "thank you very much", "thanks"),
    ("en", "hello", "greeting"),
    ("en", "hi there", "greeting"),
    ("en", "what are your opening hours and where are you", "hours,address"),
    ("en", "Hello. What are your opening hours? And where can I park?", "hours,parking"),
    ("en", "my friend told me to ask what are your opening hours", "hours"),
    ("en", "hello i just moved here and i wanted to know where is the clinic", "address"),
    ("en", "what are you're opening ours", "hours"),
    ("en", "what are your opening our", "hours"),
    ("en", "wear are you", "address"),
    ("en", "what opening hours", "hours"),
    ("en", "how much check up", "price_checkup"),
    ("en", "is their parking", "parking"),
    ("en", "can i pay buy card", "payment"),
    ("en", "what is the prize of a vaccination", "price_vaccination"),
    ("en", "what are your opening hours on sunday", "sunday"),
    ("en", "are you open on sun day", "sunday"),
    ("en", "how much is a consultashun", "price_consultation"),
    ("en", "how do i renew my perscription", "prescription"),
    ("en", "open", "hours"),
    ("en", "how much", "price_consultation"),
    ("en", "by the way where are you", "address"),
    ("en", "what do you do", "help"),
    ("es", "horario por favor", "hours"),
    ("es", "cual es su horario", "hours"),
    ("es", "cuándo están abiertos", "hours"),
    ("es", "cuál es el horario", "hours"),
    ("es", "abren el lunes", "hours"),
    ("es", "abren los sabados", "saturday"),
    ("es", "están abiertos el sábado", "saturday"),
    ("es", "abren el domingo", "sunday"),
    ("es", "están abiertos los domingos", "sunday"),
    ("es", "cual es la direccion", "address"),
    ("es", "dónde está situada la clínica", "address"),
    ("es", "me puede decir su dirección", "address"),
    ("es", "cómo puedo llegar", "address"),
    ("es", "tienen aparcamiento", "parking"),
    ("es", "hay parking", "parking"),
    ("es", "dónde se puede aparcar", "parking"),
    ("es", "cuánto cuesta el chequeo", "price_checkup"),
    ("es", "cuál es el precio de un chequeo", "price_checkup"),
    ("es", "cuánto vale una vacuna", "price_vaccination"),
    ("es", "cuánto cuesta la consulta", "price_consultation"),
    ("es", "precio de la consulta", "price_consultation"),
    ("es", "puedo pagar en efectivo", "payment"),
    ("es", "aceptan tarjeta", "payment"),
    ("es", "aceptan seguros", "insurance"),
    ("es", "quién es el médico", "doctors"),
    ("es", "necesito renovar una receta", "prescription"),
    ("es", "me duele mucho el pecho", "emergency"),
    ("es", "qué documentos tengo que llevar", "what_to_bring"),
    ("es", "quiero una cita", "booking"),
    ("es", "quisiera pedir cita", "booking"),
    ("es", "quiero reservar una cita para el lunes", "booking"),
    ("es", "necesito ver a un doctor", "booking"),
    ("es", "quiero una vacuna", "booking"),
    ("es", "quiero hablar con alguien", "transfer_call"),
    ("es", "puedo hablar con una persona", "transfer_call"),
    ("es", "adios gracias", "end_call"),
    ("es", "muchas gracias adiós", "end_call"),
    ("es", "hasta luego", "end_call"),
    ("es", "cuál es su horario y dónde están", "hours,address"),
]
STRANGERS = [
    ("en", "how much is it to see a doctor"),
    ("en", "how much is a colonoscopy"),
    ("en", "how much is a haircut"),
    ("en", "how much is parking"),
    ("en", "what time is it"),
    ("en", "what is your name"),
    ("en", "who are you"),
    ("en", "are you a robot"),
    ("en", "where is the bathroom"),
    ("en", "where can i buy aspirin"),
    ("en", "is there a pharmacy"),
    ("en", "do you have a swimming pool"),
    ("en", "what are your opening hours on christmas day"),
    ("en", "are you open tomorrow"),
    ("en", "are you open on christmas"),
    ("en", "i do not want to book an appointment"),
    ("en", "i don't want an appointment"),
    ("en", "i want to cancel my appointment"),
    ("en", "can i change my appointment"),
    ("en", "can i move my appointment to friday"),
    ("en", "i don't want to speak to a person"),
    ("en", "this is not an emergency"),
    ("en", "i don't have chest pain"),
    ("en", "i do not need an ambulance"),
    ("en", "how long does a check up take"),
    ("en", "how old is the doctor"),
    ("en", "are the doctors good"),
    ("en", "can the doctor call me"),
    ("en", "what medicine should i take for a headache"),
    ("en", "should i take an aspirin"),
    ("en", "do you sell vitamins"),
    ("en", "can i bring my dog"),
    ("en", "do you treat animals"),
    ("en", "who is the president"),
    ("en", "tell me a joke"),
    ("en", "parking monday goodbye price doctor"),
    ("en", "of the you to can is"),
    ("en", "card river hours person doctor saturday vaccination"),
    ("en", "time the price open insurance street doctor"),
    ("en", "open sunday pay doctor results bring"),
    ("en", "book street number is hours what"),
    ("en", "yes no maybe the card"),
    ("en", "the"),
    ("en", "you"),
    ("en", "is that all"),
    ("en", "are you done"),
    ("en", "bye the card"),
    ("en", "i was hit by a bus"),
    ("en", "sixty dollars is too much"),
    ("en", "can i get a refund"),
    ("en", "how do i get a refund"),
    ("en", "do you take children"),
    ("en", "who do i complain to"),
    ("en", "is the doctor in"),
    ("en", "do you have a website"),
    ("en", "what is your phone number"),
    ("en", "what is your email address"),
    ("en", "can you send me the address"),
    ("en", "when is my appointment"),
    ("en", "when is doctor lopez there"),
    ("en", "is doctor martin there on monday"),
    ("en", "do you work with dogs"),
    ("en", "how are you"),
    ("en", "i lost my insurance card"),
    ("en", "where do i pay"),
    ("es", "es una urgencia"),
    ("es", "qué hora es"),
    ("es", "no quiero una cita"),
    ("es", "quiero cancelar mi cita"),
    ("es", "no es una emergencia"),
    ("es", "cuánto cuesta una radiografía"),
    ("es", "dónde está el baño"),
    ("es", "tienen página web"),
    ("es", "abren en navidad"),
    ("es", "abren mañana"),
    ("es", "sábado precio médico adiós aparcar"),
    ("es", "de la que un es"),
    ("es", "cómo se llama"),
    ("es", "cómo está usted"),
    ("es", "dónde puedo comprar pan"),
    ("es", "quién es el presidente"),
]
FILLERS = {"en": "um uh the a so well to and please".split(), "es": "eh pues el la de y bueno".split()}


def wanted(text: str, language: str) -> list[str]:
    return [intent.id for intent in INTENTS.heard(text, language).intents]


def ways_to_ask() -> Iterator[tuple[str, str, str]]:
    """Language, phrase and id of all that the example agent can be asked."""
    for entry in AGENT.knowledge:
        for language, asks in entry.ask.items():
            yield from ((language, ask, entry.id) for ask in asks)
    for dialogue in AGENT.dialogues:
        for language, starts in dialogue.start.items():
            yield from ((language, start, dialogue.id) for start in starts)
    for tool in AGENT.tools:
        if isinstance(tool, EndCallTool | TransferCallTool):
            for language, asks in tool.ask.items():
                yield from ((language, ask, tool.name) for ask in asks)


@pytest.mark.parametrize(("language", "ask", "name"), list(ways_to_ask()))
def test_every_way_to_ask_is_understood(language: str, ask: str, name: str) -> None:
    filler = {"en": ("um {} please", "okay {}"), "es": ("eh {} por favor", "bueno {}")}[language]
    for said in (ask, f"{ask[0].upper()}{ask[1:]}?", *(each.format(ask) for each in filler)):
        assert wanted(said, language) == [name], said


@pytest.mark.parametrize(("language", "text", "names"), PARAPHRASES)
def test_a_paraphrase_is_understood(language: str, text: str, names: str) -> None:
    assert wanted(text, language) == names.split(",")


@pytest.mark.parametrize(("language", "text"), STRANGERS)
def test_what_the_agent_does_not_know_is_not_answered(language: str, text: str) -> None:
    assert wanted(text, language) == []


@pytest.mark.parametrize("language", AGENT.languages)
def test_recognition_noise_never_leads_to_a_wrong_answer(language: str) -> None:
    """Small words lost, put in, stuttered: 19 of 20 are still understood, none as something else."""
    noise = random.Random(7)
    tried = understood = 0
    for entry in AGENT.knowledge:
        for ask in entry.ask[language]:
            for _ in range(10):
                said = _noisy(ask, language, noise)
                names = wanted(said, language)
                assert names in ([], [entry.id]), said
                tried += 1
                understood += bool(names)
    assert understood / tried > 0.95


@pytest.mark.parametrize("language", AGENT.languages)
def test_word_salad_is_not_answered(language: str) -> None:
    """Six to ten of the agent's own words at random. A few say by chance what somebody would ask."""
    dice = random.Random(7)
    vocabulary = sorted({word for tag, ask, _ in ways_to_ask() if tag == language for word in words(ask)})
    answered = sum(
        bool(wanted(" ".join(dice.choices(vocabulary, k=dice.randint(6, 10))), language)) for _ in range(300)
    )
    assert answered <= 9


def test_two_questions_in_one_breath_are_both_heard_and_a_goodbye_comes_last() -> None:
    assert wanted("goodbye and where can i park", "en") == ["parking", "end_call"]
    assert wanted("Thanks. Where are you? And what are your opening hours?", "en") == ["address", "hours"]


def test_what_stands_beside_a_question_is_kept() -> None:
    heard = INTENTS.heard("tuesday and where can i park", "en")
    assert [intent.id for intent in heard.intents] == ["parking"]
    assert heard.rest == "tuesday"
    assert heard.first(Kind.START) is None


def test_a_wish_for_another_language_is_heard_in_either_language() -> None:
    assert INTENTS.wanted_language("Can we speak Spanish, please?", "en") == "es"
    assert INTENTS.wanted_language("¿Habla español?", "en") == "es"
    assert INTENTS.wanted_language("en inglés por favor", "es") == "en"
    assert INTENTS.wanted_language("in english please", "en") is None
    assert (
        INTENTS.wanted_language("do you happen to have the new form for patients in spanish too", "en")
        is None
    )


def test_a_caller_who_simply_speaks_the_other_language_is_noticed() -> None:
    assert INTENTS.spoken_language("¿Cuál es su horario?", "en") == "es"
    assert INTENTS.spoken_language("what are your opening hours", "es") == "en"
    assert INTENTS.spoken_language("what are your opening hours", "en") is None
    assert INTENTS.spoken_language("quel temps fait-il", "en") is None


def _noisy(ask: str, language: str, noise: random.Random) -> str:
    said = words(ask)
    light = [at for at, word in enumerate(said) if word in lexicon(language).light]
    if light and noise.random() < 0.8:
        said.pop(noise.choice(light))
    if noise.random() < 0.8:
        said.insert(noise.randrange(len(said) + 1), noise.choice(FILLERS[language]))
    if noise.random() < 0.3:
        at = noise.randrange(len(said))
        said.insert(at, said[at])
    return " ".join(said)
