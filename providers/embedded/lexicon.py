"""Words as the embedded responder compares them: folded, brought to one form, synonyms made one. Pure.

The tables hold what people say to any front desk, not what one agent file is about. English and Spanish; for
other languages words are folded and compared as they are.
"""

import re
import unicodedata
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_HALF_DAY = re.compile(r"(?:(?<=\d)|\b)([ap])(?:\. ?m\b\.?|(?<=\d[ap])m\b)")
"""How "a.m." and "9am" are written: one word, apart from the number."""
_WHOLE_FORMS = {"can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not"}
_ENDINGS = {"n't": "not", "'re": "are", "'m": "am", "'ve": "have", "'ll": "will", "'d": "would", "'s": "is"}


@dataclass(frozen=True, slots=True)
class Lexicon:
    """One language's tables. All words folded."""

    light: frozenset[str]
    """Carry little meaning: a recogniser may lose or add them."""
    courtesy: frozenset[str]
    """Mean nothing to a question: dropped."""
    negations: frozenset[str]
    days: tuple[str, ...]
    """Monday first."""
    when: frozenset[str]
    """Other words for a day: never to be confused with one another."""
    numbers: frozenset[str]
    times: frozenset[str]
    """What goes with a time of day."""
    until: frozenset[str]
    """Between the ends of a range of days."""
    pairs: dict[tuple[str, str], str]
    """Two words that mean the same as one."""
    synonyms: dict[str, str]
    suffixes: tuple[str, ...]
    """Endings that one word may have and another not, longest first."""

    @property
    def heads(self) -> frozenset[str]:
        """The forms that synonyms are brought to."""
        return frozenset(self.synonyms.values()) | frozenset(self.pairs.values())


def _groups(text: str) -> dict[str, str]:
    """Lines of words; each means its first."""
    lines = [line.split() for line in text.strip().splitlines()]
    return {word: line[0] for line in lines for word in line[1:]}


def _pairs(text: str) -> dict[tuple[str, str], str]:
    """Lines of two words and what they mean."""
    lines = [line.split() for line in text.strip().splitlines()]
    return {(first, second): meaning for first, second, meaning in lines}


ENGLISH = Lexicon(
    light=frozenset(
        "a an the is are am was were be been do does did i you we they it he she my your our me us them "
        "to of for "
        "in on at and or so this that these those there with by from up as if can could would will "
        "shall should "
        "may might want like need wish have has had got get give some any all about just here now then "
        "what which how let "
        "their his her its "
        "im id".split()
    ),
    courtesy=frozenset(
        "um uh er erm hm hmm mhm ah oh hi hello hey please thanks thank sorry excuse okay ok well yeah "
        "yes sure "
        "alright kindly maybe perhaps actually basically wondering wonder know tell question quick quickly "
        "ask sir madam miss exactly really again also too".split()
    ),
    negations=frozenset("not no never without none nobody neither nor".split()),
    days=("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    when=frozenset(
        "today tomorrow yesterday tonight weekend weekday holiday holidays christmas easter "
        "thanksgiving".split()
    ),
    numbers=frozenset(
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred".split()
    ),
    times=frozenset(
        "am pm oclock o'clock morning afternoon evening half past quarter noon midday around next".split()
    ),
    until=frozenset(("to", "till", "until", "through")),
    pairs=_pairs(
        """
        how much price
        very much thanks
        which hours hours
        what hours hours
        car park parking
        check up checkup
        flu shot vaccination
        flu jab vaccination
        credit card card
        debit card card
        bank card card
        real person person
        human being person
        real human person
        set up book
        good bye bye
        see you bye
        """
    ),
    synonyms=_groups(
        """
        price cost charge fee pricing rate much
        when time
        address location located situated directions
        parking park
        person human somebody someone anybody anyone representative operator receptionist staff people
        speak talk chat
        transfer connect
        book make schedule arrange reserve
        appointment booking reservation
        doctor physician doc
        vaccination vaccine jab immunization immunisation vaccinate
        pay payment paying
        take accept
        bye goodbye
        work deal
        """
    ),
    suffixes=("ings", "ing", "ies", "ed", "es", "er", "e", "s", "y"),
)
SPANISH = Lexicon(
    light=frozenset(
        "el la los las un una unos unas de del al a en y o que mi su sus tu me le les se lo nos por "
        "para con es "
        "esta estan son hay he ha han yo usted ustedes ser tener tiene tengo quiero quisiera querria "
        "puedo puede "
        "podria pueden deseo desea necesito gustaria como cual cuales cuanto cuantos ahi aqui ya muy si "
        "este eso esto".split()
    ),
    courtesy=frozenset(
        "eh em este pues bueno hola gracias favor disculpe perdone perdon oiga oye vale ok buenas buenos "
        "muchas mucha decir decirme digame saber pregunta exactamente tambien senor senora senorita".split()
    ),
    negations=frozenset("no nunca jamas sin ningun ninguna nadie tampoco".split()),
    days=("lunes", "martes", "miercoles", "jueves", "viernes", "sabado", "domingo"),
    when=frozenset("hoy manana ayer semana finde festivo festivos navidad noche tarde".split()),
    numbers=frozenset(
        "uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince veinte treinta "
        "cuarenta cincuenta sesenta setenta ochenta noventa cien".split()
    ),
    times=frozenset("hora horas media cuarto menos mediodia tarde noche manana proximo dia".split()),
    until=frozenset(("a", "hasta")),
    pairs=_pairs(
        """
        cuanto cuesta precio
        cuanto vale precio
        cuanto cuestan precio
        cuanto valen precio
        cuanto cobran precio
        cuanto es precio
        pedir hora cita
        """
    ),
    synonyms=_groups(
        """
        precio cuesta cuestan cobran costo coste tarifa tarifas precios
        horario horarios
        abren abre abierto abierta abiertos abrir
        cierran cierra cerrado cerrar cerrados
        direccion ubicacion ubicados situados donde
        aparcamiento aparcar estacionamiento estacionar parking parqueadero
        cita turno citas
        pedir reservar solicitar agendar hacer
        medico doctor doctora medicos doctores
        hablar conversar
        persona alguien humano agente operador operadora recepcionista
        pagar pago
        aceptan acepta toman
        seguro aseguradora mutua seguros
        vacuna vacunacion vacunas
        chequeo revision
        adios chao
        """
    ),
    suffixes=("iones", "ando", "iendo", "es", "s", "ar", "er", "ir", "n", "a", "o", "e"),
)
PLAIN = Lexicon(
    frozenset(), frozenset(), frozenset("nein nicht kein keine non pas no not".split()), (), frozenset(),
    frozenset(), frozenset(), frozenset(), {}, {}, (),
)  # fmt: skip
_LEXICONS = {"en": ENGLISH, "es": SPANISH}


def primary(language: str) -> str:
    """The part of a language tag that the tables go by."""
    return language.split("-", maxsplit=1)[0].casefold()


def lexicon(language: str) -> Lexicon:
    """The tables for a BCP 47 tag."""
    return _LEXICONS.get(primary(language), PLAIN)


def fold(text: str) -> str:
    """Small letters without accents: recognisers write "sábado" and "sabado"."""
    spread = unicodedata.normalize("NFD", text.replace("\u2019", "'"))
    return unicodedata.normalize("NFC", "".join(c for c in spread if not unicodedata.combining(c))).casefold()


def words(text: str) -> list[str]:
    """Folded words without punctuation; contractions as spoken ("don't")."""
    return _WORD.findall(_HALF_DAY.sub(r" \1m ", fold(text)))


def spread(text: str) -> list[str]:
    """The same with contractions written out: "don't" is "do not", "doctor's" is "doctor is"."""
    found: list[str] = []
    for word in words(text):
        if "'" not in word and word not in _WHOLE_FORMS:
            found.append(word)
            continue
        found += _written_out(word)
    return found


def _written_out(word: str) -> list[str]:
    if word in _WHOLE_FORMS:
        return _WHOLE_FORMS[word].split()
    for ending, full in _ENDINGS.items():
        if word.endswith(ending) and len(word) > len(ending):
            return [word.removesuffix(ending), full]
    return [word.replace("'", "")]


def stem(word: str, suffixes: tuple[str, ...]) -> str:
    """`word` without an ending, where four letters or more are left."""
    for suffix in suffixes:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word.removesuffix(suffix)
    return word


def sound(word: str) -> str:
    """A rough key of how an English word sounds: "ours" and "hours", "flew" and "flu" share one."""
    key = re.sub(r"^(kn|gn|wr|wh|h)", lambda match: {"wh": "w", "h": ""}.get(match[1], match[1][1:]), word)
    key = re.sub(r"c(?=[eiy])", "s", key.removesuffix("s").replace("tion", "shon"))
    for letters, heard in (
        ("ph", "f"),
        ("ck", "k"),
        ("c", "k"),
        ("z", "s"),
        ("x", "ks"),
        ("gh", ""),
        ("y", "i"),
    ):
        key = key.replace(letters, heard)
    head, rest = key[:1], key[1:]
    # Vowels tell little apart over a telephone, except at the beginning.
    return head + re.sub(r"(.)\1+", r"\1", re.sub(r"[aeiouw]", "", rest))
