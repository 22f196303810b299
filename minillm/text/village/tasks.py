"""Labelled examples for every task of the book, all read off the state of the stories.

Each function draws `n` examples from its own stories (the same seed, the same examples) and returns
plain dictionaries. The labels are right by construction: they are read off the state that the story
itself leads to, not off its words. Each task has stories of its own, which `stories` gives
for no seed.

But: no training and no metrics here; see `minillm.measure`.
"""

import itertools
import random
from collections.abc import Iterator

from minillm.text.village.oracle import Story, check_counts, story
from minillm.text.village.render import chinese_of, spans_of, text_of
from minillm.text.village.state import State
from minillm.text.village.words import PERSON, PLACE, THING


def sentiment(n: int, seed: int = 0) -> list[dict]:
    """Beginnings of stories that end on a feeling: is the one it opens with happy at the end?

    Returns:
        `n` records {"text", "label"}, label 1 (happy) or 0 (unhappy), as many of each (± 1). The
        text says how the first person feels, often not in words that say so: "was not happy",
        "Tom was glad, but Anna was sad".

    Raises:
        ValueError: `n` or `seed` is negative or not an integer.

    Built in chapter 10.
    """
    check_counts(n=n, seed=seed)

    def examples():
        for told, rng in _stories(seed, "sentiment"):
            main = next(iter(told.states[1].place))
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
    for told, _ in _take(n, seed, "entities"):
        spans = [
            (offset + a, offset + b, label)
            for said, offset in _offsets(told)
            for a, b, label in spans_of(said)
        ]
        records.append({"text": told.text, "spans": spans})
    return records


def questions(n: int, seed: int = 0) -> list[dict]:
    """Stories with a question about how things stand at the end, answered by a span of the text.

    Returns:
        `n` records {"text", "question", "answer", "start"}; `text[start:]` begins with the answer,
        in the last sentence that speaks of it together with what is asked for, if there is one.
        "Where is the lamp?" may need two steps: who has it, where she is.

    Raises:
        ValueError: `n` or `seed` is negative or not an integer.

    Built in chapter 10.
    """
    records = []
    for told, rng in _take(n, seed, "questions"):
        s = told.states[-1]
        asked = [(f"Where is {who}?", who, place, "PLACE") for who, place in s.place.items()]
        asked += [(f"Where is the {t}?", t, s.where(t), "PLACE") for t in s.things()]
        for t, who in s.holds.items():
            asked.append((f"Who has the {t}?", t, who, "PERSON"))
            if s.held(who) == [t]:
                asked.append((f"What does {who} have?", who, t, "THING"))
        question, topic, answer, kind = rng.choice(asked)
        about = {topic, s.holds.get(topic, topic)}
        _, start = max(
            (bool(about & {said.act.who, said.act.other, said.act.thing}), offset + a)
            for said, offset in _offsets(told)
            for a, b, label in spans_of(said)
            if label == kind and text_of(said)[a:b] == answer
        )
        records.append({"text": told.text, "question": question, "answer": answer, "start": start})
    return records


def pairs(n: int, seed: int = 0) -> list[dict]:
    """A story and a claim about how things stand at its end.

    Returns:
        `n` records {"premise", "hypothesis", "label"}, label "entailment" (the story says so),
        "contradiction" (it says otherwise) or "neutral" (it doesn't say), a third each (± 1).

    Raises:
        ValueError: `n` or `seed` is negative or not an integer.

    Built in chapter 10.
    """
    check_counts(n=n, seed=seed)

    def examples():
        for told, rng in _stories(seed, "pairs"):
            label = rng.choice(("entailment", "contradiction", "neutral"))
            claims = _claims(told.states[-1], rng)[label]
            kinds = sorted({kind for kind, _ in claims})
            if kinds:  # first what it is about, so that a claim's form does not give it away
                kind = rng.choice(kinds)
                claim = rng.choice([text for k, text in claims if k == kind])
                yield {"premise": told.text, "hypothesis": claim, "label": label}

    return _balanced(examples(), "label", ("entailment", "contradiction", "neutral"), n)


def _claims(s: State, rng: random.Random) -> dict[str, list[tuple[str, str]]]:
    """Claims by label, each with what it is about: a place, a thing in hand, a wish or a feeling.

    Most claims speak only of what the story names, so that what is named gives little away.
    """
    claims = {"entailment": [], "contradiction": [], "neutral": []}
    named = list(dict.fromkeys([*s.place.values(), *sorted(place for _, place in s.seen)]))
    stranger = rng.choice([name for name in PERSON if name not in s.place and name not in named])
    claims["neutral"].append(("place", f"{stranger} is {PLACE[rng.choice(named)].at}."))
    for who in s.place:
        here, held, wish = s.place[who], s.held(who), s.wants.get(who)
        elsewhere = [place for place in named if place != here]
        elsewhere = elsewhere or [p for p in PLACE if p != here and p not in s.place]
        claims["entailment"].append(("place", f"{who} is {PLACE[here].at}."))
        claims["contradiction"].append(("place", f"{who} is {PLACE[rng.choice(elsewhere)].at}."))
        for thing in s.things():
            label = "entailment" if thing in held else "contradiction"
            claims[label].append(("thing", f"{who} has the {thing}."))
            if thing not in held:
                label = "entailment" if thing == wish else "neutral"
                claims[label].append(("wish", f"{who} wants the {thing}."))
        if not held:
            unnamed = rng.choice([thing for thing in THING if thing not in s.things()])
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

    Built in chapter 2.
    """
    return [
        {
            "en": [text_of(said) for said in told.said],
            "zh": [chinese_of(said) for said in told.said],
        }
        for told, _ in _take(n, seed, "translations")
    ]


def _stories(seed: int, task: str) -> Iterator[tuple[Story, random.Random]]:
    """Endless stories of a task's own, and the random numbers for what is drawn beside them."""
    tell, ask = random.Random(f"{task} {seed}"), random.Random(f"{task} labels {seed}")
    while True:
        yield story(tell), ask


def _take(n: int, seed: int, task: str) -> Iterator[tuple[Story, random.Random]]:
    check_counts(n=n, seed=seed)
    return itertools.islice(_stories(seed, task), n)


def _balanced(examples: Iterator[dict], key: str, labels: tuple, n: int) -> list[dict]:
    """The first `n` examples that keep the labels equally frequent, in the order they came."""
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
