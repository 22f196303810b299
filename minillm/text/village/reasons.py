"""Why a sentence could not happen: the first fact of the state that it contradicts, in words.

`reason` explains, it doesn't decide: what is possible is decided by the tree of `grammar.py` alone.
"""

from minillm.text.village.grammar import MAX_PEOPLE, MAX_THINGS, MIN_SENTENCES, Said, State
from minillm.text.village.words import PERSON, PLACE

_CAN = {
    "take": "take {t}",
    "carry": "carry {t} anywhere",
    "put": "put down {t}",
    "give": "give {t} away",
    "gain": "be glad of {t}",
    "keep": "still have {t}",
    "meet": "meet {q}",
    "talk": "talk with {q}",
    "together": "go with {q}",
    "ask": "ask {q} for {t}",
}


def reason(s: State, said: Said | None, sentence: str = "") -> str:
    """Why `said` can't come next in state `s`, in one line; None asks why the story can't end."""
    if said is None:
        if s.pending:
            return f"the story can't end here: {_open_matter(s)}"
        return f"the story can't end here: it has {s.n} sentences of at least {MIN_SENTENCES}"
    return _why_not(s, said) or f"{sentence!r} does not fit here"


def _why_not(s: State, said: Said) -> str | None:
    kind, who, thing, _, other = said.act[:5]
    if said.pronoun and who is None:
        return "the pronoun points to nobody"
    if said.it and thing is None:
        return '"it" points to nothing'
    if s.pending and not _answers(s, said):
        return _open_matter(s)
    if kind == "arrive":
        if who in s.place:
            return f"{who} is in the story already"
        return _too_many("people", len(s.people), MAX_PEOPLE)
    if kind in ("there", "own"):
        known = s.where(thing)
        if known:
            return f"the {thing} is in the story already, {PLACE[known].at}"
        too_many = _too_many("things", len(s.things()), MAX_THINGS)
        if too_many:
            return too_many
    for name in (who, other):
        if name is not None and name not in s.place:
            return f"the story has not named {name}"
    if kind in ("do", "drop", "yes", "no") and not s.pending:
        return "nobody has said anything to answer"
    if said.here is not None and said.here != s.place.get(who):
        return f"{who} is {_at(s, who)}, not {PLACE[said.here].at}"
    if kind in _CAN:
        can = _CAN[kind].format(t=f"the {thing}", q=other)
        why = _hands(s, kind, who, thing, other)
        return why and f"{who} can't {can}: {why}"
    return _other_facts(s, said)


def _hands(s: State, kind: str, who: str, thing: str | None, other: str | None) -> str | None:
    """What stands in the way of an act with things or between people."""
    he, held = PERSON[who].he, s.holds.get(who)
    if thing is not None and s.where(thing) is None:
        return "the story has not named it"
    if kind == "take":
        if held == thing:
            return f"{he} has it already"
        if held:
            return f"{he} has the {held} in {'her' if he == 'she' else 'his'} hands"
        holder = next((p for p, t in s.holds.items() if t == thing), None)
        if holder:
            return f"{holder} has it"
        if s.lies[thing] != s.place[who]:
            return f"it is {PLACE[s.lies[thing]].at}, {he} is {_at(s, who)}"
    if kind in ("carry", "put", "give", "gain", "keep") and held != thing:
        return f"{he} does not have it"
    if kind == "gain" and s.wants.get(who) != thing:
        return f"{he} did not want it"
    if other is not None and s.place[other] != s.place[who]:
        return f"{other} is {_at(s, other)}, {he} is {_at(s, who)}"
    if kind == "give" and other in s.holds:
        return f"{other} has the {s.holds[other]} already"
    if kind == "ask":
        if held:
            return f"{he} has the {held} in {'her' if he == 'she' else 'his'} hands"
        if s.holds.get(other) != thing:
            return f"{other} does not have it"
    return None


def _other_facts(s: State, said: Said) -> str | None:
    kind, who, thing, place, other = said.act[:5]
    if thing is not None and kind not in ("there", "own") and s.where(thing) is None:
        return f"the story has not named the {thing}"
    if kind == "own" and who in s.holds:
        return f"{who} has the {s.holds[who]} already"
    if kind in ("go", "plan") and place == s.place[who]:
        return f"{who} is {_at(s, who)} already"
    if kind == "return" and (who, place) not in s.seen:
        return f"{who} has not been {PLACE[place].at} before"
    if kind == "stay" and place != s.place[who]:
        return f"{who} is {_at(s, who)}, not {PLACE[place].at}"
    if kind == "lie" and s.lies.get(thing) != place:
        return f"the {thing} is not {PLACE[place].at}"
    if kind == "seek" and s.where(thing) == s.place[who]:
        return f"the {thing} is right there, {_at(s, who)}"
    if kind == "miss" and s.place[other] == s.place[who]:
        return f"{other} is right there, {_at(s, who)}"
    if kind == "thank":
        return f"{other} has not just given {who} anything"
    if kind == "want" and (who in s.wants or s.holds.get(who) == thing):
        return f"{who} {'wants' if who in s.wants else 'has'} the {s.wants.get(who, thing)} already"
    if kind in ("animal", "there") and place not in s.place.values():
        return f"nobody is {PLACE[place].at}"
    for name, sign in ((who, _sign(kind)), (other, -_sign(kind))):
        if name and sign:
            feels = s.mood.get(name) or s.cause.get(name)
            if feels is None:
                return f"how {name} felt before has not been said"
            return f"{name} has reason to be {'happy' if feels == 1 else 'unhappy'}, as was told"
    return None


def _sign(kind: str) -> int:
    if kind in ("joy", "feel_good", "still_good", "turn_good", "good_but_bad"):
        return 1
    return -1 if kind in ("grief", "feel_bad", "still_bad", "turn_bad", "bad_but_good") else 0


def _at(s: State, who: str) -> str:
    return PLACE[s.place[who]].at


def _too_many(what: str, n: int, most: int) -> str | None:
    return f"there are {n} {what} already, the most that a story has" if n >= most else None


def _answers(s: State, said: Said) -> bool:
    kind, who = said.act[:2]
    if s.pending.kind == "plan":
        return kind == "drop" or (kind == "do" and said.act.place == s.pending.place)
    return kind in ("yes", "no") and who == s.pending.other


def _open_matter(s: State) -> str:
    if s.pending.kind == "plan":
        return f"{s.pending.who} has just said where to go, and goes there or stays"
    return f"{s.pending.other} must answer {s.pending.who} first"
