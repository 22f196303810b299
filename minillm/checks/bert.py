"""Checks of the exercises of chapter 9, BERT."""

import math

import torch

from minillm.checks import exercise, expect, require

IGNORE = -100


def _two(got, what):
    require(isinstance(got, tuple | list) and len(got) == 2, f"should return two {what}")
    return got


@exercise("9.1")
def pair_row(attempt):
    """[CLS] a [SEP] b [SEP], and 0 or 1 for each token."""
    cls, sep = 2, 3
    for a, b in (([11, 12, 13], [21, 22]), ([11], [21, 22, 23, 24]), ([11, 12], [])):
        ids, segments = _two(attempt(list(a), list(b), cls, sep), "lists, the ids and the segments")
        right = [cls, *a, sep, *b, sep]
        known = [
            ([cls, *a, sep, *b], "the second text needs its [SEP] too"),
            ([cls, *a, *b, sep], "a [SEP] is missing between the two texts"),
            ([*a, sep, *b, sep], "the row begins with [CLS]"),
            ([cls, *a, sep, cls, *b, sep], "one [CLS] a row: the second text has none"),
            ([cls, *b, sep, *a, sep], "the first text comes first"),
        ]
        expect(list(ids), right, f"pair_row({a}, {b}, {cls}, {sep}): the ids", known)
        n, m = len(a), len(b)
        known = [
            ([0] * (n + 1) + [1] * (m + 2), "the first [SEP] belongs to the first text"),
            ([1] * (n + 2) + [0] * (m + 1), "0 is the first text, 1 the second"),
            ([1] * (n + 2) + [2] * (m + 1), "segments are 0 and 1, not 1 and 2"),
            ([0] * n + [1] * m, "the special tokens have segments too"),
            ([0] * (n + 2) + [1] * m + [0], "the last [SEP] belongs to the second text"),
            ([0] * (n + 2) + [1] * m, "the last [SEP] has a segment too"),
            ([0] * (n + m + 3), "all are 0: the second text's segment is 1"),
        ]
        right = [0] * (n + 2) + [1] * (m + 1)
        expect(list(segments), right, f"pair_row({a}, {b}, {cls}, {sep}): the segments", known)


def _fates(ids, chosen, die, noise, mask_id, low=0.8, high=0.9):
    masked, replaced = chosen & (die < low), chosen & (die >= low) & (die < high)
    return torch.where(masked, mask_id, torch.where(replaced, noise, ids))


@exercise("9.2")
def apply_fates(attempt):
    """Of the chosen tokens 80% become [MASK], 10% noise, 10% stay."""
    ids = torch.tensor([[11, 12, 13, 14, 15], [16, 17, 18, 19, 20]])
    noise = ids + 30
    chosen = torch.tensor([[1, 0, 1, 1, 0], [1, 1, 0, 1, 1]]).bool()
    die = torch.tensor([[0.1, 0.1, 0.85, 0.95, 0.85], [0.8, 0.9, 0.95, 0.3, 0.7]])
    mask_id, everywhere = 4, torch.ones_like(chosen)
    got = attempt(ids.clone(), chosen.clone(), die.clone(), noise.clone(), mask_id)
    inputs, targets = _two(got, "tensors, the inputs and the targets")
    for name, some in (("inputs", inputs), ("targets", targets)):
        floats = isinstance(some, torch.Tensor) and some.is_floating_point()
        require(not floats, f"gave {name} that are floats: ids are integers, and so is -100")
    given = (die, noise, mask_id)
    right = _fates(ids, chosen, *given)
    overwritten = torch.where(chosen & (die < 0.9), noise, ids)
    on_the_edge = "at exactly 0.8 noise begins, and at exactly 0.9 what stays"
    known = [
        (_fates(ids, everywhere, *given), "tokens that were not chosen were changed"),
        (torch.where(chosen, mask_id, ids), "all the chosen ones became [MASK]: read the die"),
        (_fates(ids, chosen, *given, 0.8, 1.0), "from 0.9 on the token stays as it is"),
        (_fates(ids, chosen, *given, 0.8, 0.8), "from 0.8 to 0.9 the token becomes noise"),
        (_fates(ids, chosen, *given, 0.1, 0.2), "80% become [MASK], 10% noise: the limits are off"),
        (_fates(ids, chosen, *given, 0.801, 0.901), on_the_edge),
        (overwritten, "noise was written over [MASK]: it begins at 0.8"),
        (ids, "nothing was changed"),
    ]
    swapped = torch.where(chosen, ids, IGNORE)
    known.append((swapped, "these are the targets: return the inputs first"))
    expect(inputs, right, "apply_fates(ids, chosen, ...): the inputs", known)
    changed = torch.where(right != ids, ids, IGNORE)
    known = [
        (changed, "the chosen ones that stay have to be guessed too"),
        (
            torch.where(right == mask_id, ids, IGNORE),
            "all chosen ones are targets, not [MASK] alone",
        ),
        (ids, "only the chosen ones are targets; the others are -100"),
        (torch.where(chosen, right, IGNORE), "a target is what stood there, not what stands there"),
        (torch.where(chosen, IGNORE, ids), "the other way round: -100 where nothing was chosen"),
        (torch.where(chosen, ids, 0), "what is no target is -100, which cross_entropy leaves out"),
    ]
    expect(targets, torch.where(chosen, ids, IGNORE), "apply_fates(...): the targets", known)


@exercise("9.3")
def gap_distribution(attempt):
    """Bayes' rule: the texts that agree elsewhere, divided by their sum."""
    chances = {
        ("Anna", "sang"): 0.1,
        ("Anna", "ran"): 0.3,
        ("Tom", "sang"): 0.4,
        ("Tom", "ran"): 0.2,
    }
    for text, i in ((("Anna", "sang"), 0), (("Tom", "ran"), 1), (("May", "ran"), 0)):
        agree = {
            t[i]: p for t, p in chances.items() if t[:i] + t[i + 1 :] == text[:i] + text[i + 1 :]
        }
        right = {word: p / sum(agree.values()) for word, p in agree.items()}
        alone = {word: sum(p for t, p in chances.items() if t[i] == word) for word in right}
        same = {t[1 - i]: p for t, p in chances.items() if t[i] == text[i]}
        known = [
            (agree, "these do not sum to one: divide by their sum"),
            (alone, "that is the word's share without the others: keep only texts that agree"),
            ({w: p / (sum(same.values()) or 1) for w, p in same.items()},
             "that is the other word's distribution, given word i"),
            ({w: p / max(agree.values()) for w, p in agree.items()},
             "divide by the sum, not the largest"),
            (lambda got: any(isinstance(key, tuple) for key in got),
             "the keys are words, not texts"),
            (lambda got, text=text, i=i: text[i] not in got and len(got) == 1,
             "what stands at place i has no influence: it is hidden"),
            (lambda got, text=text, i=i: set(got) == {text[i]},
             "only texts with the true word were kept: word i is hidden, any may stand there"),
            (lambda got: not got, "no text agreed: compare all places but i"),
        ]  # fmt: skip
        expect(attempt(dict(chances), text, i), right, known=known)


def _model(table):
    """Log-probabilities that depend on the whole row, as a BERT's do."""
    vocab_size = len(table)

    def log_probs(ids):
        kind = type(ids).__name__
        require(isinstance(ids, list), f"called log_probs with {kind}, not a list of ids")
        rows = []
        for t, here in enumerate(ids):
            others = sum((k + 1) * i for k, i in enumerate(ids) if k != t)
            # a word in sight is all but certain; a hidden one depends on the others
            scores = [
                table[(v + others + t) % vocab_size] + 6.0 * (v == here) for v in range(vocab_size)
            ]
            total = math.log(sum(map(math.exp, scores)))
            rows.append([score - total for score in scores])
        return rows

    return log_probs


@exercise("9.4")
def pseudo_logprob(attempt):
    """Each word hidden in turn, all others in sight, the logarithms added up."""
    mask_id = 4
    log_probs = _model([0.3, -1.2, 0.8, 0.1, -0.5, 1.1, -2.0])
    for ids in ([2, 5, 6, 0, 3], [2, 6, 3]):
        places = range(1, len(ids) - 1)

        def hidden(some, ids=ids):
            return [mask_id if t in some else i for t, i in enumerate(ids)]

        terms = [log_probs(hidden([t]))[t][ids[t]] for t in places]
        every = [log_probs(hidden([t]))[t][ids[t]] for t in range(len(ids))]
        first, last = (sum(log_probs(hidden([t]))[t][ids[t]] for t in some)
                       for some in (places[1:], range(len(ids) - 1)))  # fmt: skip
        before = [[*ids[:t], mask_id] for t in places]
        deleted = (log_probs(ids[:t] + ids[t + 1 :])[t][ids[t]] for t in places)
        kept, left = [], list(ids)
        for t in places:  # masks that were never taken back
            left[t] = mask_id
            kept.append(log_probs(list(left))[t][ids[t]])
        known = [
            (sum(log_probs(ids)[t][ids[t]] for t in places),
             "nothing was hidden: at each place the model sees the word itself"),
            (sum(log_probs(hidden(places))[t][ids[t]] for t in places),
             "all were hidden at once: hide one, with the others in sight"),
            *((sum(log_probs(row + end)[t][ids[t]] for row, t in zip(before, places, strict=True)),
               "the words behind the gap were cut off: all others stay in sight")
              for end in ([], ids[-1:])),
            (sum(deleted), "the word was deleted: put the mask in its place"),
            (sum(kept), "the masks were never taken back: work on a fresh copy for each word"),
            (sum(every), "[CLS] and [SEP] are neither hidden nor counted"),
            (last, "[CLS] is not counted, the last word is"),
            (first, "the first word after [CLS] was left out"),
            (sum(log_probs(hidden([t]))[t][mask_id] for t in places),
             "that is the log-probability of the mask: look up the word that was taken away"),
            (sum(terms) / len(terms), "add them up: that is their mean"),
            (-sum(terms), "a log-probability is negative: no minus sign"),
            (sum(map(math.exp, terms)), "add the logarithms, not the probabilities"),
            (math.exp(sum(terms)), "that is the product of the probabilities: leave out exp"),
        ]  # fmt: skip
        if len(ids) == 3:  # with one word several of these mistakes make no difference
            known = known[:1]
        what = f"pseudo_logprob(log_probs, {ids}, {mask_id})"
        expect(attempt(log_probs, list(ids), mask_id), sum(terms), what, known)
