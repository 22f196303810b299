"""The village's BERT beside what is possible: hidden words and next sentences.

    python benchmarks/bench_bert.py

Takes zoo's village-bert (trained first if need be) and held-out stories. Hidden words: one word of
each story, the same for all: the commonest word, the model, and the oracle's best guess, which is
the likeliest word given all others. Next sentences: pairs of which half go on, the others from
another story or from further on in the same: the model and the best that the oracle allows
(`village.goes_on`; an estimate, better with more --samples).
"""

import argparse
import random
from collections import Counter

import torch

from minillm import zoo
from minillm.text import village
from minillm.train.pairs import SentencePairs

SEED = 2_000_000  # of stories that neither training nor validation has seen


@torch.no_grad()
def hidden_words(model, tokenizer, stories, rng):
    """The shares of right guesses: of the commonest word, of the model, of the oracle."""
    counts = Counter(w.lower() for s in village.stories(2000) for w in village.words(s.text))
    (commonest, _), right = counts.most_common(1)[0], [0, 0, 0]
    for story in stories:
        words = village.words(story.text)
        i = rng.randrange(len(words))
        pieces = [tokenizer.encode(word) for word in words]
        place = 1 + sum(map(len, pieces[:i]))
        special = tokenizer.special_tokens
        ids = [i for word in pieces for i in word]
        if len(pieces[i]) > 1:
            raise ValueError(f"{words[i]!r} is several tokens: one mask can't hide it")
        ids = [special["[CLS]"], *ids, special["[SEP]"]]
        ids[place] = special["[MASK]"]
        guess = model(torch.tensor([ids]))[0, place].argmax().item()
        chances = Counter()
        for word, p in village.missing_word(story.text, i).items():
            chances[word.lower()] += p  # the tokenizer lower-cases
        guesses = commonest, tokenizer.id_to_token(guess), chances.most_common(1)[0][0]
        right = [r + (g == words[i].lower()) for r, g in zip(right, guesses, strict=True)]
    return right


@torch.no_grad()
def next_sentences(model, tokenizer, stories, negatives, n_samples):
    """The shares of pairs that the model and the oracle judge right; a half of them goes on."""
    told = [village.sentences(story.text) for story in stories]
    T = model.config.context_length
    pairs = SentencePairs(told, tokenizer, T, seed=1, negatives=(negatives,), fates=(0, 0, 1))
    told = [sentences for sentences in told if len(sentences) >= min(pairs.counts)]
    ours = best = 0
    for number in range(pairs.n_examples):
        ids, segments, real, labels, _ = pairs.batch(number, 1)
        logits = model.next_sentence(model.hidden(ids, segments, real))
        ours += int(logits.argmax() == labels)
        document, cut, source, begin, label = pairs.cut(number)
        first, second = told[document][:cut], told[source][begin : begin + pairs.n_sentences]
        chance = village.goes_on(" ".join(first), " ".join(second), negatives, n_samples)
        best += (chance < 0.5) == label
    return ours / pairs.n_examples, best / pairs.n_examples, pairs.n_examples


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stories", type=int, default=500, help="held-out stories (500)")
    parser.add_argument("--samples", type=int, default=60, help="drawn for each pair (60)")
    options = parser.parse_args()
    model, tokenizer = zoo.load("village-bert")
    room = model.config.context_length - 2
    stories = village.stories(options.stories, SEED)
    stories = [story for story in stories if len(tokenizer.encode(story.text)) <= room]
    commonest, ours, best = hidden_words(model, tokenizer, stories, random.Random(0))
    print(
        f"hidden words, {len(stories)} stories: commonest {commonest / len(stories):.3f}, model "
        f"{ours / len(stories):.3f}, oracle {best / len(stories):.3f}; "
        f"{ours / commonest:.1f} times the commonest, {100 * (best - ours) / len(stories):.1f} "
        "points below the oracle"
    )
    for negatives in ("other", "same"):
        ours, best, n = next_sentences(model, tokenizer, stories, negatives, options.samples)
        print(
            f"next sentences, negatives from the {negatives} story, {n} pairs: chance 0.500, "
            f"model {ours:.3f}, oracle {best:.3f}: {100 * (best - ours):.1f} points below"
        )


if __name__ == "__main__":
    main()
