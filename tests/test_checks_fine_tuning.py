"""Chapter 10's exercise checks: the mistakes that learners make, each with its diagnosis."""

import pytest
import torch
from exercisecheck import assert_diagnosed, solutions

from minillm.checks import fine_tuning as check

SLUG = "10_fine_tuning"


def right_targets(words, tags):
    firsts = [i == 0 or words[i - 1] != w for i, w in enumerate(words)]
    return [-100, *(tags[w] if f else -100 for w, f in zip(words, firsts, strict=True)), -100]


def no_marks(words, tags):
    return right_targets(words, tags)[1:-1]


def no_sep(words, tags):
    return right_targets(words, tags)[:-1]


def no_cls(words, tags):
    return right_targets(words, tags)[1:]


def every_piece(words, tags):
    return [-100, *(tags[w] for w in words), -100]


def last_piece(words, tags):
    lasts = [i == len(words) - 1 or words[i + 1] != w for i, w in enumerate(words)]
    return [-100, *(tags[w] if x else -100 for w, x in zip(words, lasts, strict=True)), -100]


def zero_elsewhere(words, tags):
    return [0 if t == -100 else t for t in right_targets(words, tags)]


def zero_marks(words, tags):
    return [0, *right_targets(words, tags)[1:-1], 0]


def a_target_a_word(words, tags):
    return [-100, *tags, -100]


def numbers_of_words(words, tags):
    return right_targets(words, list(range(len(tags))))


def last_before_first(words, tags):
    inner = [tags[w] if words[i - 1] != w else -100 for i, w in enumerate(words)]
    return [-100, *inner, -100]


def changed_tags(words, tags):
    targets, before = [-100], None
    for w in words:
        targets.append(tags[w] if tags[w] != before else -100)
        before = tags[w]
    return [*targets, -100]


def with_padding(x, real):
    return x.mean(dim=1)


def sum_only(x, real):
    return (x * real[..., None]).sum(dim=1)


def by_T(x, real):
    return (x * real[..., None]).mean(dim=1)


def padding_added(x, real):
    return x.sum(dim=1) / real.sum(dim=1, keepdim=True)


def by_the_batch(x, real):
    return sum_only(x, real) / real.sum()


def first_token(x, real):
    return x[:, 0]


def last_token(x, real):
    return x[torch.arange(len(x)), real.sum(dim=1) - 1]


def of_the_padding(x, real):
    return (x * ~real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)


def over_columns(x, real):
    return (x * real[..., None]).mean(dim=2)


def of_the_batch(x, real):
    return x[real].mean(dim=0)


def kept_dimension(x, real):
    return sum_only(x, real)[:, None] / real.sum(dim=1)[:, None, None]


def counts(labels, n_classes):
    return torch.bincount(torch.tensor(labels), minlength=n_classes).float()


def shares(labels, n_classes):
    return counts(labels, n_classes) / len(labels)


def inverse(labels, n_classes):
    n = counts(labels, n_classes)
    return torch.where(n > 0, 1 / n, 0.0)


def whole_sum(labels, n_classes):
    return len(labels) * inverse(labels, n_classes)


def sums_to_one(labels, n_classes):
    w = inverse(labels, n_classes)
    return w / w.sum()


def mean_over_classes(labels, n_classes):
    return n_classes * sums_to_one(labels, n_classes)


def one_minus(labels, n_classes):
    return 1 - shares(labels, n_classes)


def infinite(labels, n_classes):
    n = counts(labels, n_classes)
    return len(labels) / (n > 0).sum() / n


def missing_shares(labels, n_classes):
    return len(labels) / n_classes * inverse(labels, n_classes)


def missing_counts_once(labels, n_classes):
    n = counts(labels, n_classes).clamp(min=1)
    return len(labels) / len(set(labels)) / n


def integers(labels, n_classes):
    return inverse(labels, n_classes).long()


def all_spans(logits, k, longest, allowed):
    T = logits.shape[1]
    found = [(i, j, (logits[0, i] + logits[1, j]).item()) for i in range(T) for j in range(T)]
    found = [s for s in found if s[2] > -torch.inf and allowed(s[0], s[1])]
    return sorted(found, key=lambda s: -s[2])[:k]


def right_spans(logits, k, longest):
    return all_spans(logits, k, longest, lambda i, j: 0 <= j - i < longest)


def backwards(logits, k, longest):
    return all_spans(logits, k, longest, lambda i, j: True)


def any_length(logits, k, longest):
    return all_spans(logits, k, longest, lambda i, j: i <= j)


def one_too_long(logits, k, longest):
    return all_spans(logits, k, longest, lambda i, j: 0 <= j - i <= longest)


def one_too_short(logits, k, longest):
    return all_spans(logits, k, longest, lambda i, j: 0 <= j - i < longest - 1)


def no_single(logits, k, longest):
    return all_spans(logits, k, longest, lambda i, j: 0 < j - i < longest)


def worst_first(logits, k, longest):
    return right_spans(logits, k, longest)[::-1]


def only_best(logits, k, longest):
    return right_spans(logits, 1, longest)


def rows_swapped(logits, k, longest):
    return right_spans(logits.flip(0), k, longest)


def without_sums(logits, k, longest):
    return [s[:2] for s in right_spans(logits, k, longest)]


def exclusive(logits, k, longest):
    return [(i, j + 1, s) for i, j, s in right_spans(logits, k, longest)]


def products(logits, k, longest):
    probs = logits.softmax(dim=1)
    return [
        (i, j, (probs[0, i] * probs[1, j]).item()) for i, j, _ in right_spans(probs, k, longest)
    ]


def log_probabilities(logits, k, longest):
    return right_spans(logits.log_softmax(dim=1), k, longest)


def with_infinite(logits, k, longest):
    T = logits.shape[1]
    spans = [(i, j) for i in range(T) for j in range(i, min(T, i + longest))]
    found = [(i, j, (logits[0, i] + logits[1, j]).item()) for i, j in spans]
    return sorted(found, key=lambda s: -s[2])[:k]


def a_tensor(logits, k, longest):
    return logits


@pytest.mark.parametrize(
    ("name", "wrong", "diagnosis"),
    [
        ("piece_targets", no_marks, "two more targets"),
        ("piece_targets", no_sep, "[SEP] behind the text"),
        ("piece_targets", no_cls, "[CLS] in front"),
        ("piece_targets", every_piece, "only a word's first piece"),
        ("piece_targets", last_piece, "last piece"),
        ("piece_targets", zero_elsewhere, "0 is the first of the tags"),
        ("piece_targets", zero_marks, "aren't scored"),
        ("piece_targets", a_target_a_word, "one target a piece"),
        ("piece_targets", numbers_of_words, "look up their tags"),
        ("piece_targets", last_before_first, "no piece stands before"),
        ("piece_targets", changed_tags, "two words with the same tag"),
        ("mean_summary", with_padding, "the padding counts"),
        ("mean_summary", sum_only, "that is the sum"),
        ("mean_summary", by_T, "divided by T"),
        ("mean_summary", padding_added, "the padding was added up"),
        ("mean_summary", by_the_batch, "all real tokens of the batch"),
        ("mean_summary", first_token, "BERT's summary"),
        ("mean_summary", last_token, "a GPT's summary"),
        ("mean_summary", of_the_padding, "that is the padding"),
        ("mean_summary", over_columns, "one number a token"),
        ("mean_summary", of_the_batch, "one vector for the whole batch"),
        ("mean_summary", kept_dimension, "one dimension too many"),
        ("balanced_weights", counts, "these are the counts"),
        ("balanced_weights", shares, "these are the shares"),
        ("balanced_weights", inverse, "the mean over the records isn't 1"),
        ("balanced_weights", whole_sum, "divide by the number of classes"),
        ("balanced_weights", sums_to_one, "these sum to 1"),
        ("balanced_weights", mean_over_classes, "the mean over the classes is 1"),
        ("balanced_weights", one_minus, "one minus the share"),
        ("balanced_weights", infinite, "not 1/0"),
        ("balanced_weights", missing_shares, "has no share"),
        ("balanced_weights", missing_counts_once, "never comes gets 0"),
        ("balanced_weights", integers, "gave integers"),
        ("best_spans", backwards, "can't end before it starts"),
        ("best_spans", any_length, "no span has more than"),
        ("best_spans", one_too_long, "from first to last"),
        ("best_spans", one_too_short, "is allowed"),
        ("best_spans", no_single, "may be a single token"),
        ("best_spans", worst_first, "best first"),
        ("best_spans", only_best, "only the best"),
        ("best_spans", rows_swapped, "starts are row 0"),
        ("best_spans", without_sums, "holds its sum"),
        ("best_spans", exclusive, "not the one after it"),
        ("best_spans", products, "add up the logits"),
        ("best_spans", log_probabilities, "sums of log-probabilities"),
        ("best_spans", with_infinite, "leave such spans out"),
        ("best_spans", a_tensor, "should return a list"),
    ],
)
def test_a_plausible_mistake_gets_its_own_diagnosis(name, wrong, diagnosis, capsys):
    assert_diagnosed(getattr(check, name), wrong, diagnosis, capsys)


@pytest.mark.parametrize(
    "name", ["piece_targets", "mean_summary", "balanced_weights", "best_spans"]
)
def test_the_solution_passes_and_the_stub_is_not_attempted(name, capsys):
    def stub(*_):
        raise NotImplementedError

    assert getattr(check, name)(solutions(SLUG)[name])
    assert not getattr(check, name)(stub)
    assert "not attempted" in capsys.readouterr().out
