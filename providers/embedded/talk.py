"""What the embedded responder says and understands besides the agent file, by language. English, Spanish."""

from providers.embedded.lexicon import primary

SMALL_TALK: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "en": {
        "greeting": (
            ("hello", "hi", "hi there", "hello there", "good morning", "good afternoon", "good evening"),
            "Hello! How can I help you?",
        ),
        "thanks": (
            (
                "thank you",
                "thanks",
                "thank you very much",
                "thanks a lot",
                "great thank you",
                "okay thank you",
            ),
            "You are welcome. Is there anything else?",
        ),
        "repeat": (
            (
                "repeat that please",
                "say that again please",
                "pardon",
                "what did you say",
                "can you repeat that",
                "sorry what was that",
                "repeat",
                "once more please",
                "excuse me",
                "can you say that again",
            ),
            "",
        ),
        "help": (
            (
                "what can you do",
                "help",
                "help me",
                "what can i ask",
                "can you help me",
                "how can you help me",
            ),
            "",
        ),
        "wait": (
            ("wait", "one moment", "just a moment", "hold on", "one moment please", "wait a moment", "stop"),
            "Of course, take your time.",
        ),
        "question": (
            ("i have a question", "can i ask you something", "i have got a question"),
            "Of course. Go ahead.",
        ),
    },
    "es": {
        "greeting": (
            ("hola", "buenos días", "buenas tardes", "buenas noches"),
            "¡Hola! ¿En qué puedo ayudarle?",
        ),
        "thanks": (("gracias", "muchas gracias", "vale gracias"), "De nada. ¿Desea algo más?"),
        "repeat": (
            ("repita por favor", "cómo dice", "puede repetir", "puede repetirlo", "perdón cómo", "repita"),
            "",
        ),
        "help": (
            ("qué puede hacer", "ayuda", "me puede ayudar", "puede ayudarme", "qué puedo preguntar"),
            "",
        ),
        "wait": (("espere", "un momento", "espere un momento", "un momento por favor"), "Claro, sin prisa."),
        "question": (("tengo una pregunta", "puedo hacerle una pregunta"), "Claro, dígame."),
    },
}
"""Ways to say it, and the answer; empty where the responder works it out."""
_SHORT: dict[str, dict[str, str]] = {
    "en": {
        "yes": "What can I do for you?",
        "no": "All right. Is there anything else?",
        "offer": "Shall I put you through to a person?",
        "again": "Sorry, I did not catch that.",
        "change": "What should I change?",
        "rest": "Please go on.",
        "examples": "You can ask me, for example: {examples}?",
        "joint": ", or: ",
    },
    "es": {
        "yes": "¿Qué puedo hacer por usted?",
        "no": "De acuerdo. ¿Desea algo más?",
        "offer": "¿Le paso con una persona?",
        "again": "Perdone, no le he entendido.",
        "change": "¿Qué desea cambiar?",
        "rest": "Continúe, por favor.",
        "examples": "Puede preguntarme, por ejemplo: ¿{examples}?",
        "joint": ", o: ",
    },
}
ELSE = {"en": ("anything else", "what else"), "es": ("algo más", "qué más")}
"""In the agent's last question: a no to it means that the caller is done."""
ASKS_LANGUAGE = {
    "en": ("speak english", "english please", "in english", "ingles", "talk english"),
    "es": ("speak spanish", "spanish please", "in spanish", "espanol", "talk spanish", "castellano"),
}
"""Folded words by which a caller asks for a language, in whichever language."""


def short(language: str, key: str) -> str:
    """A short sentence, in English where the language has none."""
    return _SHORT.get(primary(language), _SHORT["en"])[key]
