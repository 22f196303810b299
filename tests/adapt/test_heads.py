"""Heads: each reads the right tokens, padding changes nothing, what is frozen is frozen."""

import pytest
import torch

from minillm.adapt.heads import (
    SequenceClassifier,
    SpanClassifier,
    TokenClassifier,
    read,
    summary,
    train_only,
)
from minillm.model.bert import BERT, BertConfig
from minillm.model.gpt import GPT, GPTConfig

SIZES = {"context_length": 12, "d_model": 16, "n_heads": 2, "n_layers": 2}
IDS = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 1, 0, 0]])
REAL = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
SEGMENTS = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])


def bert():
    torch.manual_seed(0)
    return BERT(BertConfig(20, **SIZES)).eval()


def gpt():
    torch.manual_seed(0)
    return GPT(GPTConfig(20, **SIZES)).eval()


def test_a_berts_summary_is_its_pooled_first_token():
    body = bert()
    x = read(body, IDS, SEGMENTS, REAL)
    torch.testing.assert_close(x, body.hidden(IDS, SEGMENTS, REAL))
    torch.testing.assert_close(summary(body, x, REAL), body.pooler(x[:, 0]).tanh())


def test_a_gpts_summary_is_its_last_real_token():
    body = gpt()
    x = read(body, IDS, SEGMENTS, REAL)
    torch.testing.assert_close(summary(body, x, REAL), torch.stack([x[0, 4], x[1, 2]]))
    torch.testing.assert_close(summary(body, x), x[:, -1])


@pytest.mark.parametrize("body", [bert, gpt])
def test_a_rows_class_does_not_depend_on_its_padding(body):
    model = SequenceClassifier(body(), 3).eval()
    alone = model(IDS[1:, :3], SEGMENTS[1:, :3], REAL[1:, :3])
    torch.testing.assert_close(model(IDS, SEGMENTS, REAL)[1:], alone)


def test_a_token_has_logits_of_its_own():
    model = TokenClassifier(bert(), 3).eval()
    x = read(model.body, IDS, SEGMENTS, REAL)
    torch.testing.assert_close(model(IDS, SEGMENTS, REAL)[0, 2], model.head(x[0, 2]))


def test_a_span_lies_in_the_second_text_or_in_the_only_one():
    model = SpanClassifier(bert()).eval()
    open_ = model(IDS, SEGMENTS, REAL).isfinite()  # (B, 2, T)
    expected = (SEGMENTS == 1) & REAL
    assert torch.equal(open_, expected[:, None].expand_as(open_))
    one_text = model(IDS, torch.zeros_like(IDS), REAL).isfinite()
    assert torch.equal(one_text, REAL[:, None].expand_as(one_text))
    assert model(IDS).isfinite().all()


def test_all_answers_start_nearly_alike():
    model = SequenceClassifier(bert(), 4).eval()
    torch.manual_seed(1)
    vectors = torch.randn(50, 16)  # as large as a normalised layer's
    assert model.scores(vectors).softmax(dim=-1).sub(0.25).abs().max() < 0.1


def test_dropout_is_for_training_only():
    model = SequenceClassifier(bert(), 4, dropout=0.5)
    assert not torch.equal(model(IDS), model(IDS))
    model.eval()
    assert torch.equal(model(IDS), model(IDS))


def test_only_what_is_named_is_trained():
    model = SequenceClassifier(bert(), 3)
    names = train_only(model, "head.*", "body.encoder.blocks.1.*")
    assert names == [n for n, p in model.named_parameters() if p.requires_grad]
    assert {n.split(".")[0] for n in names} == {"head", "body"}
    assert all(n.startswith(("head.", "body.encoder.blocks.1.")) for n in names)
    assert model.n_parameters() == sum(p.numel() for p in model.parameters() if p.requires_grad)
    model(IDS).sum().backward()
    assert model.body.embedding.tokens.weight.grad is None
    assert len(train_only(model, "*")) == len([*model.parameters()])
    with pytest.raises(ValueError, match=r"'heed\.\*' fits no parameter, such as 'head.bias'"):
        train_only(model, "heed.*")
