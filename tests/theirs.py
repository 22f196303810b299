"""Small models of transformers', in folders and in memory, for tests that compare with ours."""

import json
import warnings

import torch
import transformers
from safetensors.torch import load_file, save_file

from minillm import hub
from minillm.hub import export
from minillm.hub.formats import FORMATS
from minillm.hub.weights import our_config, our_model

CONFIGS = {
    "GPT2": transformers.GPT2Config,
    "Bert": transformers.BertConfig,
    "DistilBert": transformers.DistilBertConfig,
    "Roberta": transformers.RobertaConfig,
}


def drawn(model, seed=0):
    """The model with all its weights drawn, so that each of them matters; in eval mode."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=g) * 0.2)
    return model.eval()


def make(name, seed=0, width=8, heads=2, layers=2, ff=12, **options):
    """A small model of transformers', its weights drawn."""
    kind = next(kind for kind in CONFIGS if name.startswith(kind))
    sizes = {"hidden_size": width, "num_attention_heads": heads, "num_hidden_layers": layers}
    sizes |= {"vocab_size": 40, "max_position_embeddings": 16}
    if kind == "GPT2":
        options = {"n_inner": ff, "bos_token_id": None, "eos_token_id": None} | options
        sizes |= {"resid_pdrop": 0.0}
    elif kind == "DistilBert":
        sizes |= {"hidden_dim": ff, "dropout": 0.0}
    else:
        sizes |= {"intermediate_size": ff, "hidden_dropout_prob": 0.0}
    return drawn(getattr(transformers, name)(CONFIGS[kind](**(sizes | options))), seed)


def save(name, folder, **options):
    """A small model of transformers' in a folder; returns the model."""
    model = make(name, **options)
    model.save_pretrained(folder)
    return model


def load_quietly(folder, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return hub.load_model(folder, *arguments)


def change(folder, edit, file="model.safetensors"):
    """Applies a function to a folder's tensors, or to the contents of its config.json."""
    path = folder / file
    if file.endswith(".json"):
        content = json.loads(path.read_text("utf-8"))
        edit(content)
        path.write_text(json.dumps(content), "utf-8")
    else:
        tensors = load_file(path)
        edit(tensors)
        save_file(tensors, path, metadata={"format": "pt"})


def as_theirs(model, kind):
    """The same model as transformers' GPT2LMHeadModel or BertForPreTraining, in eval mode."""
    given = export.their_config(model, kind, None)
    config = transformers.AutoConfig.for_model(**given)
    theirs = getattr(transformers, given["architectures"][0])(config).eval()
    weights = export.their_weights(model, FORMATS[kind])
    missing, left = theirs.load_state_dict(weights, strict=False)
    assert not left and {*missing} <= FORMATS[kind].copies.keys()  # tied: second names
    return theirs


def our_gradients(theirs):
    """The gradients of transformers' parameters, by the names of ours."""
    grads = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in theirs.named_parameters()
    }
    given = {**theirs.config.to_dict(), "architectures": None}
    model = our_model(given, our_config(given, "config"), grads, "gradients")
    return dict(model.named_parameters())
