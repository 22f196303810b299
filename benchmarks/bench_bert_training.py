"""Training speed: tokens a second of `minillm`'s BERT beside transformers' of the same size.

    python benchmarks/bench_bert_training.py

Both pretrain (BertForPreTraining: hidden words and next sentence) in single precision on two
threads, with parameters of the same shapes, the same batches of the village's pairs, padding
included, fused AdamW, fused attention, and without dropout. Their steps take turns, so that
whatever else the machine does slows both; a ratio is that of the median times. Tokens are those of
the whole batch, padding too: the same number on both sides.

What makes the difference is that ours makes logits for the hidden words only, a seventh of all.
With the village's vocabulary of 700 tokens that is little, with BERT's of 30,522 most of the work;
the rest is matrix products, the same on both sides.
"""

import argparse
import statistics
import time

import torch
from bench_gpt_training import step
from transformers import BertConfig as TheirConfig
from transformers import BertForPreTraining
from transformers.utils import logging

from minillm.model.bert import BERT, BertConfig
from minillm.text import village
from minillm.text.tokenizers import WordPieceTokenizer
from minillm.train.objectives import masked_lm_and_next_sentence
from minillm.train.pairs import SentencePairs

SIZES = {  # fields of BertConfig, batch size
    "small": ({"d_model": 128, "n_heads": 4, "n_layers": 4}, 32),
    "larger": ({"d_model": 256, "n_heads": 8, "n_layers": 6}, 16),
    "small, BERT's vocabulary": (
        {"d_model": 128, "n_heads": 4, "n_layers": 4, "vocab_size": 30_522},
        32,
    ),
}


def transformers_bert(c):
    """transformers' BERT with the sizes of our config."""
    return BertForPreTraining(
        TheirConfig(
            vocab_size=c.vocab_size, hidden_size=c.d_model, num_hidden_layers=c.n_layers,
            num_attention_heads=c.n_heads, intermediate_size=4 * c.d_model,
            max_position_embeddings=c.context_length, type_vocab_size=c.n_segments,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=None,
        )
    )  # fmt: skip


def our_loss(model, *batch):
    return masked_lm_and_next_sentence(model, batch)


def their_loss(model, ids, segments, real, labels, targets):
    return model(
        ids, attention_mask=real.long(), token_type_ids=segments, labels=targets,
        next_sentence_label=labels,
    ).loss  # fmt: skip


def compare(data, fields, batch_size, steps):
    """Tokens of all timed batches over the median seconds a step: ours, theirs."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(data.tokenizer), "context_length": data.context_length} | fields
    config = BertConfig(**sizes)
    ours, theirs = BERT(config), transformers_bert(config)
    assert ours.n_parameters() == theirs.num_parameters()
    runs = []
    for model, loss in ((ours, our_loss), (theirs, their_loss)):
        optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, fused=True)
        runs.append((model, loss, optimizer, []))
    tokens = []
    for i in range(steps + 5):
        batch = data.batch(i * batch_size, batch_size)
        tokens.append(batch[0].numel())
        for model, loss, optimizer, seconds in runs:
            start = time.perf_counter()
            step(model, loss, optimizer, batch)
            seconds.append((time.perf_counter() - start) / tokens[-1])
    return [1 / statistics.median(seconds[5:]) for *_, seconds in runs]  # the first ones warm up


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60, help="timed steps of each (60)")
    steps = parser.parse_args().steps
    torch.set_num_threads(2)
    logging.set_verbosity_error()
    stories = [story.text for story in village.stories(3000)]
    tokenizer = WordPieceTokenizer.train(stories, 1024)
    data = SentencePairs([village.sentences(text) for text in stories], tokenizer, 128)
    for name, (fields, batch_size) in SIZES.items():
        ours, theirs = compare(data, fields, batch_size, steps)
        print(
            f"{name}: {fields['n_layers']} layers, {fields['d_model']} wide, batch {batch_size}: "
            f"minillm {ours:,.0f} tokens/s, transformers {theirs:,.0f}, ratio {ours / theirs:.2f}"
        )


if __name__ == "__main__":
    main()
