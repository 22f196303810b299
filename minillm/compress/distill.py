"""Distillation: a small model learns from a large one's probabilities, layers or words.

The teacher sits inside the objective, so the loop trains a student as it trains any model. What it
learns from can be any text: where there are no labels, the teacher gives them.

But: teacher and student share a tokenizer, and every text passes through the teacher each time.
"""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minillm.adapt.examples import Example, predict
from minillm.train.objectives import IGNORE

Pairs = Sequence[tuple[int, int]]


def soft_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """How far a student's softened probabilities are from its teacher's: T² KL(teacher || student).

    Args:
        student, teacher: logits (N, K); where the teacher's are -inf, the student's must be.
        temperature: T, by which both logits are divided. The gradient then shrinks by about T², as
            each of the two softmaxes gets T times flatter, so the loss is multiplied by T².
    Returns: the mean over the N rows, in nats times T².

    Source: Hinton et al. 2015, arXiv:1503.02531, sections 2 and 2.1.
    Built in chapter 12.
    """
    least = torch.finfo(torch.float32).min / 4  # for -inf, of which a difference is NaN
    log_p, log_q = (
        F.log_softmax(logits.float().clamp(min=least) / temperature, dim=-1)
        for logits in (teacher, student)
    )
    return temperature**2 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def distill(
    teacher: nn.Module,
    temperature: float = 2.0,
    alpha: float = 0.5,
    *,
    hidden: Pairs = (),
    attention: Pairs = (),
    weight: float = 1.0,
) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
    """An objective (student, batch) -> loss: be like the teacher, and be right.

        alpha · soft_loss + (1 - alpha) · cross-entropy + weight · how far the layers are apart

    A batch ends with its targets, as for `classification` and `causal_lm`; what isn't scored there
    counts nowhere.

    Args:
        teacher: gives logits of the same shape as the student; put in eval mode, never changed.
        temperature: as for `soft_loss`.
        alpha: 1 for the teacher alone, 0 for the labels alone.
        hidden: pairs (student's block, teacher's block), from 0, whose outputs shall be alike; the
            two must be equally wide.
        attention: pairs of blocks that shall attend alike; they must have as many heads.
        weight: of both.
    Raises: ValueError for a temperature that isn't above 0, or an alpha outside 0 to 1.

    Source: Hinton et al. 2015, arXiv:1503.02531, section 2; hidden: Sun et al. 2019, PKD,
    arXiv:1908.09355; attention: Wang et al. 2020, MiniLM, arXiv:2002.10957, section 3.1.
    Built in chapter 12.
    """
    if not temperature > 0:
        raise ValueError(f"temperature ({temperature}) must be above 0")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha ({alpha}) must be from 0 to 1")

    def objective(student: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        *inputs, targets = batch
        chosen = targets != IGNORE
        with recorded(student, hidden, attention, 0) as ours:
            logits = student(*inputs)[chosen]  # (N, K)
        with torch.no_grad(), recorded(teacher.eval(), hidden, attention, 1) as theirs:
            wanted = teacher.to(targets.device)(*inputs)[chosen]
        loss = alpha * soft_loss(logits, wanted, temperature)
        if alpha < 1:
            loss = loss + (1 - alpha) * F.cross_entropy(logits.float(), targets[chosen])
        real = inputs[2] if len(inputs) > 2 else torch.ones_like(inputs[0], dtype=torch.bool)
        for mine, its in zip(ours, theirs, strict=True):
            apart = hidden_loss if mine.dim() == 3 else attention_loss
            loss = loss + weight * apart(mine, its, real)
        return loss

    return objective


def hidden_loss(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """The mean squared difference of two layers' vectors (B, T, C), each scaled to length 1.

    Args:
        real: (B, T), False on padding, which doesn't count.
    Raises: ValueError if the vectors aren't equally wide.

    Source: Sun et al. 2019, arXiv:1908.09355, equation 7; there for the first token alone.
    Built in chapter 12.
    """
    if student.shape != teacher.shape:
        widths = f"{student.shape[-1]} wide, the teacher's {teacher.shape[-1]}"
        raise ValueError(f"hidden: the student's vectors are {widths}; they must be equal")
    apart = F.normalize(student[real], dim=-1) - F.normalize(teacher[real], dim=-1)
    return apart.square().sum(dim=-1).mean()


def attention_loss(student: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
    """KL(teacher || student) of attention weights (B, H, T, T), the mean over heads and queries.

    Args:
        real: (B, T), False on padding, whose rows don't count.
    Raises: ValueError if there aren't as many heads.

    Source: Wang et al. 2020, arXiv:2002.10957, equation 4.
    Built in chapter 12.
    """
    if student.shape != teacher.shape:
        heads = f"{student.shape[1]} heads, the teacher {teacher.shape[1]}"
        raise ValueError(f"attention: the student has {heads}; they must be equal")
    p, q = (x.transpose(1, 2)[real].float() for x in (teacher, student))  # (N, H, T)
    return torch.xlogy(p, p).sub(p * q.clamp(min=1e-9).log()).sum(dim=-1).mean()


@contextlib.contextmanager
def recorded(
    model: nn.Module, hidden: Pairs, attention: Pairs, which: int
) -> Iterator[list[Tensor]]:
    """Collects what blocks give, and how they attend, while a model runs.

    Args:
        which: of each pair of numbers, the one that counts: 0 a student's block, 1 a teacher's.
    Yields: a list, which fills as the model runs: outputs (B, T, C) in the order of `hidden`, then
        attention weights (B, H, T, T) in the order of `attention`.
    Raises: ValueError for a number of no block.

    Built in chapter 12.
    """
    layers, found, hooks = blocks(model) if hidden or attention else (), {}, []

    def note_output(key):
        return lambda block, inputs, output: found.update({key: output})

    def note_weights(key):
        def hook(layer, inputs):
            found[key] = layer.weights(*inputs[:3])  # x, memory and mask

        return hook

    for pair in (*hidden, *attention):
        if not 0 <= pair[which] < len(layers):
            raise ValueError(f"block {pair[which]} isn't there: the model has {len(layers)}")
    for place, pair in enumerate(hidden):
        hooks.append(layers[pair[which]].register_forward_hook(note_output((0, place))))
    for place, pair in enumerate(attention):
        layer = layers[pair[which]].attention
        hooks.append(layer.register_forward_pre_hook(note_weights((1, place))))
    result: list[Tensor] = []
    try:
        yield result
    finally:
        for hook in hooks:
            hook.remove()
        result += [found[key] for key in sorted(found)]


def blocks(model: nn.Module) -> nn.ModuleList:
    """A model's stack of Transformer blocks.

    Raises: ValueError if it has none, or more than one.

    Built in chapter 12.
    """
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList)]
    if len(stacks) != 1:
        raise ValueError(f"{type(model).__name__} must have one stack of blocks, not {len(stacks)}")
    return stacks[0]


def from_layers(model: nn.Module, layers: Sequence[int]) -> nn.Module:
    """A copy of a model with some of its blocks only, as a student to start with.

    Args:
        model: a body, or a body with a head; it stays as it is.
        layers: the numbers of the blocks to keep, from 0, in order.
    Raises: ValueError for numbers that aren't there, or not in rising order.

    Source: Sanh et al. 2019, DistilBERT, arXiv:1910.01108, section 3.
    Built in chapter 12.
    """
    student = copy.deepcopy(model)
    stack = blocks(student)
    if not layers or [*layers] != sorted({*layers} & {*range(len(stack))}):
        raise ValueError(f"layers {[*layers]} must rise and be from 0 to {len(stack) - 1}")
    kept = [stack[i] for i in layers]
    del stack[:]
    stack.extend(kept)
    for module in student.modules():
        if hasattr(module, "config"):
            module.config = dataclasses.replace(module.config, n_layers=len(kept))
    return student


def label_by(teacher: nn.Module, examples: Sequence[Example]) -> list[Example]:
    """The same examples with the teacher's most likely classes as targets, wherever one is scored.

    Built in chapter 12.
    """
    labelled = []
    for example, logits in zip(examples, predict(teacher, examples), strict=True):
        guess, target = logits.argmax(dim=-1).tolist(), example.target
        if isinstance(target, list):
            pairs = zip(guess, target, strict=True)
            guess = [g if t != IGNORE else IGNORE for g, t in pairs]
        labelled.append(example._replace(target=guess))
    return labelled
