"""Numbers, intervals and lists in words: the one place that decides on digits.

An interval decides how many digits it deserves: two of its width, the same for all three numbers.
Ratios of times are per cent up to a factor of two and factors beyond. Whole numbers are whole, and
have commas from 10,000 on. A minus is a minus sign.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

from assay.answer.verdict import Comparison, Word
from assay.statistic import Interval

MOST_DECIMALS = 6
PLAIN = 3  # significant digits of a number that has no interval
FACTOR = 2.0  # from here on a ratio is a factor, not per cent
SHORT, HEADLINE = 12, 25  # words
DASH = "–"  # where there is nothing
SMALL = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight",
         9: "nine", 10: "ten"}  # fmt: skip
PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"),
            (1e-6, "µ"), (1e-9, "n"))  # fmt: skip


# ---- numbers ------------------------------------------------------------------------------------


def count(value: float) -> str:
    """A whole number: ``1024``, ``9999``, ``60,000``."""
    whole = round(value)
    return _signed(f"{whole:,}" if abs(whole) >= 10_000 else str(whole))


def number(value: float | None, digits: int = PLAIN) -> str:
    """A number without an interval, by significant digits; a dash where there is none."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    return fixed(value, digits - 1 - _magnitude(value))


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals; a negative count rounds to tens and hundreds."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if decimals > MOST_DECIMALS:
        return _signed(f"{value:.2g}").replace("e−0", "e−")
    rounded = round(value, decimals)
    text = f"{rounded:,.{max(0, decimals)}f}" if abs(rounded) >= 10_000 else (
        f"{rounded:.{max(0, decimals)}f}"
    )  # fmt: skip
    return _signed("0" + text[2:] if text.startswith("-0") and not float(text) else text)


def setting(value: object) -> str:
    """What was configured, as it was configured: ``0.1``, ``1e-05``, ``relu``."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def decimals(width: float) -> int:
    """Decimals that an interval of this width deserves: two digits of it."""
    return 1 - _magnitude(width) if 0 < width < math.inf else PLAIN - 1


def scaled(values: Iterable[float]) -> tuple[float, str]:
    """The factor and the prefix that bring the largest value to between 1 and 1000."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    factor, prefix = next(((f, p) for f, p in PREFIXES if largest >= f), PREFIXES[-1])
    return (factor, prefix) if largest else (1.0, "")


def quantity(value: float | None, unit: str, digits: int = PLAIN) -> str:
    """A quantity with the prefix that suits it: ``2.35 GB/s`` of 2.35e9 and ``B/s``."""
    if value is None or math.isnan(value):
        return DASH
    factor, prefix = scaled([value])
    return f"{number(value / factor, digits)} {prefix}{unit}"


def short(value: float, digits: int = PLAIN) -> str:
    """A number that is exact in fewer digits without its trailing zeros: ``1.5``, ``32``."""
    text = number(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _magnitude(value: float) -> int:
    """The power of ten of the first digit."""
    return math.floor(math.log10(abs(value)))


def _signed(text: str) -> str:
    return text.replace("-", "−")


# ---- intervals ----------------------------------------------------------------------------------


def interval(seen: Interval, unit: str = "", scale: float = 1.0) -> str:
    """A value with its interval, all scaled, and its unit once: ``20.0 [19.4, 21.4] GB/s``."""
    text = bracketed(seen.value * scale, seen.low * scale, seen.high * scale)
    return f"{text} {unit}".rstrip()


def bracketed(value: float, low: float, high: float, sign: str = "") -> str:
    """The bare three numbers with the digits that their interval's width deserves.

    Where these are tens, a low end of less is told by its own: what is not 0 is not told as 0.
    """
    shown = _decimals(value, low, high)
    least = max(shown, -_magnitude(low)) if low > 0 > shown else shown
    first = _plus(value, shown) if sign else fixed(value, shown)
    return f"{first} [{fixed(low, least)}, {fixed(high, shown)}]"


def value(seen: Interval, unit: str = "", scale: float = 1.0) -> str:
    """The value alone, with the digits that its interval deserves."""
    three = [each * scale for each in (seen.value, seen.low, seen.high)]
    return f"{fixed(three[0], _decimals(*three))} {unit}".rstrip()


def measured(seen: Interval, unit: str) -> str:
    """A quantity and its interval with the prefix that suits it, from the bare unit."""
    factor, prefix = scaled([seen.value])
    return interval(seen, f"{prefix}{unit}", 1 / factor)


def share(part: float, whole: float = 1.0) -> str:
    """A share in per cent, whole where it is more than ten: ``3.4 %``, ``52 %``."""
    per_cent = 100 * part / whole
    return f"{fixed(per_cent, 0 if abs(per_cent) >= 10 else 1)} %"


def points(seen: Interval) -> str:
    """A difference of shares in percentage points, signed, with its interval: at most ±100."""
    low, high = max(-1.0, seen.low), min(1.0, seen.high)
    return bracketed(100 * seen.value, 100 * low, 100 * high, "+")


def accuracy(seen: Interval) -> str:
    """A mean share with its interval in per cent, one decimal: seeds are few."""
    low, high = max(0.0, seen.low), min(1.0, seen.high)
    return f"{100 * seen.value:.1f} [{100 * low:.1f}, {100 * high:.1f}] %"


def _decimals(value: float, low: float, high: float) -> int:
    width = high - low
    if 0 < width < math.inf:
        one = -_magnitude(value) if low > 0 else decimals(width)  # something is not told as 0
        return max(decimals(width), one)
    return PLAIN - 1 - _magnitude(value) if value and math.isfinite(value) else 0


# ---- ratios -------------------------------------------------------------------------------------


def change(ratio: float) -> str:
    """A ratio alone: ``+5.5 %`` up to a factor of two, beyond it ``2.3 ×`` or ``1/3.1 ×``."""
    if is_factor(ratio):
        return f"{number(ratio, 2)} ×"
    per_cent = 100 * (ratio - 1)
    return f"{_plus(per_cent, 1 if abs(per_cent) < 100 else 0)} %"


def ratio(seen: Interval) -> str:
    """A ratio with its interval: ``+7.5 % [+6.6, +8.7]``, from a factor of two on in factors."""
    if is_factor(seen.value):
        return interval(seen, "×")
    value, low, high = (100 * (each - 1) for each in (seen.value, seen.low, seen.high))
    shown = max(0, _decimals(value, low, high))
    return f"{_plus(value, shown)} % [{_plus(low, shown)}, {_plus(high, shown)}]"


def longer(seen: Interval, than: str = "") -> str:
    """A ratio of times in a sentence: ``7.5 % [6.6, 8.7] longer``, ``2 [1.9, 2.1] × as long``."""
    if is_factor(seen.value):
        return f"{interval(seen, '×')} as long{f' as {than}' if than else ''}"
    word, sign = ("longer", 100) if seen.value >= 1 else ("less", -100)
    low, high = sorted(sign * (each - 1) for each in (seen.low, seen.high))
    value, rest = bracketed(sign * (seen.value - 1), low, high).split(" ", 1)
    return f"{value} % {rest} {word}{f' than {than}' if than else ''}"


def takes(seen: Comparison, word: Word, than: str = "") -> str:
    """What something takes, by its verdict: ``the same time within 2 %``, or :func:`longer`."""
    same = f"the same time within {100 * seen.margin:.2g} %"
    return same if word == Word.SAME else longer(seen, than)


def is_factor(ratio: float) -> bool:
    """Whether a ratio is told as a factor rather than in per cent."""
    return not 1 / FACTOR < ratio < FACTOR


def told(seen: Comparison, word: Word) -> str:
    """A comparison's number and its word, for a cell of a table: ``+7.5 % [+6.6, +8.7] slower``."""
    text = ratio(seen) if seen.neutral else f"{points(seen)} points"
    return f"{text} {word.value}"


def _plus(value: float, decimals: int) -> str:
    """A signed number; what rounds to nothing has no sign."""
    text = fixed(value, decimals)
    return text if text.startswith("−") or not float(text.replace(",", "")) else f"+{text}"


# ---- words --------------------------------------------------------------------------------------


def listed(names: Iterable[object], last: str = "and") -> str:
    """Names as a list: ``a, b and c``."""
    texts = [str(name) for name in names]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {last} {texts[-1]}"


def few(names: Sequence[object], most: int = 3) -> str:
    """A list that names a few: ``a, b, c and 4 more``."""
    if len(names) <= most + 1:
        return listed(names)
    return f"{', '.join(map(str, names[:most]))} and {len(names) - most} more"


def plural(number: int, name: str, many: str = "") -> str:
    """How many of something: ``1 seed``, ``3 seeds``."""
    return f"{count(number)} {name if number == 1 else many or name + 's'}"


def worded(number: int) -> str:
    """A small number as a word."""
    return SMALL.get(number, count(number))


def capital(text: str) -> str:
    """The same with a capital first letter; names with a digit, such as of formats, keep theirs."""
    named = re.match(r"[a-z]+\d", text)
    return text if named else text[:1].upper() + text[1:]


def on(device: str, devices: Iterable[str]) -> str:
    """What stands before something said of a device: its name, only where there are several."""
    return f"{device}: " if len(set(devices)) > 1 else ""


def once(text: str, devices: Sequence[str]) -> str:
    """What is said of several devices in the same words, said once: ``cpu and gpu0: …``.

    Each device's own text begins with its name, as :func:`on` has it; of all devices alike, the
    names are left out.
    """
    names = "|".join(map(re.escape, devices))
    lead, *parts = re.split(rf"(?<!\S)({names}): ", text)
    told = [part.strip() for part in parts[1::2]]
    between = "; " if any(part.endswith(";") for part in told) else " "
    told = [part.rstrip(";") for part in told]
    end = ""
    if earlier := next((part for part in told[:-1] if told[-1].startswith(part)), ""):
        end, told[-1] = told[-1][len(earlier) :], earlier  # what follows is said of them all
    same: dict[str, list[str]] = {}
    for device, part in zip(parts[::2], told, strict=True):
        same.setdefault(part, []).append(device)
    if len(same) == 1 and len(told) == len(devices):
        alone = next(iter(same))
        return lead + (alone if lead else capital(alone)) + end
    return lead + between.join(f"{listed(who)}: {part}" for part, who in same.items()) + end


def _lead(devices: Sequence[str]) -> str:
    """A pattern of what stands before a text of some of the devices: ``cpu and gpu0: ``."""
    return rf"(?:(?:{'|'.join(map(re.escape, devices))})(?:, | and )?)+: "


def brief(text: str, devices: Sequence[str]) -> str:
    """A short answer, :func:`once`; if it is long, no more than each device's first clause."""
    whole = once(text, devices)
    if len(whole.split()) <= SHORT:
        return whole
    parts = re.split(rf"; (?={_lead(devices)})", text)
    return once("; ".join(part.partition("; ")[0] for part in parts), devices)


def headline(text: str, devices: Sequence[str]) -> tuple[str, str]:
    """Those whole sentences that a headline has room for, one at least, and what stands below it.

    It ends where a device's own text does, if it can; else what stands below names that device.
    """
    sentences = re.split(r"(?<=\.) ", text)
    starts = [re.match(_lead(devices), each) for each in sentences]
    words = [*accumulate(len(each.split()) for each in sentences)]
    room = [k for k, number in enumerate(words, 1) if k == 1 or number <= HEADLINE]
    whole = [k for k in room if k == len(sentences) or starts[k]]
    kept = max(whole or room)
    below = " ".join(sentences[kept:])
    if not whole and any(starts[kept:]) and starts[0]:
        below = starts[0][0] + below
    return " ".join(sentences[:kept]), below


def together(texts: Iterable[str], devices: Sequence[str]) -> list[str]:
    """Texts, those that say the same of several devices once: ``cpu and gpu0: …``.

    Each begins with a device's name, as :func:`on` has it, or speaks of all.
    """
    same: dict[str, list[str]] = {}
    for text in texts:
        device = next((each for each in devices if text.startswith(f"{each}: ")), "")
        rest = text.removeprefix(f"{device}: ") if device else text
        same.setdefault(rest, []).extend([device] if device else [])
    every = len(set(devices))
    return [
        f"{listed(who)}: {text}" if who and len(who) < every else text for text, who in same.items()
    ]
