"""The run that pretrains BERT on the village: which pairs of texts, which model, how trained.

But: the village only, because other texts don't come cut into sentences.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from minillm.model.bert import BERT, BertConfig
from minillm.text import tokenizers, village
from minillm.text.tokenizers import WordPieceTokenizer
from minillm.train import checkpoint
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
    negatives: tuple[str, ...] = (OTHER, SAME)  # a third of the pairs each; a third goes on
    n_sentences: int = 3  # of the second text; one alone fits into too many stories


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
    BertConfig(PairsConfig.vocab_size),
    TrainConfig(
        steps=2000,
        batch_size=32,
        optimizer="muon",
        lr=1e-2,
        warmup_steps=50,
        decay="linear",
        final_lr=0.0,
    ),
)


def pairs(
    config: PairsConfig, context_length: int, seed: int, tokenizer: WordPieceTokenizer | None = None
) -> tuple[SentencePairs, SentencePairs]:
    """The pairs to learn from and those held out; the tokenizer is learned unless it is given.

    Built in chapter 9.
    """
    told = [village.stories(config.stories, seed)]
    told.append(village.stories(config.val_stories, VALIDATION_SEED))
    if tokenizer is None:
        texts = (story.text for story in told[0])
        tokenizer = WordPieceTokenizer.train(texts, config.vocab_size)
    options = {"negatives": config.negatives, "n_sentences": config.n_sentences}
    data, val_data = (
        SentencePairs(
            [village.sentences(story.text) for story in stories],
            tokenizer, context_length, seed, **options,
        )
        for stories in told
    )  # fmt: skip
    return data, val_data


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
    model = BERT(dataclasses.replace(recipe.model, vocab_size=len(data.tokenizer)))
    history = train(
        model,
        masked_lm_and_next_sentence,
        data,
        recipe.train,
        val_data=val_data,
        folder=folder,
        tokenizer=data.tokenizer,
        notes={"corpus": "village", "pairs": dataclasses.asdict(recipe.text)},
        resume=resume,
        progress=progress,
    )
    return report(model, data.tokenizer, history, folder)
