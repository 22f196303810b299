"""Labelled examples for every task of the book, all read off the state of the stories.

Each function draws `n` examples from its own stories (the same seed, the same examples) and returns
plain dictionaries. The labels are right by construction: they are read off the state that the story
itself leads to, not off its words.

But: no training and no metrics here; see `minillm.measure`.
"""

import random
from collections.abc import Iterator

from minillm.text.village.grammar import State
from minillm.text.village.oracle import Story, story
from minillm.text.village.render import chinese_of, spans_of, text_of
from minillm.text.village.words import PERSON, PLACE, THING


def sentiment(n: int, seed: int = 0) -> list[dict]:
    """Beginnings of stories that end on a feeling: is the one it opens with happy at the end?

    Returns:
        `n` records {"text", "label"}, label 1 (happy) or 0 (unhappy), as many of each (± 1). The
        text says how the first person feels, often not in words that say so: "was not happy",
        "Tom was glad, but Anna was sad".

    Built in chapter 10.
    """

    def examples():
        for told, rng in _stories(seed):
            main = told.states[1].people[0]
            moods = [state.mood.get(main) for state in told.states]
            cuts = [i for i in range(2, len(moods)) if moods[i] and moods[i] != moods[i - 1]]
            if cuts:
                cut = rng.choice(cuts)
                yield {"text": _text(told, cut), "label": int(moods[cut] == 1)}

    return _balanced(examples(), "label", (0, 1), n)


def entities(n: int, seed: int = 0) -> list[dict]:
    """Stories with every name of a person, a place and a thing marked.

    Returns:
        `n` records {"text", "spans"}: spans is a list of (start, end, label) in characters, in
        order, label PERSON, PLACE or THING. Articles and pronouns are outside.

    Built in chapter 10.
    """
    records = []
    for told, _ in _take(n, seed):
        spans, offset = [], 0
        for said in told.said:
            spans += [(offset + a, offset + b, label) for a, b, label in spans_of(said)]
            offset += len(text_of(said)) + 1
        records.append({"text": told.text, "spans": spans})
    return records


def questions(n: int, seed: int = 0) -> list[dict]:
    """Stories with a question about how things stand at the end, answered by a span of the text.

    Returns:
        `n` records {"text", "question", "answer", "start"}; `text[start:]` begins with the answer,
        at its last mention. "Where is the lamp?" may need two steps: who has it, where she is.

    Built in chapter 10.
    """
    records = []
    for told, rng in _take(n, seed):
        s = told.states[-1]
        asked = [(f"Where is {who}?", place) for who, place in s.place.items()]
        asked += [(f"Where is the {thing}?", s.where(thing)) for thing in s.things()]
        asked += [(f"Who has the {thing}?", who) for who, thing in s.holds.items()]
        asked += [(f"What does {who} have?", thing) for who, thing in s.holds.items()]
        question, answer = rng.choice(asked)
        start = max(
            start + a
            for said, start in _offsets(told)
            for a, b, _ in spans_of(said)
            if text_of(said)[a:b] == answer
        )
        records.append({"text": told.text, "question": question, "answer": answer, "start": start})
    return records


def pairs(n: int, seed: int = 0) -> list[dict]:
    """A story and a claim about how things stand at its end.

    Returns:
        `n` records {"premise", "hypothesis", "label"}, label "entailment" (the story says so),
        "contradiction" (it says otherwise) or "neutral" (it doesn't say), a third each (± 1).

    Built in chapter 10.
    """

    def examples():
        for told, rng in _stories(seed):
            label = rng.choice(("entailment", "contradiction", "neutral"))
            claims = _claims(told.states[-1], rng)[label]
            kinds = sorted({kind for kind, _ in claims})
            if kinds:  # first what it is about, so that a claim's form does not give it away
                kind = rng.choice(kinds)
                claim = rng.choice([text for k, text in claims if k == kind])
                yield {"premise": told.text, "hypothesis": claim, "label": label}

    return _balanced(examples(), "label", ("entailment", "contradiction", "neutral"), n)


def _claims(s: State, rng: random.Random) -> dict[str, list[tuple[str, str]]]:
    """Claims by label, each with what it is about: a place, a thing in hand, or a feeling."""
    claims = {"entailment": [], "contradiction": [], "neutral": []}
    stranger = rng.choice([name for name in PERSON if name not in s.place])
    for who in (*s.people, stranger):
        here = s.place.get(who)
        other = rng.choice([place for place in PLACE if place != here])
        if here:
            claims["entailment"].append(("place", f"{who} is {PLACE[here].at}."))
            claims["contradiction"].append(("place", f"{who} is {PLACE[other].at}."))
        else:
            claims["neutral"].append(("place", f"{who} is {PLACE[other].at}."))
        held = s.holds.get(who)
        if held:
            claims["entailment"].append(("thing", f"{who} has the {held}."))
        for thing in s.things():
            if thing != held and here:
                claims["contradiction"].append(("thing", f"{who} has the {thing}."))
        unnamed = rng.choice([thing for thing in THING if thing not in s.things()])
        if not held:
            claims["neutral"].append(("thing", f"{who} has the {unnamed}."))
        mood = s.mood.get(who)
        for claim, sign in ((f"{who} feels good.", 1), (f"{who} feels bad.", -1)):
            if mood:
                label = "entailment" if sign == mood else "contradiction"
                claims[label].append(("feeling", claim))
            elif who not in s.cause:
                claims["neutral"].append(("feeling", claim))
    return claims


def translations(n: int, seed: int = 0) -> list[dict]:
    """Stories, sentence by sentence in English and in Chinese.

    Returns:
        `n` records {"en", "zh"}: two lists of sentences of the same length; " ".join(en) is the
        story's text, and "".join(zh) the same story in Chinese.

    Built in chapter 6.
    """
    return [
        {
            "en": [text_of(said) for said in told.said],
            "zh": [chinese_of(said) for said in told.said],
        }
        for told, _ in _take(n, seed)
    ]


def _stories(seed: int) -> Iterator[tuple[Story, random.Random]]:
    """Endless stories, and the random numbers for what is drawn beside them."""
    tell, ask = random.Random(seed), random.Random(f"labels {seed}")
    while True:
        yield story(tell), ask


def _take(n: int, seed: int) -> Iterator[tuple[Story, random.Random]]:
    if not isinstance(n, int) or n < 0:
        raise ValueError(f"n ({n!r}) must be a whole number of examples, 0 or more")
    endless = _stories(seed)
    return (next(endless) for _ in range(n))


def _balanced(examples: Iterator[dict], key: str, labels: tuple, n: int) -> list[dict]:
    """The first `n` examples that keep the labels equally frequent, in the order they came."""
    if not isinstance(n, int) or n < 0:
        raise ValueError(f"n ({n!r}) must be a whole number of examples, 0 or more")
    room = {label: (n + len(labels) - 1 - i) // len(labels) for i, label in enumerate(labels)}
    records = []
    while len(records) < n:
        example = next(examples)
        if room[example[key]]:
            room[example[key]] -= 1
            records.append(example)
    return records


def _text(told: Story, sentences: int) -> str:
    return " ".join(text_of(said) for said in told.said[:sentences])


def _offsets(told: Story) -> Iterator[tuple]:
    offset = 0
    for said in told.said:
        yield said, offset
        offset += len(text_of(said)) + 1
