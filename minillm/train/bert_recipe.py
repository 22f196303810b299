"""The run that pretrains BERT on the village: which pairs of texts, which model, how trained.

But: the village only, because other texts don't come cut into sentences.
"""

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from minillm.model.bert import BERT, BertConfig
from minillm.text import tokenizers, village
from minillm.text.tokenizers import WordPieceTokenizer
from minillm.train import checkpoint
from minillm.train.batches import InTurn
from minillm.train.config import TrainConfig
from minillm.train.loop import train
from minillm.train.objectives import masked_lm_and_next_sentence
from minillm.train.pairs import OTHER, SAME, SentencePairs
from minillm.train.recipes import Result, report
from minillm.train.texts import VALIDATION_SEED


@dataclass(frozen=True)
class PairsConfig:
    """Which pairs of texts a BERT learns from.

    Built in chapter 9.
    """

    vocab_size: int = 1024  # at most; WordPiece finds no more than about 700 in the village
    stories: int = 20_000  # to learn from
    val_stories: int = 1000  # to evaluate on
    n_sentences: int = 3  # of the second text; one alone fits into too many stories
    easy_examples: int = 38_400  # with negatives from other stories; then from the same one too
    pair_weight: float = 15.0  # one label a row is drowned by ten hidden words, each of many bits


@dataclass(frozen=True)
class BertRecipe:
    """The three configs of a run. The model's vocab_size is replaced by the tokenizer's.

    Built in chapter 9.
    """

    text: PairsConfig
    model: BertConfig
    train: TrainConfig


# A BERT of under a million weights that learns the village in two and a half minutes on two cores.
VILLAGE_BERT = BertRecipe(
    PairsConfig(),
    BertConfig.modern(PairsConfig.vocab_size),
    TrainConfig(
        steps=900,
        batch_size=64,
        optimizer="muon",
        lr=5e-3,
        warmup_steps=50,
        decay="linear",
        final_lr=0.0,
    ),
)


def pairs(
    config: PairsConfig, context_length: int, seed: int, tokenizer: WordPieceTokenizer | None = None
) -> tuple[InTurn, SentencePairs]:
    """The pairs to learn from and those held out; the tokenizer is learned unless it is given.

    Built in chapter 9.
    """
    told = village.stories(config.stories, seed)
    held_out = village.stories(config.val_stories, VALIDATION_SEED)
    if tokenizer is None:
        tokenizer = WordPieceTokenizer.train((story.text for story in told), config.vocab_size)

    def paired(stories, negatives):
        texts = [village.sentences(story.text) for story in stories]
        m = config.n_sentences
        return SentencePairs(texts, tokenizer, context_length, seed, negatives, m)

    both = (OTHER, SAME)
    data = InTurn(paired(told, (OTHER,)), paired(told, both), config.easy_examples)
    return data, paired(held_out, both)


def run(
    recipe: BertRecipe,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    progress: bool = True,
) -> Result:
    """Trains a BERT by a recipe; writes checkpoints and metrics.json where there is a folder.

    Raises: as `train`.

    Built in chapter 9.
    """
    seed, T = recipe.train.seed, recipe.model.context_length
    tokenizer = tokenizers.load(checkpoint.latest(folder)) if resume else None
    data, val_data = pairs(recipe.text, T, seed, tokenizer)
    torch.manual_seed(seed)
    model = BERT(dataclasses.replace(recipe.model, vocab_size=len(val_data.tokenizer)))
    history = train(
        model,
        functools.partial(masked_lm_and_next_sentence, pair_weight=recipe.text.pair_weight),
        data,
        recipe.train,
        val_data=val_data,
        folder=folder,
        tokenizer=val_data.tokenizer,
        notes={"corpus": "village", "pairs": dataclasses.asdict(recipe.text)},
        resume=resume,
        progress=progress,
    )
    return report(model, val_data.tokenizer, history, folder)
