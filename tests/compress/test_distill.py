"""Distillation: the loss is what it says, the teacher stays, layers are compared fairly."""

import pytest
import torch
from torch.nn import functional as F

from minillm.adapt.examples import Example, collate
from minillm.adapt.heads import SequenceClassifier, SpanClassifier, TokenClassifier
from minillm.compress.distill import (
    attention_loss,
    distill,
    from_layers,
    hidden_loss,
    label_by,
    recorded,
    soft_loss,
)
from minillm.model.bert import BERT, BertConfig
from minillm.model.gpt import GPT, GPTConfig
from minillm.train.objectives import IGNORE, causal_lm, classification


def bert(n_layers=3, seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"context_length": 16, "d_model": 16, "n_heads": 2, "n_layers": n_layers} | changes
    body = BERT(BertConfig(30, **sizes))
    for p in body.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return body


def examples():
    return [
        Example([1, 5, 6, 7, 2], [0] * 5, 0),
        Example([1, 8, 2], [0] * 3, 2),
        Example([1, 9, 10, 2, 11, 2], [0, 0, 0, 0, 1, 1], 1),
    ]


def classifier(**options):
    torch.manual_seed(1)
    return SequenceClassifier(bert(**options), 3, dropout=0.0)


def kl_by_hand(student, teacher, temperature):
    """T² times the mean over rows of the sum of p log(p / q), number by number."""
    total = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        p = torch.tensor([x / temperature for x in t]).exp()
        q = torch.tensor([x / temperature for x in s]).exp()
        p, q = p / p.sum(), q / q.sum()
        total += float(sum(a * torch.log(a / b) for a, b in zip(p, q, strict=True)))
    return temperature**2 * total / len(student)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_soft_loss_is_kl_by_hand(temperature):
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 5), torch.randn(4, 5)
    loss = soft_loss(student, teacher, temperature)
    assert float(loss) == pytest.approx(kl_by_hand(student, teacher, temperature), rel=1e-5)


def test_at_high_temperatures_the_gradient_is_that_of_the_logits_squared_difference():
    # Hinton et al. 2015, section 2.1: for centred logits it tends to (z - v) / K, whatever T is.
    torch.manual_seed(0)
    student, teacher = torch.randn(1, 6), torch.randn(1, 6)
    student, teacher = student - student.mean(), teacher - teacher.mean()
    student.requires_grad_()
    for temperature in (100.0, 1000.0):
        (grad,) = torch.autograd.grad(soft_loss(student, teacher, temperature), student)
        torch.testing.assert_close(grad, (student - teacher).detach() / 6, atol=2e-3, rtol=0.05)


def test_what_cannot_be_chosen_leaves_the_loss_and_its_gradient_finite():
    student = torch.tensor([[0.3, 0.1, -torch.inf]], requires_grad=True)
    teacher = torch.tensor([[1.0, 0.5, -torch.inf]])
    loss = soft_loss(student, teacher, 2.0)
    expected = soft_loss(student[:, :2], teacher[:, :2], 2.0)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_objective_is_the_two_losses_in_their_shares(alpha):
    student, teacher = classifier(seed=2), classifier(seed=3)
    batch = collate(examples())
    *inputs, targets = batch
    soft = soft_loss(student(*inputs), teacher(*inputs), 3.0)
    hard = F.cross_entropy(student(*inputs), targets)
    loss = distill(teacher, 3.0, alpha)(student, batch)
    torch.testing.assert_close(loss, alpha * soft + (1 - alpha) * hard)
    if alpha == 0:
        torch.testing.assert_close(loss, classification(student, batch))


def test_the_teacher_is_in_eval_mode_gets_no_gradient_and_does_not_move():
    teacher = SequenceClassifier(bert(dropout=0.5), 3, dropout=0.5).train()
    before = {name: t.clone() for name, t in teacher.state_dict().items()}
    student, batch = classifier(seed=2), collate(examples())
    objective = distill(teacher, hidden=[(0, 0)], attention=[(0, 0)])
    loss = objective(student, batch)
    loss.backward()
    assert not teacher.training
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(t, before[name]) for name, t in teacher.state_dict().items())
    assert torch.equal(loss, objective(student, batch))  # a teacher with dropout would waver


def test_what_is_not_scored_counts_nowhere():
    torch.manual_seed(0)
    student, teacher = (TokenClassifier(bert(seed=s), 3, dropout=0.0) for s in (1, 2))
    few = [Example([1, 5, 6, 2], [0] * 4, [IGNORE, 2, IGNORE, IGNORE])]
    *inputs, targets = collate(few)
    loss = distill(teacher, 2.0, 0.5)(student, (*inputs, targets))
    s, t = student(*inputs)[0, 1:2], teacher(*inputs)[0, 1:2]
    expected = 0.5 * soft_loss(s, t, 2.0) + 0.5 * F.cross_entropy(s, torch.tensor([2]))
    torch.testing.assert_close(loss, expected)


def test_a_gpt_learns_from_a_gpt_by_tokens():
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=12, context_length=8, d_model=16, n_heads=2, n_layers=1)
    student, teacher = GPT(config), GPT(config)
    batch = torch.randint(12, (2, 8)), torch.randint(12, (2, 8))
    torch.testing.assert_close(
        distill(teacher, alpha=0.0)(student, batch), causal_lm(student, batch)
    )
    assert distill(student, alpha=1.0)(student, batch).item() == pytest.approx(0, abs=1e-6)


def test_layers_are_alike_in_a_copy_and_apart_in_another():
    teacher, batch = classifier(seed=1), collate(examples())
    pairs = [(0, 0), (2, 2)]
    plain = distill(teacher, alpha=1.0)
    matched = distill(teacher, alpha=1.0, hidden=pairs, attention=pairs)
    copy, other = from_layers(teacher, [0, 1, 2]), classifier(seed=5)
    assert float(matched(copy, batch).detach()) == pytest.approx(0, abs=1e-5)
    assert matched(other, batch) > plain(other, batch) + 0.01


def test_layer_losses_leave_out_padding_and_reach_the_students_gradient():
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    real = torch.tensor([[True, True, False], [True, False, False]])
    whole = hidden_loss(x, y, real)
    assert torch.equal(whole, hidden_loss(torch.where(real[..., None], x, x + 9), y, real))
    p, q = torch.rand(2, 2, 3, 3).softmax(-1), torch.rand(2, 2, 3, 3).softmax(-1)
    rows = [F.kl_div(q[b, :, t].log(), p[b, :, t], reduction="sum") / 2
            for b in range(2) for t in range(3) if real[b, t]]  # fmt: skip
    torch.testing.assert_close(attention_loss(q, p, real), torch.stack(rows).mean())
    student = classifier(seed=2)
    distill(classifier(seed=3), alpha=1.0, attention=[(2, 2)])(
        student, collate(examples())
    ).backward()
    assert student.body.encoder.blocks[2].attention.qkv.weight.grad.abs().sum() > 0


def test_recording_leaves_no_hooks_behind():
    model = classifier()
    with pytest.raises(ValueError, match="block 7 isn't there"), recorded(model, [(7, 0)], [], 0):
        pass
    with recorded(model, [(0, 0)], [(1, 1)], 0) as found:
        model(*collate(examples())[:3])
    assert [x.dim() for x in found] == [3, 4]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_student_from_some_layers():
    teacher = classifier(n_layers=4).eval()
    batch = collate(examples())[:3]
    assert torch.equal(from_layers(teacher, [0, 1, 2, 3])(*batch), teacher(*batch))
    student = from_layers(teacher, [0, 2])
    assert student.body.config.n_layers == 2 and teacher.body.config.n_layers == 4
    ours, theirs = student.body.encoder.blocks, teacher.body.encoder.blocks
    assert torch.equal(ours[1].attention.qkv.weight, theirs[2].attention.qkv.weight)
    ours[1].attention.qkv.weight.data.zero_()
    assert theirs[2].attention.qkv.weight.abs().sum() > 0
    again = SequenceClassifier(BERT(student.body.config), 3)
    again.load_state_dict(student.state_dict())  # the names count from 0 again


@pytest.mark.parametrize("layers", [[], [0, 0], [2, 1], [4], [-1]])
def test_layers_that_cannot_be_kept_are_named(layers):
    with pytest.raises(ValueError, match=r"layers .* must rise and be from 0 to 2"):
        from_layers(bert(n_layers=3), layers)


def test_labels_of_the_teacher():
    teacher = classifier().eval()
    labelled = label_by(teacher, examples())
    *inputs, _ = collate(examples())
    assert [e.target for e in labelled] == teacher(*inputs).argmax(1).tolist()
    assert [e.ids for e in labelled] == [e.ids for e in examples()]
    tagger = TokenClassifier(bert(), 4).eval()
    rows = [Example([1, 5, 6, 2], [0] * 4, [IGNORE, 0, 0, IGNORE])]
    (found,) = label_by(tagger, rows)
    wanted = tagger(*collate(rows)[:3])[0].argmax(1).tolist()
    assert found.target == [IGNORE, *wanted[1:3], IGNORE]
    finder = SpanClassifier(bert()).eval()
    rows = [Example([1, 9, 2, 5, 6, 2], [0, 0, 0, 1, 1, 1], [IGNORE, IGNORE])]
    assert label_by(finder, rows)[0].target == [IGNORE, IGNORE]


def test_wrong_settings_are_named():
    teacher, batch = classifier(), collate(examples())
    with pytest.raises(ValueError, match=r"temperature \(0\) must be above 0"):
        distill(teacher, 0)
    with pytest.raises(ValueError, match=r"alpha \(1.5\) must be from 0 to 1"):
        distill(teacher, alpha=1.5)
    narrow = SequenceClassifier(bert(d_model=8), 3)
    with pytest.raises(ValueError, match="8 wide, the teacher's 16"):
        distill(teacher, hidden=[(0, 0)])(narrow, batch)
    one_head = SequenceClassifier(bert(n_heads=1), 3)
    with pytest.raises(ValueError, match="has 1 heads, the teacher 2"):
        distill(teacher, attention=[(0, 0)])(one_head, batch)
