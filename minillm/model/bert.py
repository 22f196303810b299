"""BERT, whole: the configuration, the start, the model with its two heads for pretraining.

The defaults are BERT-base's architecture at a size for a laptop, so that its published weights fit;
`BertConfig.modern` is today's. But: no loss here (minillm.train.objectives), and no heads for tasks
(minillm.adapt).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from minillm.model.gpt import MODERN, init_weights
from minillm.model.layers import BENDS, check_choice, make_norm
from minillm.model.positions import LearnedPositions, Rotary
from minillm.model.transformer import (
    Encoder,
    check_block,
    check_length,
    check_positions,
    check_sizes,
    padding_mask,
)


@dataclass(frozen=True)
class BertConfig:
    """Everything that fixes a BERT's shape.

    >>> BertConfig(vocab_size=30522).d_model
    128

    Raises:
        ValueError: for sizes that do not fit together, or a name that does not exist.

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.
    Built in chapter 9.
    """

    vocab_size: int  # the tokenizer decides
    context_length: int = 128  # two parts of a story and their marks; BERT's is 512
    d_model: int = 128  # as the book's GPT; BERT-base's is 768
    n_heads: int = 4  # 32 wide each; BERT-base's 12 are 64 wide
    n_layers: int = 4  # BERT-base's has 12
    d_ff: int | None = None  # None: 4 * d_model
    n_segments: int = 2  # the first text and the second
    dropout: float = 0.0  # plenty of text; 0.1 for small texts, and for BERT
    positions: str = "learned"  # learned | rotary
    norm: str = "layernorm"  # layernorm | rmsnorm
    norm_gain: bool = True  # a trained scale for each column
    norm_eps: float = 1e-12  # BERT's; torch's usual 1e-5 is felt, as its vectors start small
    norm_first: bool = False  # as in the Transformer of 2017: what each layer leaves is normalised
    activation: str = "gelu"  # gelu | gelu_tanh | relu2
    bias: bool = True  # BERT has them in every layer
    qk_norm: bool = False  # normalised queries and keys keep the scores small at high rates
    zero_init: bool = False  # output projections start at zero, so that each block starts as x = x

    def __post_init__(self):
        check_sizes(self, "vocab_size", "context_length", "n_segments")
        check_block(self)
        check_choice(self, "activation", (*BENDS,))
        check_positions(self, ("learned", "rotary"))

    @classmethod
    def modern(cls, vocab_size, **changes):
        """Today's small BERT, with the layers of `GPTConfig.modern`, norms before layers.

        `changes` are fields that differ.

        Source: Warner et al. 2024, ModernBERT, arXiv:2412.13663, for most of these choices.
        """
        return cls(vocab_size, **(MODERN | {"norm_first": True, "norm_eps": 1e-5} | changes))


class BertEmbedding(nn.Module):
    """What stands below a BERT's blocks: token, segment and learned position, added and normalised.

    Args:
        config: a `BertConfig`.

    Called with ids (B, T) and segments (B, T), 0 for the first text and 1 for the second, or None
    if there is only one; returns (B, T, C).

    Raises:
        ValueError: if there are more tokens than `config.context_length`.

    Source: Devlin et al. 2018, arXiv:1810.04805, figure 2.
    Built in chapter 9.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = None
        if config.positions == "learned":
            self.positions = LearnedPositions(config.context_length, config.d_model)
        self.segments = nn.Embedding(config.n_segments, config.d_model)
        self.norm = make_norm(config)

    def forward(self, ids, segments=None):
        T = ids.shape[1]
        check_length(T, self.config.context_length)
        segments = torch.zeros_like(ids) if segments is None else segments
        x = self.tokens(ids) + self.segments(segments)  # (B, T, C)
        if self.positions is not None:
            x = x + self.positions(slice(T))
        return F.dropout(self.norm(x), self.config.dropout, self.training)


class BERT(nn.Module):
    """An encoder that guesses hidden words, and whether a second text goes on from the first.

    Args:
        config: a `BertConfig`.

    Called with ids (B, T); segments (B, T), 0 or 1, None for one text; real (B, T), False on the
    padding right of short rows, None for none. Returns logits (B, T, V) of each token's word.

    Raises:
        ValueError: if there are more tokens than `config.context_length`.

    >>> BERT(BertConfig(vocab_size=65))(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 65])

    Source: Devlin et al. 2018, arXiv:1810.04805, section 3.
    Built in chapter 9.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embedding = BertEmbedding(config)
        options = {"qk_norm": config.qk_norm}
        if config.positions == "rotary":
            options["rotary"] = Rotary(config.context_length, config.d_model // config.n_heads)
        self.encoder = Encoder(config, **options)
        self.pooler = nn.Linear(config.d_model, config.d_model)
        self.pair = nn.Linear(config.d_model, 2)
        self.transform = nn.Linear(config.d_model, config.d_model)
        self.transform_norm = make_norm(config)
        self.unembed_bias = nn.Parameter(torch.zeros(config.vocab_size))
        init_weights(self, self.encoder.blocks, 1.0)  # nothing starts smaller

    def hidden(self, ids, segments=None, real=None):
        """The last layer's output (B, T, C); arguments as for the model."""
        return self.encoder(self.embedding(ids, segments), padding_mask(real))

    def unembed(self, x):
        """Hidden vectors (..., C) to logits (..., V) of the words that stand there."""
        x = self.transform_norm(BENDS[self.config.activation](self.transform(x)))
        return F.linear(x, self.embedding.tokens.weight, self.unembed_bias)

    def pool(self, x):
        """Hidden vectors (B, T, C) to one for the whole row, (B, C), from its first token."""
        return self.pooler(x[:, 0]).tanh()

    def next_sentence(self, x):
        """Hidden vectors (B, T, C) to logits (B, 2): the second text goes on, or does not."""
        return self.pair(self.pool(x))

    def forward(self, ids, segments=None, real=None):
        return self.unembed(self.hidden(ids, segments, real))

    def n_parameters(self):
        """How many numbers are trained; a tied matrix counts once."""
        return sum(p.numel() for p in self.parameters())

    @classmethod
    def from_pretrained(cls, name):
        """Published weights of BERT's kinds, from a folder or by name; see `minillm.hub.find`."""
        from minillm import hub

        return hub.load_model(name, cls)

    def save_pretrained(self, folder, tokenizer=None):
        """Writes a folder for transformers' Auto classes, if it is BERT's architecture."""
        from minillm import hub

        return hub.save(self, folder, tokenizer)
