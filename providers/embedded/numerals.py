"""Numbers as they are said: dictated digit by digit, in pairs, as one number. English, Spanish. Pure."""

from providers.embedded.lexicon import primary, words

_ENGLISH = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_SPANISH = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis "
    "diecisiete dieciocho diecinueve veinte veintiuno veintidos veintitres veinticuatro veinticinco "
    "veintiseis "
    "veintisiete veintiocho veintinueve"
).split()
_TENS = {
    "en": {
        word: ten * 10
        for ten, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
    },
    "es": {
        word: ten * 10
        for ten, word in enumerate(
            "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa".split(), 2
        )
    },
}
_UNITS = {
    "en": {word: number for number, word in enumerate(_ENGLISH)} | {"oh": 0, "o": 0, "nought": 0, "nil": 0},
    "es": {word: number for number, word in enumerate(_SPANISH)} | {"una": 1, "un": 1},
}
_SCALES = {"hundred": 100, "thousand": 1000, "cien": 100, "ciento": 100, "mil": 1000}
_HUNDREDS = {
    word: number * 100
    for number, word in enumerate(
        "doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos "
        "novecientos".split(),
        2,
    )
}
_REPEAT = {"double": 2, "triple": 3, "doble": 2}


def units(language: str) -> dict[str, int]:
    """Words for 0 to 19 (Spanish 0 to 29)."""
    return _UNITS.get(primary(language), _UNITS["en"])


def tens(language: str) -> dict[str, int]:
    """Words for 20, 30 … 90."""
    return _TENS.get(primary(language), _TENS["en"])


def in_words(number: int, language: str) -> str:
    """0 to 59 as said in a time: "five", "thirty five"."""
    small, big = units(language), tens(language)
    names = {value: word for word, value in reversed(small.items()) if word not in ("una", "un")}
    if number in names:
        return names[number]
    ten = next(word for word, value in big.items() if value == number // 10 * 10)
    if number % 10 == 0:
        return ten
    return f"{ten} {names[number % 10]}" if primary(language) != "es" else f"{ten} y {names[number % 10]}"


def numbers_in(said: list[str], language: str) -> list[int]:
    """The numbers below 100 in `said`, in order: "thirty five" is one, "ten thirty" are two."""
    return [number for number, _ in groups(said, language)]


def groups(said: list[str], language: str) -> list[tuple[int, str]]:
    """Each number in `said` with its digits as dictated ("oh five" is 0 and 5, "007" stays 007)."""
    small, big = units(language), tens(language)
    found: list[tuple[int, str]] = []
    open_ten = False
    joining = False
    for word in said:
        if word.isdecimal():
            found.append((int(word), word))
            open_ten = False
        elif word in big:
            found.append((big[word], str(big[word])))
            open_ten = True
            joining = False
            continue
        elif word in small:
            number = small[word]
            if open_ten and 0 < number < 10:
                total = found[-1][0] + number
                found[-1] = (total, str(total))
            else:
                found.append((number, str(number)))
            open_ten = False
        elif word == "y" and open_ten and not joining:
            joining = True
            continue
        else:
            open_ten = False
        joining = False
    return found


def digits_in(text: str, language: str) -> str:
    """Digits dictated or keyed in `text`: "oh five double seven, forty two" is 057742."""
    said: list[str] = []
    repeat = 1
    for word in words(text):
        if word in _REPEAT:
            repeat = _REPEAT[word]
            continue
        said += [word] * repeat
        repeat = 1
    return "".join(digits for _, digits in groups(said, language))


def number_in(text: str, language: str) -> int | None:
    """The one number in `text`: "two hundred and fifty" is 250, "one two" is 12. None: there is none."""
    said = words(text)
    if not any(word in _SCALES or word in _HUNDREDS for word in said):
        digits = digits_in(text, language)
        return int(digits) if 0 < len(digits) <= 15 else None
    total = current = 0
    pending: list[str] = []
    for word in said:
        if word in _SCALES:
            current += sum(numbers_in(pending, language))
            pending = []
            if _SCALES[word] == 1000:
                total, current = total + max(current, 1) * 1000, 0
            else:
                current = max(current, 1) * 100
        elif word in _HUNDREDS:
            current += _HUNDREDS[word]
        else:
            pending.append(word)
    return total + current + sum(numbers_in(pending, language))
