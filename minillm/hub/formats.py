"""What transformers calls what we have: the fields of config.json, and the weights, kind by kind.

A kind is config.json's model_type. Names of weights are without the prefix that a model with a
head puts before those of its body; N stands for the number of a block.

But: nothing is read or written here; see `files.py`, `weights.py` and `export.py`.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from minillm.model.bert import BERT, BertConfig
from minillm.model.gpt import GPT, GPTConfig

ACTIVATIONS = {  # theirs -> ours; the first of each is what we write
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "relu2": "relu2",
    "gelu_python": "gelu",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
# What transformers takes for a field that older files lack; sizes are always there.
DEFAULTS = {
    "n_inner": None,
    "resid_pdrop": 0.1,
    "hidden_dropout_prob": 0.1,
    "dropout": 0.1,
    "layer_norm_epsilon": 1e-5,
    "layer_norm_eps": 1e-12,
    "activation_function": "gelu_new",
    "hidden_act": "gelu",
    "activation": "gelu",
    "type_vocab_size": 2,
    "tie_word_embeddings": True,
}
WORDS = ("transform", "transform_norm", "unembed_bias")


@dataclass(frozen=True)
class Format:
    """One kind of checkpoint.

    Args:
        model, config: our classes for it.
        prefix: of the body's weights in a model with a head.
        fields: our config's fields -> those of config.json.
        modules: our modules -> theirs; three for queries, keys and values apart.
        fixed: our fields that config.json doesn't have.
        plain: fields of config.json that would change what is computed -> what we can do.
        copies: second names of tied weights -> the first names.
        heads: what a checkpoint may lack as a whole -> our modules; then it starts fresh.
        buffers: a pattern of what older checkpoints hold, and nobody needs.
        turned: whether the linear layers of blocks hold their matrices as (d_in, d_out).
        activations: names that we know of what bends its feed-forward layers.

    Used in lab 2.
    """

    model: type
    config: type
    prefix: str
    fields: dict[str, str]
    modules: dict[str, Any]
    fixed: dict[str, Any] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    heads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    buffers: str = r"embeddings\.position_ids"
    turned: bool = False
    activations: tuple[str, ...] = (*ACTIVATIONS,)

    def names(self, ours: str) -> tuple[str, ...]:
        """Their names of a weight of ours, which holds them one below the other; () for none."""
        if ours in self.modules:
            return (self.modules[ours],)
        module, _, kind = ours.rpartition(".")
        number = re.search(r"(?<=blocks\.)\d+", module)
        found = self.modules.get(re.sub(r"(?<=blocks\.)\d+", "N", module), ())
        parts = (found,) if isinstance(found, str) else found
        return tuple(f"{part}.{kind}".replace(".N.", f".{number and number[0]}.") for part in parts)

    def turns(self, ours: str) -> bool:
        """Whether they hold a weight of ours transposed."""
        return (
            self.turned and re.fullmatch(r"blocks\..*(qkv|out|up|down)\.weight", ours) is not None
        )


GPT2 = Format(
    GPT,
    GPTConfig,
    prefix="transformer.",
    fields={
        "vocab_size": "vocab_size",
        "context_length": "n_positions",
        "d_model": "n_embd",
        "n_heads": "n_head",
        "n_layers": "n_layer",
        "d_ff": "n_inner",
        "dropout": "resid_pdrop",
        "norm_eps": "layer_norm_epsilon",
        "activation": "activation_function",
        "tie_embeddings": "tie_word_embeddings",
    },
    modules={
        "tokens": "wte",
        "positions": "wpe",
        "blocks.N.attention_norm": "h.N.ln_1",
        "blocks.N.attention.qkv": "h.N.attn.c_attn",
        "blocks.N.attention.out": "h.N.attn.c_proj",
        "blocks.N.feed_forward_norm": "h.N.ln_2",
        "blocks.N.feed_forward.up": "h.N.mlp.c_fc",
        "blocks.N.feed_forward.down": "h.N.mlp.c_proj",
        "norm": "ln_f",
        "head": "lm_head",
    },
    plain={
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    },
    copies={"lm_head.weight": "wte.weight"},
    buffers=r"h\.\d+\.attn\.(masked_)?bias",
    turned=True,
)

BERT_FIELDS = {
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "n_layers": "num_hidden_layers",
    "d_ff": "intermediate_size",
    "n_segments": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "norm_eps": "layer_norm_eps",
    "activation": "hidden_act",
}
BERT_PLAIN = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
EMBEDDING = {
    "embedding.tokens": "embeddings.word_embeddings",
    "embedding.positions": "embeddings.position_embeddings",
    "embedding.norm": "embeddings.LayerNorm",
}
BODY = EMBEDDING | {
    "embedding.segments": "embeddings.token_type_embeddings",
    "encoder.blocks.N.attention.qkv": tuple(
        f"encoder.layer.N.attention.self.{part}" for part in ("query", "key", "value")
    ),
    "encoder.blocks.N.attention.out": "encoder.layer.N.attention.output.dense",
    "encoder.blocks.N.attention_norm": "encoder.layer.N.attention.output.LayerNorm",
    "encoder.blocks.N.feed_forward.up": "encoder.layer.N.intermediate.dense",
    "encoder.blocks.N.feed_forward.down": "encoder.layer.N.output.dense",
    "encoder.blocks.N.feed_forward_norm": "encoder.layer.N.output.LayerNorm",
    "pooler": "pooler.dense",
}
HEADS = {"pooler": ("pooler",), "pair": ("pair",), "words": WORDS}

FORMATS = {
    "gpt2": GPT2,
    "bert": Format(
        BERT,
        BertConfig,
        prefix="bert.",
        fields=BERT_FIELDS,
        modules=BODY
        | {
            "pair": "cls.seq_relationship",
            "transform": "cls.predictions.transform.dense",
            "transform_norm": "cls.predictions.transform.LayerNorm",
            "unembed_bias": "cls.predictions.bias",
        },
        plain=BERT_PLAIN,
        copies={
            "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
            "cls.predictions.decoder.bias": "cls.predictions.bias",
        },
        heads=HEADS,
    ),
    "roberta": Format(
        BERT,
        BertConfig,
        prefix="roberta.",
        fields=BERT_FIELDS,
        modules=BODY
        | {
            "transform": "lm_head.dense",
            "transform_norm": "lm_head.layer_norm",
            "unembed_bias": "lm_head.bias",
        },
        plain=BERT_PLAIN,
        copies={
            "lm_head.decoder.weight": "embeddings.word_embeddings.weight",
            "lm_head.decoder.bias": "lm_head.bias",
        },
        heads=HEADS,
        activations=("gelu",),  # its head has gelu, whatever hidden_act says
    ),
    "distilbert": Format(
        BERT,
        BertConfig,
        prefix="distilbert.",
        fields={
            "vocab_size": "vocab_size",
            "context_length": "max_position_embeddings",
            "d_model": "dim",
            "n_heads": "n_heads",
            "n_layers": "n_layers",
            "d_ff": "hidden_dim",
            "dropout": "dropout",
            "activation": "activation",
        },
        modules=EMBEDDING
        | {
            "encoder.blocks.N.attention.qkv": tuple(
                f"transformer.layer.N.attention.{part}_lin" for part in "qkv"
            ),
            "encoder.blocks.N.attention.out": "transformer.layer.N.attention.out_lin",
            "encoder.blocks.N.attention_norm": "transformer.layer.N.sa_layer_norm",
            "encoder.blocks.N.feed_forward.up": "transformer.layer.N.ffn.lin1",
            "encoder.blocks.N.feed_forward.down": "transformer.layer.N.ffn.lin2",
            "encoder.blocks.N.feed_forward_norm": "transformer.layer.N.output_layer_norm",
            "transform": "vocab_transform",
            "transform_norm": "vocab_layer_norm",
            "unembed_bias": "vocab_projector.bias",
        },
        fixed={"n_segments": 1, "norm_eps": 1e-12},
        plain={"tie_word_embeddings": True},
        copies={"vocab_projector.weight": "embeddings.word_embeddings.weight"},
        heads=HEADS,
    ),
}
