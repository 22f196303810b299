"""The village: short stories about a small village, with exact probabilities.

    from minillm.text import village

    story = village.stories(1, seed=1)[0]
    story.text, story.logprob              # the text, and its exact log-probability in nats
    village.score("Anna was at the mill. Anna took the lamp.").reason
    village.next_word("Anna was at the")   # the true distribution of the next word
    village.continuations()                # every first sentence, with its probability
    village.missing_word(text, 3)          # the true distribution of a hidden word

It is the book's own corpus: it needs no download, never runs out, and has an oracle. `words.py`
and `phrases.py` hold what can be said, `state.py` what a story knows, `grammar.py` what can happen,
`oracle.py`, `judge.py` and `bayes.py` the functions above, `tasks.py` labelled examples for each
task.

Built in chapter 1.
"""

from minillm.text.village.bayes import goes_on, missing_word
from minillm.text.village.judge import Judgement, Score, score
from minillm.text.village.oracle import (
    END,
    Continuation,
    Story,
    continuations,
    next_word,
    stories,
    story,
)
from minillm.text.village.split import sentences, unwords, words
from minillm.text.village.state import START, State
from minillm.text.village.tasks import entities, pairs, questions, sentiment, translations

__all__ = [
    "END",
    "START",
    "Continuation",
    "Judgement",
    "Score",
    "State",
    "Story",
    "continuations",
    "entities",
    "goes_on",
    "missing_word",
    "next_word",
    "pairs",
    "questions",
    "score",
    "sentences",
    "sentiment",
    "stories",
    "story",
    "translations",
    "unwords",
    "words",
]
