"""What callers say to any agent: yes, no, small words, days, dates, times and numbers.

English only, since the acoustic model that ships with pocketsphinx is. Each list is a set of alternatives;
`providers.embedded.grammar` puts them together.
"""

DIGITS = ("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ONES = DIGITS[2:]
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december",
)  # fmt: skip
_ORDINAL_ONES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
ORDINALS = (
    *_ORDINAL_ONES,
    "tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
    "eighteenth", "nineteenth", "twentieth", "thirtieth", "thirty first",
    *(f"twenty {ordinal}" for ordinal in _ORDINAL_ONES),
)  # fmt: skip
HOURS = (*ONES, "ten", "eleven", "twelve")
MINUTES = (
    "oh five", "ten", "fifteen", "twenty", "twenty five", "thirty", "thirty five", "forty", "forty five",
    "fifty", "fifty five",
)  # fmt: skip
CARDINALS = (
    *TEENS,
    *TENS,
    *(f"{ten} {one}" for ten in TENS for one in ONES),
    "a hundred", "one hundred", "two hundred", "three hundred", "five hundred", "a thousand",
)  # fmt: skip

YES = (
    "yes", "yeah", "yep", "sure", "okay", "alright", "all right", "correct", "of course", "absolutely",
    "definitely", "please do", "yes please", "yes i do", "yes it is", "sounds good", "perfect", "great",
    "exactly", "certainly", "i do", "uh huh", "that's right", "that's correct", "that's fine", "that works",
)  # fmt: skip
NO = (
    "no", "nope", "no thanks", "no thank you", "not really", "not now", "not today", "no i don't", "incorrect",
    "not at all", "that's wrong", "that's not right", "neither", "i don't know", "i'm not sure",
)  # fmt: skip
SMALL_TALK = (
    "hello", "hi", "good morning", "good afternoon", "good evening", "how are you", "thank you", "thanks",
    "goodbye", "bye", "bye bye", "thanks bye", "that's all", "that's all thank you", "nothing else",
    "can you repeat that", "say that again", "pardon", "what did you say", "hold on", "one moment",
    "wait a moment", "start over", "never mind", "help",
)  # fmt: skip

WHEN = (
    "today", "tonight", "tomorrow", "tomorrow morning", "tomorrow afternoon", "the day after tomorrow",
    "this week", "next week", "next month", "this morning", "this afternoon", "this evening",
    "in the morning", "in the afternoon", "in the evening", "any time", "as soon as possible",
)  # fmt: skip
DAY_PREFIXES = ("on", "next", "this")
DAY_PARTS = ("morning", "afternoon", "evening")
TIME_PREFIXES = ("at", "about", "around")
TIME_BEFORE_HOUR = (
    "half past", "quarter past", "quarter to", "a quarter past", "a quarter to", "five past", "ten past",
    "twenty past", "five to", "ten to", "twenty to",
)  # fmt: skip
TIME_AFTER_HOUR = ("o'clock", "a m", "p m", "in the morning", "in the afternoon", "in the evening")
MERIDIEM = ("a m", "p m")
FIXED_TIMES = ("noon", "midday", "midnight")

OPENERS = (
    "um", "uh", "well", "so", "okay", "hi", "hello", "hey", "good morning", "good afternoon", "yes", "no",
    "yeah", "sorry", "excuse me", "hi there", "actually", "i think", "please",
)  # fmt: skip
"""May come before anything."""
LEAD_INS = (
    "can you tell me", "could you tell me", "can you please tell me", "please tell me", "tell me",
    "i'd like to know", "i want to know", "i wanted to know", "i was wondering", "do you know", "can i ask",
)  # fmt: skip
"""May come before a question."""
CLOSERS = ("please", "thank you", "thanks", "then", "today")
"""May come after anything."""
HESITATIONS = frozenset(("um", "uh"))
"""Recognised, so that they do no harm, and left out of transcripts."""

OTHER_LANGUAGES = {
    "es": ("sí", "no", "sí por favor", "no gracias", "gracias", "adiós", "hola", "buenos días", "vale"),
    "fr": ("oui", "non", "oui merci", "non merci", "merci", "au revoir", "bonjour", "d'accord"),
    "de": ("ja", "nein", "ja bitte", "nein danke", "danke", "auf wiederhören", "hallo", "guten tag"),
}
"""The little that is known of other languages, by primary subtag."""


def number_words(number: int) -> str:
    """0 to 99 as spoken in English. Raises `ValueError` beyond."""
    if not 0 <= number <= 99:
        raise ValueError(f"{number} is not 0 to 99")
    if number < 10:
        return "zero" if number == 0 else ONES[number - 1]
    if number < 20:
        return TEENS[number - 10]
    ten = TENS[number // 10 - 2]
    return ten if number % 10 == 0 else f"{ten} {ONES[number % 10 - 1]}"
