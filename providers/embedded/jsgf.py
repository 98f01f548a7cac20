"""The grammar of what callers may say, in JSGF, made from an agent file's phrases. Pure.

Recognition without a grammar is unusable on telephone audio with the stock model. A
garbage loop of bare phones, to reject what fits no sentence, made decoding slower than the audio, so there is
none: a stranger's sentence may come out as one that was expected.
"""

import re
from collections.abc import Callable, Iterable

WEIGHTED = "/100/ <phrase> | /10/ <answer> | /3/ <time> | /3/ <date> | /0.001/ <number>"
"""Loops of short words fit almost any sound: they have to pay for it."""

_BUILT_IN = {
    "digit": "zero | oh | one | two | three | four | five | six | seven | eight | nine",
    "day": "monday | tuesday | wednesday | thursday | friday | saturday | sunday | tomorrow",
    "month": "january | february | march | april | may | june | july | august | september | october | november "
    "| december",
    "ordinal": "first | second | third | fourth | fifth | sixth | seventh | eighth | ninth | tenth | eleventh | "
    "twelfth | thirteenth | fourteenth | fifteenth | sixteenth | seventeenth | eighteenth | nineteenth | "
    "twentieth | twenty first | twenty second | twenty third | twenty fourth | twenty fifth | twenty sixth | "
    "twenty seventh | twenty eighth | twenty ninth | thirtieth | thirty first",
    "hour": "one | two | three | four | five | six | seven | eight | nine | ten | eleven | twelve",
    "minute": "ten | fifteen | twenty | thirty | forty | forty five | fifty",
    "time": "[at] (half past <hour> | quarter past <hour> | quarter to <hour> | <hour> o'clock | "
    "<hour> <minute> | <hour> | noon) [in the morning | in the afternoon]",
    "number": "<digit> <digit> (<digit>)+",
    "date": "[on] [the] <ordinal> of <month> | [on] [next] <day>",
    "answer": "yes | no | yes please | no thank you | yeah | sure | correct | that's right | yes on <day> | "
    "no on <day> | no at <time>",
}


def make_grammar(phrases: Iterable[str], knows: Callable[[str], bool]) -> tuple[str, list[str]]:
    """JSGF for `phrases` and what every caller says; and the phrases left out for words that the
    dictionary (`knows`) does not have.
    """
    usable: dict[str, None] = {}
    left_out: list[str] = []
    for phrase in phrases:
        words = re.findall(r"[a-z']+", phrase.casefold())
        if words and all(knows(word) for word in words):
            usable[" ".join(words)] = None
        else:
            left_out.append(phrase)
    rules = [f"<{name}> = {body};" for name, body in _BUILT_IN.items()]
    rules.append(f"<phrase> = {' | '.join(usable) or 'yes'};")
    rules.append(f"<sentence> = {WEIGHTED};")
    rules.append("public <turn> = <sentence>;")
    return "#JSGF V1.0;\ngrammar calls;\n" + "\n".join(rules) + "\n", left_out
