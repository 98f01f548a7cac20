"""What agents say by themselves unless their file says it otherwise, by primary language."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

PHRASES: dict[str, dict[str, str]] = {
    "reprompt": {
        "en": "Are you still there? How can I help you?",
        "es": "¿Sigue ahí? ¿En qué puedo ayudarle?",
        "fr": "Êtes-vous toujours là ? Comment puis-je vous aider ?",
        "de": "Sind Sie noch da? Wie kann ich Ihnen helfen?",
    },
    "silence_goodbye": {
        "en": "I cannot hear you, so I will hang up now. Please call again. Goodbye.",
        "es": "No le oigo, así que voy a colgar. Llámenos de nuevo. Adiós.",
        "fr": "Je ne vous entends pas, je vais donc raccrocher. Rappelez-nous. Au revoir.",
        "de": "Ich höre Sie nicht und lege jetzt auf. Rufen Sie gern wieder an. Auf Wiederhören.",
    },
    "time_goodbye": {
        "en": "We have reached the time limit of this call. Please call again. Goodbye.",
        "es": "Hemos llegado al límite de tiempo de esta llamada. Llámenos de nuevo. Adiós.",
        "fr": "Nous avons atteint la durée maximale de cet appel. Rappelez-nous. Au revoir.",
        "de": "Die Höchstdauer dieses Anrufs ist erreicht. Rufen Sie gern wieder an. Auf Wiederhören.",
    },
    "apology": {
        "en": "I am sorry, I cannot answer that right now. Please try again in a moment.",
        "es": "Lo siento, ahora mismo no puedo responder. Inténtelo de nuevo en un momento.",
        "fr": "Je suis désolé, je ne peux pas répondre pour le moment. Réessayez dans un instant.",
        "de": "Es tut mir leid, ich kann gerade nicht antworten. Bitte versuchen Sie es gleich noch einmal.",
    },
    "not_understood": {
        "en": "Sorry, I did not catch that.",
        "es": "Perdone, no le he entendido.",
        "fr": "Pardon, je n'ai pas compris.",
        "de": "Entschuldigung, das habe ich nicht verstanden.",
    },
    "transferring": {
        "en": "One moment, I will put you through to a person.",
        "es": "Un momento, le paso con una persona.",
        "fr": "Un instant, je vous passe quelqu'un.",
        "de": "Einen Moment, ich verbinde Sie mit einem Menschen.",
    },
    "goodbye": {
        "en": "Thank you for calling. Goodbye.",
        "es": "Gracias por llamar. Adiós.",
        "fr": "Merci de votre appel. Au revoir.",
        "de": "Danke für Ihren Anruf. Auf Wiederhören.",
    },
}

UNKNOWN: dict[str, str] = {
    "en": "I am sorry, I do not know that. You can ask me something else, or ask for a person.",
    "es": "Lo siento, eso no lo sé. Puede preguntarme otra cosa o pedir hablar con una persona.",
    "fr": "Je suis désolé, je ne sais pas. Posez-moi une autre question, ou demandez à parler à quelqu'un.",
    "de": "Das weiß ich leider nicht. Fragen Sie mich etwas anderes, oder verlangen Sie einen Menschen.",
}

FILLERS: dict[str, list[str]] = {
    "en": ["One moment, please.", "Let me check that for you.", "Just a second."],
    "es": ["Un momento, por favor.", "Déjeme que lo compruebe.", "Un segundo."],
    "fr": ["Un instant, s'il vous plaît.", "Je vérifie cela pour vous.", "Une petite seconde."],
    "de": ["Einen Moment, bitte.", "Ich sehe gleich nach.", "Eine Sekunde."],
}
"""Said while an answer is late: short, and true whatever the answer will be."""


def default_text(texts: Mapping[str, T], language: str) -> T | None:
    """The text, or texts, for a BCP 47 tag, by its primary language."""
    return texts.get(language.split("-", maxsplit=1)[0].casefold())
