"""Where everybody and everything is, and how a sentence changes it.

Nothing is hidden: the state after a sentence follows from the state before it and the sentence's
meaning (`after`), so who has read the story knows the state.

But: nothing here says what may happen; see `grammar.py`.
"""

from typing import NamedTuple

from minillm.text.village.words import PERSON


class Act(NamedTuple):
    """What a sentence means: its kind, whom it is about, and what else takes part."""

    kind: str
    who: str | None = None
    thing: str | None = None
    place: str | None = None
    other: str | None = None
    feeling: str | None = None  # the good one of two opposite feelings
    adjective: str | None = None


class State:
    """Where everybody and everything is, and what the last sentence spoke of.

    Attributes:
        n: sentences so far.
        place: person -> place, in order of appearance.
        holds: thing -> person. lies: thing -> place.
        mood: person -> 1 or -1, as the story said it; felt: person -> the pair of feelings it said
        it with. cause: person -> 1 or -1, as what has happened to them will make them feel.
        wants: person -> thing.
        seen: the (person, place) pairs of every stay.
        focus, it: the person and the thing that "she" and "it" point to, or None.
        pending: the act that the next sentence must answer, or None.
        thanks: (receiver, giver) where the last sentence gave something away, or None.
    """

    __slots__ = (
        "cause", "felt", "focus", "holds", "it", "lies", "mood", "n", "pending", "place", "seen",
        "thanks", "wants",
    )  # fmt: skip

    def __init__(self):
        self.n, self.seen = 0, frozenset()
        self.place, self.holds, self.lies = {}, {}, {}
        self.mood, self.felt, self.cause, self.wants = {}, {}, {}, {}
        self.focus = self.it = self.pending = self.thanks = None

    def __repr__(self):
        return f"State(n={self.n}, place={self.place}, holds={self.holds}, lies={self.lies})"

    def things(self) -> list[str]:
        """Every thing that the story has named."""
        return [*self.lies, *self.holds]

    def spots(self) -> list[str]:
        """Every place where somebody is or was."""
        return sorted({place for _, place in self.seen})

    def held(self, who: str) -> list[str]:
        """Everything that a person holds."""
        return [thing for thing, holder in self.holds.items() if holder == who]

    def where(self, thing: str) -> str | None:
        """The place of a thing, wherever it lies or whoever holds it; None if not yet named."""
        return self.place[self.holds[thing]] if thing in self.holds else self.lies.get(thing)


START = State()

# The kinds of sentence that say how somebody feels from now on: 1 for good, -1 for bad.
SIGN = {
    **dict.fromkeys(("feel_good", "turn_good", "joy", "good_but_bad"), 1),
    **dict.fromkeys(("feel_bad", "turn_bad", "grief", "bad_but_good"), -1),
}


# The kinds of sentence that bring somebody into the story, and those that take them somewhere.
APPEAR = ("open", "arrive")
MOVE = {*APPEAR, "go", "return", "carry", "do", "together"}


def after(s: State, act: Act) -> State:
    """The state once `act` has happened."""
    kind, who, thing, place, other, feeling = act[:6]
    new = State.__new__(State)
    new.n, new.seen = s.n + 1, s.seen
    new.place, new.holds, new.lies = s.place, s.holds, s.lies
    new.mood, new.felt, new.cause, new.wants = s.mood, s.felt, s.cause, s.wants
    new.focus, new.it, new.pending, new.thanks = who or s.focus, thing, None, None
    if other is not None and PERSON[other].he == PERSON[who].he:
        new.focus = None  # "she" could be either
    if kind in MOVE:
        for name in filter(None, (who, other)):
            new.place = {**new.place, name: place}
            new.seen = new.seen | {(name, place)}
    elif kind in ("there", "put"):
        new.holds = _without(s.holds, thing)
        new.lies = {**s.lies, thing: place or s.place[who]}
    elif kind in ("own", "take", "give", "yes"):
        new.lies = _without(s.lies, thing)
        new.holds = {**s.holds, thing: other or who}
    if kind in ("give", "yes"):
        _cause(new, other, 1)
        new.thanks = (other, who)
    elif kind in ("ask", "plan"):
        new.pending = act
    elif kind == "no":
        _cause(new, other, -1)
    elif kind == "want":
        new.wants = {**s.wants, who: thing}
    elif kind == "gain":
        new.wants = _without(s.wants, who)
        _cause(new, who, 1)
    elif kind in SIGN:
        _feel(new, who, SIGN[kind], feeling)
        if other is not None:  # "she was happy, but he was sad"
            _feel(new, other, -SIGN[kind], feeling)
    return new


def _without(d: dict, key: str) -> dict:
    return {k: v for k, v in d.items() if k != key}


def _cause(new: State, who: str, sign: int) -> None:
    new.mood, new.felt = _without(new.mood, who), _without(new.felt, who)
    new.cause = {**new.cause, who: sign}


def _feel(new: State, who: str, sign: int, feeling: str | None) -> None:
    new.mood, new.cause = {**new.mood, who: sign}, _without(new.cause, who)
    new.felt = {**new.felt, who: feeling}
