"""The loop: what it does besides following the gradient, and that it learns."""

import math
import signal
import threading

import pytest
import torch
import torch.nn.functional as F
from tiny_model import T, TinyModel, config, text, windows
from torch import nn

from minillm.train import checkpoint, loop
from minillm.train.batches import TokenWindows
from minillm.train.device import choose_device
from minillm.train.loop import backward, evaluate, train
from minillm.train.objectives import IGNORE, causal_lm
from minillm.train.optim import Optimizer


def fresh(dropout: float = 0.0) -> TinyModel:
    torch.manual_seed(7)
    return TinyModel(dropout)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_it_learns(optimizer):
    history = train(
        fresh(),
        causal_lm,
        windows(2000),
        config(steps=150, batch_size=8, optimizer=optimizer),
        val_data=windows(300, seed=1),
        progress=False,
    )
    assert history.stopped == "finished"
    assert len(history.losses) == 150
    assert history.tokens == 150 * 8 * T
    assert history.losses[0] > 2.0  # log(11) is 2.4
    assert history.val_loss == history.val_losses[-1] < 1.0
    assert 0 < history.step_seconds <= history.seconds


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    runs = []
    for seed in (1, 1, 2):
        model = fresh(dropout=0.3)
        train(model, causal_lm, windows(seed=seed), config(seed=seed), progress=False)
        runs.append(model)
    assert same_weights(runs[0], runs[1])
    assert not same_weights(runs[0], runs[2])


class Uneven:
    """Batches whose halves have different numbers of scored targets."""

    def batch(self, start, size):
        inputs, targets = windows().batch(start, size)
        targets[: size // 2, 1:] = IGNORE
        targets[0] = IGNORE
        return inputs, targets

    def fingerprint(self):
        return "uneven"


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_a_batch_in_parts_gives_the_gradient_and_the_weights_of_the_whole(parts):
    def objective(model, batch):  # in float64, so that equal means equal
        return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())

    def double():
        return fresh().double()

    gradients = []
    for n in (1, parts):
        model = double()
        loss = backward(model, objective, Uneven().batch(0, 8), n)
        gradients.append([loss, *(p.grad for p in model.parameters())])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-12, rtol=1e-9)

    models = []
    for n in (1, parts):
        models.append(double())
        settings = config(batch_size=8, accumulation=n, steps=10)
        train(models[-1], objective, Uneven(), settings, progress=False)
    torch.testing.assert_close(models[0].state_dict(), models[1].state_dict(), atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("n", [7, 50, 61])
def test_evaluation_is_the_mean_over_every_token(n):
    model, tokens = fresh(), torch.from_numpy(text(n))
    with torch.no_grad():
        logits = model(tokens[None, :-1])[0]  # this model sees one token at a time
    whole = F.cross_entropy(logits, tokens[1:]).item()
    for size in (1, 2, 3, 64):
        got = evaluate(model, causal_lm, TokenWindows(tokens, T), size)
        assert got == pytest.approx(whole, rel=1e-5)


def test_evaluation_switches_dropout_off_and_back_on():
    model = fresh(dropout=0.5).train()
    losses = {evaluate(model, causal_lm, windows()) for _ in range(3)}
    assert len(losses) == 1
    assert model.training


def test_the_gradient_is_clipped_when_the_step_is_taken(monkeypatch):
    norms, step = [], Optimizer.step

    def spy(self, number):
        norms.append(torch.stack([p.grad.norm() for p in self.names]).norm().item())
        step(self, number)

    monkeypatch.setattr(Optimizer, "step", spy)

    def steep(model, batch):
        return 1000 * causal_lm(model, batch)

    train(fresh(), steep, windows(), config(steps=5, clip=0.25), progress=False)
    assert norms == pytest.approx([0.25] * 5, rel=1e-3)
    norms.clear()
    train(fresh(), steep, windows(), config(steps=5, clip=0), progress=False)
    assert min(norms) > 1


def test_the_optimizer_is_told_the_step_and_sees_only_its_own_gradient(monkeypatch):
    steps, grads, step = [], [], Optimizer.step

    def spy(self, number):
        steps.append(number)
        grads.append(torch.stack([p.grad.norm() for p in self.names]).norm().item())
        for group in self.optimizers[0].param_groups:
            group["peak"] = 0.0  # nothing moves
        step(self, number)

    monkeypatch.setattr(Optimizer, "step", spy)
    data = windows()
    data.batch = lambda start, size: windows().batch(0, size)  # the same batch each time
    train(fresh(), causal_lm, data, config(steps=4, clip=0, weight_decay=0), progress=False)
    assert steps == [0, 1, 2, 3]
    assert grads == pytest.approx([grads[0]] * 4)  # not summed up over steps


def test_each_step_reads_the_next_batch_once():
    asked, data = [], windows()
    read = data.batch
    data.batch = lambda start, size: asked.append((start, size)) or read(start, size)
    train(fresh(), causal_lm, data, config(steps=6), progress=False)
    assert asked == [(4 * step, 4) for step in range(6)]


def scripted(losses, seen, monkeypatch):
    """Evaluations that give these losses, whatever the weights, and note the weights."""
    script = iter(losses)

    def fake(model, *_):
        seen.append(checkpoint.weights(model))
        return next(script)

    monkeypatch.setattr(loop, "evaluate", fake)


def test_patience_stops_early_and_keeps_the_best_weights(monkeypatch, tmp_path):
    seen, model = [], fresh()
    scripted([3.0, 2.0, 2.5, 1.9, 2.1, 1.9, 0.0], seen, monkeypatch)
    settings = config(steps=100, eval_every=5, patience=2)
    history = train(
        model, causal_lm, windows(), settings, val_data=windows(), folder=tmp_path, progress=False
    )
    assert history.stopped == "early"
    assert history.val_steps == [5, 10, 15, 20, 25, 30]
    assert history.val_loss == 1.9
    torch.testing.assert_close(checkpoint.weights(model), seen[3], atol=0, rtol=0)
    assert not torch.equal(seen[3]["head.weight"], seen[5]["head.weight"])
    saved = fresh()
    checkpoint.load_weights(saved, checkpoint.latest(tmp_path))
    assert same_weights(saved, model)


def test_a_stop_between_evaluations_forgets_neither_patience_nor_the_best(monkeypatch, tmp_path):
    class Stop(Exception):
        pass

    def run(until, resume):
        calls, model = [0], fresh()

        def objective(model, batch):
            calls[0] += 1
            if calls[0] > until:
                raise Stop
            return causal_lm(model, batch)

        settings = config(steps=100, eval_every=5, patience=2, checkpoint_every=1)
        kw = {"val_data": windows(), "folder": tmp_path, "resume": resume, "progress": False}
        return train(model, objective, windows(), settings, **kw), model

    seen = []
    scripted([2.0, 1.0, 3.0, 4.0], seen, monkeypatch)
    with pytest.raises(Stop):
        run(17, False)
    history, model = run(99, True)
    assert history.stopped == "early"
    assert history.val_losses == [2.0, 1.0, 3.0, 4.0]
    torch.testing.assert_close(checkpoint.weights(model), seen[1], atol=0, rtol=0)


def test_without_patience_the_last_weights_are_kept(monkeypatch):
    seen, model = [], fresh()
    scripted([1.0, 2.0, 3.0], seen, monkeypatch)
    settings = config(steps=15, eval_every=5)
    history = train(model, causal_lm, windows(), settings, val_data=windows(), progress=False)
    assert history.val_loss == 3.0
    torch.testing.assert_close(checkpoint.weights(model), seen[2], atol=0, rtol=0)


def test_patience_needs_something_to_wait_for():
    with pytest.raises(ValueError, match=r"patience \(2\) needs an eval_every"):
        config(patience=2)
    with pytest.raises(ValueError, match=r"patience \(2\) needs val_data"):
        train(fresh(), causal_lm, windows(), config(patience=2, eval_every=5))


def test_ctrl_c_saves_and_the_rest_can_be_done_later(tmp_path):
    whole = fresh(dropout=0.2)
    train(whole, causal_lm, windows(), config(), progress=False)
    calls = [0]

    def interrupted(model, batch):
        calls[0] += 1
        if calls[0] == 13:
            signal.raise_signal(signal.SIGINT)
        return causal_lm(model, batch)

    before = signal.getsignal(signal.SIGINT)
    model = fresh(dropout=0.2)
    history = train(model, interrupted, windows(), config(), folder=tmp_path, progress=False)
    assert history.stopped == "interrupted"
    assert len(history.losses) == 13  # the step in hand is finished
    assert signal.getsignal(signal.SIGINT) is before
    rest = fresh(dropout=0.2)
    kw = {"folder": tmp_path, "resume": True, "progress": False}
    history = train(rest, causal_lm, windows(), config(), **kw)
    assert history.stopped == "finished"
    assert len(history.losses) == 30
    assert same_weights(rest, whole)


def test_a_second_ctrl_c_does_not_wait():
    def stubborn(model, batch):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return causal_lm(model, batch)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), stubborn, windows(), config(), progress=False)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_loss_that_is_not_finite_stops_the_run_and_spoils_no_checkpoint(tmp_path):
    calls = [0]

    def breaking(model, batch):
        calls[0] += 1
        return causal_lm(model, batch) * (math.nan if calls[0] > 12 else 1)

    with pytest.raises(FloatingPointError, match=r"nan at step 13"):
        train(
            fresh(),
            breaking,
            windows(),
            config(checkpoint_every=4),
            folder=tmp_path,
            progress=False,
        )
    good = fresh()
    checkpoint.load_weights(good, checkpoint.latest(tmp_path))
    assert checkpoint.latest(tmp_path).name == "step-000012"
    assert all(p.isfinite().all() for p in good.parameters())


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    train(fresh(), causal_lm, windows(), config(steps=3), folder=tmp_path, progress=False)
    with pytest.raises(ValueError, match="holds a run already"):
        train(fresh(), causal_lm, windows(), config(steps=3), folder=tmp_path, progress=False)


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match="needs the folder"):
        train(fresh(), causal_lm, windows(), config(), resume=True)


def test_another_config_or_other_data_is_not_resumed(tmp_path):
    kw = {"folder": tmp_path, "progress": False}
    train(fresh(), causal_lm, windows(), config(steps=3), **kw)
    with pytest.raises(ValueError, match=r"trained with lr 0.01, not 0.02"):
        train(fresh(), causal_lm, windows(), config(steps=3, lr=0.02), resume=True, **kw)
    with pytest.raises(ValueError, match="other data"):
        train(fresh(), causal_lm, windows(399), config(steps=3), resume=True, **kw)


def test_a_finished_run_resumes_to_itself(tmp_path):
    model, again = fresh(), fresh()
    kw = {"folder": tmp_path, "progress": False, "val_data": windows(100)}
    first = train(model, causal_lm, windows(), config(steps=5), **kw)
    files = sorted(tmp_path.rglob("*"))
    second = train(again, causal_lm, windows(), config(steps=5), resume=True, **kw)
    assert second == first
    assert same_weights(model, again)
    assert sorted(tmp_path.rglob("*")) == files


def test_any_objective_will_do():
    """Classification: another batch, another loss, the same loop."""

    class Sums:
        def batch(self, start, size):
            x = torch.randn(size, 4, generator=torch.Generator().manual_seed(start))
            return x, (x.sum(1) > 0).long()

        def in_order(self, size):
            yield self.batch(10**6, 200)

        def fingerprint(self):
            return "sums"

    def objective(model, batch):
        return F.cross_entropy(model(batch[0]), batch[1])

    torch.manual_seed(0)
    settings = config(steps=100, batch_size=16, lr=0.05)
    history = train(nn.Linear(4, 2), objective, Sums(), settings, val_data=Sums(), progress=False)
    assert history.val_loss < 0.2


def test_the_bar_is_on_stderr_or_nowhere(capfd):
    train(fresh(), causal_lm, windows(), config(steps=12), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "12/12" in err
    assert "loss=" in err
    assert "tokens/s=" in err
    train(fresh(), causal_lm, windows(), config(steps=12), progress=False)
    assert capfd.readouterr() == ("", "")


def test_it_runs_in_a_thread_and_in_bfloat16():
    histories = []

    def work():
        settings = config(steps=10, precision="bfloat16")
        histories.append(train(fresh(), causal_lm, windows(), settings, progress=False))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    exact = train(fresh(), causal_lm, windows(), config(steps=10), progress=False)
    assert histories[0].losses == pytest.approx(exact.losses, rel=0.02)
    assert histories[0].losses != exact.losses


def test_devices():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(ValueError, match="isn't there; this machine has"):
        choose_device("abacus")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": math.nan}, "lr must be a number above 0, not nan"),
        ({"lr": -1.0}, "lr must be"),
        ({"muon_lr": math.inf}, "muon_lr must be"),
        ({"steps": 0}, "steps must be 1 or more, not 0"),
        ({"batch_size": 6, "accumulation": 4}, r"batch_size \(6\) must be divisible by"),
        ({"clip": -1.0}, "clip must be 0 or more"),
        ({"weight_decay": math.nan}, "weight_decay must be"),
        ({"final_lr": 1.5}, "final_lr must be from 0 to 1"),
        ({"beta2": 1.0}, "beta2 must be"),
        ({"optimizer": "sgd"}, "optimizer must be one of"),
        ({"precision": "float16"}, "precision must be one of"),
        ({"warmup_steps": -1}, "warmup_steps must be 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)
