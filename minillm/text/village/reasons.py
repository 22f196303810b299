"""Why a sentence could not happen: the first fact of the state that it contradicts, in words.

`reason` explains, it doesn't decide: what is possible is decided by the tree of `grammar.py` alone.
"""

from minillm.text.village.grammar import MIN_SENTENCES, Said
from minillm.text.village.state import State
from minillm.text.village.words import FEELING, PERSON, PLACE, UNPAINTED

_CAN = {
    "take": "take the {t}",
    "carry": "carry the {t} anywhere",
    "put": "put the {t} down",
    "give": "give the {t} away",
    "gain": "have the {t} at last",
    "keep": "still have the {t}",
    "meet": "be with {q}",
    "talk": "talk with {q}",
    "together": "go with {q}",
    "ask": "ask {q} for the {t}",
}


def shorten(sentence: str, limit: int = 60) -> str:
    """A sentence in quotes, cut where it is long."""
    return repr(sentence if len(sentence) <= limit else sentence[: limit - 4] + " ...")


def reason(s: State, said: Said | None, sentence: str = "") -> str:
    """Why `said` can't come next in state `s`, in one line; None asks why the story can't end."""
    if said is None:
        if s.pending:
            return f"the story can't end here: {_open_matter(s)}"
        return f"the story can't end here: it has {s.n}, and a story has {MIN_SENTENCES} sentences"
    return _why_not(s, said) or f"{shorten(sentence)} does not fit here"


def _why_not(s: State, said: Said) -> str | None:
    kind, who, thing, _, other = said.act[:5]
    if not s.place and kind != "open":
        return "the story has not begun: it opens with somebody, somewhere"
    if s.place and kind == "open":
        return "that can only open a story"
    if said.pronoun and who is None:
        return f"the pronoun points to nobody{_focus(s)}"
    if said.it and thing is None:
        return '"it" points to nothing: the last sentence named no thing'
    if s.pending and not _answers(s, said):
        return _open_matter(s)
    if kind in ("do", "drop") and not s.pending:
        return "nobody has just said where to go"
    if kind == "arrive":
        return f"{who} is in the story already" if who in s.place else None
    if kind in ("there", "own"):
        return _naming(s, said)
    for name in (who, other):
        if name is not None and name not in s.place:
            return f"the story has not named {name}"
    if who is not None and who == other:
        return f"{who} can't do that with {'him' if PERSON[who].he == 'he' else 'her'}self"
    if thing is not None and s.where(thing) is None:
        can = _CAN.get(kind)
        start = f"{who} can't {can.format(t=thing, q=other)}: the" if can else "the"
        return f"{start} story has not named {'it' if can and '{t}' in can else f'the {thing}'}"
    if said.here is not None and said.here != s.place.get(who):
        return f"{who} is {_at(s, who)}, not {PLACE[said.here].at}"
    if kind in _CAN:
        why = _hands(s, kind, who, thing, other)
        if why:
            return f"{who} can't {_CAN[kind].format(t=thing, q=other)}: {why}"
    return _place_facts(s, said) or _other_facts(s, said)


def _naming(s: State, said: Said) -> str | None:
    _, who, thing, place = said.act[:4]
    if who is not None and who not in s.place:
        return f"the story has not named {who}"
    known = s.where(thing)
    if known:
        return f"the {thing} is in the story already, {PLACE[known].at}"
    if thing in UNPAINTED and said.act.adjective:
        return f"of the {thing} the village does not say how it looks"
    return f"nobody has been {PLACE[place].at}" if place and place not in s.spots() else None


def _hands(s: State, kind: str, who: str, thing: str | None, other: str | None) -> str | None:
    """What stands in the way of an act with things or between people."""
    he, holder = PERSON[who].he, s.holds.get(thing)
    if kind == "take":
        if holder:
            return f"{he} has it already" if holder == who else f"{holder} has it"
        if s.lies[thing] != s.place[who]:
            return f"it is {PLACE[s.lies[thing]].at}, {he} is {_at(s, who)}"
    if kind in ("carry", "put", "give", "gain", "keep") and holder != who:
        return f"{holder} has it" if holder else f"it lies {PLACE[s.lies[thing]].at}"
    if kind == "gain" and s.wants.get(who) != thing:
        return f"{he} did not want it"
    if other is not None and s.place[other] != s.place[who]:
        return f"{other} is {_at(s, other)}, {he} is {_at(s, who)}"
    if kind == "ask" and holder != other:
        return f"{other} does not have it"
    return None


def _place_facts(s: State, said: Said) -> str | None:
    """What contradicts where somebody or something is."""
    kind, who, thing, place = said.act[:4]
    holder = s.holds.get(thing)
    if kind in ("go", "carry", "return", "together", "plan") and place == s.place[who]:
        return f"{who} is {_at(s, who)} already"
    if kind == "return":
        return f"{who} has not been {PLACE[place].at} before"
    if kind == "stay" and place != s.place[who]:
        return f"{who} is {_at(s, who)}, not {PLACE[place].at}"
    if kind == "lie" and s.lies.get(thing) != place:
        return f"{holder} has the {thing}" if holder else f"it is {PLACE[s.lies[thing]].at}"
    if kind == "animal":
        return f"nobody has been {PLACE[place].at}"
    return None


def _other_facts(s: State, said: Said) -> str | None:
    """What contradicts wishes, thanks, answers and feelings."""
    kind, who, thing, _, other = said.act[:5]
    if kind == "thank":
        return f"{other} has not just given {who} anything"
    if kind == "want":
        return f"{who} has the {thing} already"
    if kind in ("yes", "no") and not s.pending:
        return "nobody has just asked for anything"
    if other is not None and s.place[other] != s.place[who]:
        return f"{other} is {_at(s, other)}, {PERSON[who].he} is {_at(s, who)}"
    if kind.startswith(("still", "turn")):
        return _feeling(s, who, said.act.feeling)
    return None


def _feeling(s: State, who: str, feeling: str) -> str:
    told = s.felt.get(who)
    if not told:
        return f"how {who} feels has not been said" + (" since then" if who in s.cause else "")
    word = FEELING[told].good if s.mood[who] == 1 else FEELING[told].bad
    if told != feeling:
        return f"it was said that {who} is {word}, which is another feeling"
    return f"{who} is {word}, as was said"


def _at(s: State, who: str) -> str:
    return PLACE[s.place[who]].at


def _focus(s: State) -> str:
    if s.focus:
        return f": the story has just spoken of {s.focus}, who is {PERSON[s.focus].he!r}"
    return ": the story has just spoken of two"


def _answers(s: State, said: Said) -> bool:
    kind, who, thing, place = said.act[:4]
    if s.pending.kind == "plan":
        return kind == "drop" or (kind == "do" and place == s.pending.place)
    return kind in ("yes", "no") and who == s.pending.other and thing == s.pending.thing


def _open_matter(s: State) -> str:
    if s.pending.kind == "plan":
        return f"{s.pending.who} has just said where to go, and goes there or stays"
    return f"{s.pending.other} must answer first: {s.pending.who} asked for the {s.pending.thing}"
