"""From the meaning of a sentence to its words, in English and Chinese, and back.

`text_of` writes a sentence; `spans_of` says which of its characters name a person, a place or a
thing; `chinese_of` writes the same sentence in Chinese; `readings` finds all that it could mean.
"""

import re
from collections.abc import Iterator

from minillm.text.village.grammar import Said
from minillm.text.village.phrases import PHRASES
from minillm.text.village.state import Act, State
from minillm.text.village.words import ADJECTIVES, FEELING, PERSON, PLACE, THING


class _English(dict):
    """Fills a phrase's braces for one sentence, each only when the phrase asks for it."""

    # A name, as it goes into the text; `_Marked` puts marks around it.
    def person(self, name):
        return name

    place = thing = person

    def __init__(self, said: Said):
        self.said, self.act = said, said.act

    def __missing__(self, slot: str) -> str:
        return getattr(self, "_" + slot)()

    def _S(self):
        act = self.act
        return PERSON[act.who].he.capitalize() if self.said.pronoun else self.person(act.who)

    def _s(self):
        return PERSON[self.act.who].he if self.said.pronoun else self.person(self.act.who)

    def _o(self):
        return PERSON[self.act.who].him if self.said.pronoun else self.person(self.act.who)

    def _he(self):
        return PERSON[self.act.who].he

    def _him(self):
        return PERSON[self.act.who].him

    def _Q(self):
        return self.person(self.act.other)

    def _q_him(self):
        return PERSON[self.act.other].him

    def _T(self):
        return "it" if self.said.it else "the " + self.thing(self.act.thing)

    def _The_T(self):
        return "The " + self.thing(self.act.thing)

    def _A(self):
        adjective = self.act.adjective
        first = adjective or self.act.thing
        words = f"{adjective} " if adjective else ""
        return f"{'an' if first[0] in 'aeiou' else 'a'} {words}{self.thing(self.act.thing)}"

    def _An_A(self):
        a = self._A()
        return a[0].upper() + a[1:]

    def _where(self, name, phrase):
        before = phrase[: len(phrase) - len(name)]
        return before + self.place(name)

    def _at(self):
        return self._where(self.act.place, PLACE[self.act.place].at)

    def _to(self):
        return self._where(self.act.place, PLACE[self.act.place].there)

    def _here(self):
        return self._where(self.said.here, PLACE[self.said.here].at)

    def _from(self):
        return self._where(self.said.here, PLACE[self.said.here].there)

    def _good(self):
        return self.act.feeling

    def _bad(self):
        return FEELING[self.act.feeling].bad


class _Marked(_English):
    """The same with every name between marks that say what it names."""

    def person(self, name):
        return f"\1PERSON\2{name}\3"

    def place(self, name):
        return f"\1PLACE\2{name}\3"

    def thing(self, name):
        return f"\1THING\2{name}\3"


class _Chinese(_English):
    """The same in Chinese."""

    def person(self, name):
        return PERSON[name].zh

    def thing(self, name):
        return THING[name].zh

    def _S(self):
        return self._he() if self.said.pronoun else self.person(self.act.who)

    def _he(self):
        return PERSON[self.act.who].zh_he

    def _q_him(self):
        return PERSON[self.act.other].zh_he

    def _T(self):
        return "它" if self.said.it else self.thing(self.act.thing)

    def _A(self):
        thing = THING[self.act.thing]
        return f"一{thing.measure}{ADJECTIVES.get(self.act.adjective, '')}{thing.zh}"

    def _at(self):
        return PLACE[self.act.place].zh_at

    def _here(self):
        return PLACE[self.said.here].zh_at

    def _to(self):
        return PLACE[self.act.place].zh

    def _from(self):
        return PLACE[self.said.here].zh

    def _good(self):
        return FEELING[self.act.feeling].zh_good

    def _bad(self):
        return FEELING[self.act.feeling].zh_bad


def text_of(said: Said) -> str:
    """The sentence in English."""
    return PHRASES[said.act.kind][said.phrase][1].format_map(_English(said))


def chinese_of(said: Said) -> str:
    """The sentence in Chinese."""
    return PHRASES[said.act.kind][said.phrase][2].format_map(_Chinese(said))


def spans_of(said: Said) -> list[tuple[int, int, str]]:
    """The names in the English sentence: (start, end, label), label PERSON, PLACE or THING."""
    marked = PHRASES[said.act.kind][said.phrase][1].format_map(_Marked(said))
    spans, shift = [], 0
    for match in re.finditer("\1(.*?)\2(.*?)\3", marked):
        start = match.start() - shift
        spans.append((start, start + len(match[2]), match[1]))
        shift += len(match[0]) - len(match[2])
    return spans


# And back: the same phrases as patterns.


def _any(words) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_NAMES, _THINGS, _HOW = _any(PERSON), _any(THING), _any(ADJECTIVES)
_AT, _THERE = _any(p.at for p in PLACE.values()), _any(p.there for p in PLACE.values())
_SLOTS = {
    "S": f"(?P<who>{_NAMES}|She|He)",
    "s": f"(?P<who>{_NAMES}|she|he)",
    "o": f"(?P<who>{_NAMES}|her|him)",
    "he": "(?:she|he)",
    "him": "(?:her|him)",
    "Q": f"(?P<other>{_NAMES})",
    "q_him": "(?:her|him)",
    "T": f"(?P<thing>the (?:{_THINGS})|it)",
    "The_T": f"(?P<thing>The (?:{_THINGS}))",
    "A": f"an? (?:(?P<adjective>{_HOW}) )?(?P<thing>{_THINGS})",
    "An_A": f"An? (?:(?P<adjective>{_HOW}) )?(?P<thing>{_THINGS})",
    "at": f"(?P<place>{_AT})",
    "to": f"(?P<place>{_THERE})",
    "here": f"(?P<here>{_AT})",
    "from": f"(?P<here>{_THERE})",
    "good": f"(?P<feeling>{_any(w for w, f in FEELING.items() if w == f.good)})",
    "bad": f"(?P<bad>{_any(w for w, f in FEELING.items() if w == f.bad)})",
}
_PLACE_NAME = {name: p.name for p in PLACE.values() for name in (p.at, p.there)}


def _pattern(phrase: str) -> re.Pattern:
    parts, seen = [], set()
    for literal, slot in re.findall(r"([^{]*)(?:\{(\w+)\})?", phrase):
        parts.append(re.escape(literal))
        if slot in seen:  # only {Q} is ever said twice
            parts.append("(?P=other)")
        elif slot:
            parts.append(_SLOTS[slot])
            seen.add(slot)
    return re.compile("".join(parts))


PATTERNS = [
    (kind, i, _pattern(english))
    for kind, ways in PHRASES.items()
    for i, (_, english, _) in enumerate(ways)
]


def readings(s: State, sentence: str) -> Iterator[Said]:
    """All that a sentence could mean in state `s`, whether or not it can happen there.

    A pronoun that points to nobody gives None as the person or the thing.
    """
    for kind, phrase, pattern in PATTERNS:
        match = pattern.fullmatch(sentence)
        if not match:
            continue
        found = match.groupdict()
        who, thing, here = found.get("who"), found.get("thing"), found.get("here")
        pronoun, it = who is not None and who not in PERSON, thing == "it"
        if pronoun:
            who = s.focus if _points_to(who, s.focus) else None
        elif kind in ("do", "drop") and s.pending:
            who = s.pending.who
        other = found.get("other")
        if kind in ("yes", "no") and s.pending:
            other = s.pending.who
        if it:
            thing = s.it
        elif thing is not None:
            thing = thing.removeprefix("the ").removeprefix("The ")
        good = found.get("feeling") or FEELING.get(found.get("bad"), (None,))[0]
        place = _PLACE_NAME.get(found.get("place"))
        act = Act(kind, who, thing, place, other, good, found.get("adjective"))
        yield Said(act, phrase, pronoun, it, _PLACE_NAME[here] if here else s.place.get(who))


def _points_to(pronoun: str, person: str | None) -> bool:
    return person is not None and pronoun.lower() in (PERSON[person].he, PERSON[person].him)
