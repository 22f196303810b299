"""The run that pretrains BERT on the village: which pairs of texts, which model, how trained.

But: the village only, because other texts don't come cut into sentences.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minillm.model.bert import BERT, BertConfig
from minillm.text import tokenizers, village
from minillm.text.tokenizers import WordPieceTokenizer
from minillm.train.config import TrainConfig
from minillm.train.loop import train
from minillm.train.objectives import masked_lm_and_next_sentence, next_sentence
from minillm.train.pairs import FATES, HIDDEN_SHARE, SentencePairs
from minillm.train.recipes import Result, report
from minillm.train.texts import VALIDATION_SEED

ALL_SEEN = (0.0, 0.0, 1.0)  # the fates of words that are scored and stay


@dataclass(frozen=True)
class PairsConfig:
    """Which pairs of texts a BERT learns from.

    Built in chapter 9.
    """

    vocab_size: int = 1024  # at most; WordPiece finds no more than about 700 in the village
    stories: int = 20_000  # to learn from
    val_stories: int = 500  # to evaluate on
    n_sentences: int = 3  # of the second text; one alone fits into too many stories


@dataclass(frozen=True)
class Stage:
    """One part of a run.

    Built in chapter 9.
    """

    train: TrainConfig
    pairs_only: bool = False  # every word is seen, and only next sentences are learned
    share: float = HIDDEN_SHARE  # of the words that are hidden; BERT's, more gives more to learn


@dataclass(frozen=True)
class BertRecipe:
    """Texts, model and stages of a run. The model's vocab_size is replaced by the tokenizer's.

    Built in chapter 9.
    """

    text: PairsConfig
    model: BertConfig
    stages: tuple[Stage, ...]

    def run(self, **options: Any) -> Result:
        """Trains by this recipe; options as for `run`."""
        return run(self, **options)


MUON = {"optimizer": "muon", "lr": 5e-3, "warmup_steps": 50, "decay": "linear"}
# A BERT of under a million weights that learns the village in two and a half minutes on two cores.
# A row has one label and several hidden words, which drown it, and a hidden name can't be compared.
# So pairs are learned first, then words beside them.
VILLAGE_BERT = BertRecipe(
    PairsConfig(),
    BertConfig.modern(PairsConfig.vocab_size),
    (
        Stage(TrainConfig(**MUON, steps=300, batch_size=64, final_lr=1.0), pairs_only=True),
        Stage(TrainConfig(**MUON, steps=920, batch_size=32, final_lr=0.0), share=0.3),
    ),
)


def run(
    recipe: BertRecipe,
    folder: str | Path | None = None,
    *,
    resume: bool = False,
    progress: bool = True,
) -> Result:
    """Trains a BERT by a recipe; writes checkpoints and metrics.json where there is a folder.

    Every stage but the last has its checkpoints in a folder of its own, inside.

    Raises: as `train`.

    Built in chapter 9.
    """
    tokenizer = _stored_tokenizer(folder) if resume else None
    text, seed, T = recipe.text, recipe.stages[0].train.seed, recipe.model.context_length
    told, held_out = (
        [village.sentences(story.text) for story in village.stories(n, of)]
        for n, of in ((text.stories, seed), (text.val_stories, VALIDATION_SEED))
    )
    if tokenizer is None:
        texts = (" ".join(sentences) for sentences in told)
        tokenizer = WordPieceTokenizer.train(texts, text.vocab_size)
    torch.manual_seed(seed)
    model = BERT(dataclasses.replace(recipe.model, vocab_size=len(tokenizer)))
    val_data = SentencePairs(held_out, tokenizer, T, n_sentences=text.n_sentences)
    seconds = 0.0
    for number, stage in enumerate(recipe.stages, start=1):
        place = _place(folder, number, len(recipe.stages))
        history = train(
            model,
            next_sentence if stage.pairs_only else masked_lm_and_next_sentence,
            SentencePairs(
                told, tokenizer, T, seed + number, n_sentences=text.n_sentences,
                share=stage.share, fates=ALL_SEEN if stage.pairs_only else FATES,
            ),
            stage.train,
            val_data=val_data,
            folder=place,
            tokenizer=tokenizer,
            notes={"corpus": "village", "pairs": dataclasses.asdict(text)},
            resume=resume and any(place.glob("step-*")),
            progress=progress,
        )  # fmt: skip
        seconds += history.seconds
        history.seconds = seconds  # of all stages so far
        if history.stopped == "interrupted":
            break
    return report(model, tokenizer, history, folder)


def _place(folder: str | Path | None, number: int, n_stages: int) -> Path | None:
    """Where the checkpoints of a stage are."""
    if folder is None:
        return None
    return Path(folder) if number == n_stages else Path(folder) / f"stage-{number}"


def _stored_tokenizer(folder: str | Path) -> WordPieceTokenizer:
    """The tokenizer of a run that was stopped in any stage."""
    return tokenizers.load(max(Path(folder).rglob("tokenizer.json")))
