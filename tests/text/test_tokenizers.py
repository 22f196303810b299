"""Tokenizers: against their own definitions, and against `tokenizers` and `transformers`."""

import doctest
import importlib
import json
import os
import pickle
import sys
import unicodedata
from collections import Counter
from itertools import islice, pairwise, product
from pathlib import Path

import numpy as np
import pytest
import tokenizers as rust
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minillm.text import tokenizers
from minillm.text.tokenizers import BERT_TOKENS, BPETokenizer, CharTokenizer, WordPieceTokenizer
from minillm.text.tokenizers.base import WordCache
from minillm.text.tokenizers.bpe import ALPHABET, GPT2_WORDS, learn_merges
from minillm.text.tokenizers.pairs import merge_symbols
from minillm.text.tokenizers.wordpiece import (
    learn_pieces,
    likelihood_gain,
    longest_pieces,
    split_words,
    to_pieces,
)

DATA = os.environ.get("MINILLM_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="MINILLM_DATA is not set: no real text to read")
quick = settings(max_examples=60, deadline=None)

PROSE = (
    "Anna took the lamp. She went to the mill, then she put down the lamp and didn't look back. "
    "Will's café opened at 7:30; über 1,024 people came!  \n\n\tRose gave Rose a rose. "
    "安娜拿了灯，去了磨坊。 naïve 😀👩‍👩‍👧 İstanbul ΟΔΟΣ … "
)
TEXTS = [PROSE, "the mill the lamp the rose in the garden", "她把灯放在花园里。"] * 3
# What models meet: ASCII, accents, Chinese, emoji, odd spaces, and any other character.
texts = st.text() | st.text(
    st.sampled_from("ab 's\n\t,.é\u0301中文😀\u200d\xa0\u3000Ġ#<|endoftext|>[UNK]")
)


@pytest.fixture(scope="module")
def bpe():
    return BPETokenizer.train(TEXTS, vocab_size=400)


@pytest.fixture(scope="module")
def wordpiece():
    return WordPieceTokenizer.train(TEXTS, vocab_size=150)


@pytest.fixture(scope="module")
def char():
    return CharTokenizer.train(TEXTS)


def data_texts(limit):
    """The beginning of every text file of the data folder."""
    for path in sorted(path for path in Path(DATA).rglob("*") if path.is_file()):
        with path.open(encoding="utf-8", newline="") as file:
            yield path, file.read(limit)


# -------------------------------------------------------- training: the definition

words_with_counts = st.dictionaries(
    st.text(st.sampled_from("abc"), min_size=1, max_size=8), st.integers(1, 9), min_size=1
)


def plain_training(words, alphabet, n_merges, min_frequency, best):
    """Train by the definition: count all pairs anew at every step."""
    tokens, learned = list(alphabet), []
    words = [([tokens.index(symbol) for symbol in word], n) for word, n in words.items()]
    for _ in range(n_merges):
        pairs, symbols = Counter(), Counter()
        for word, n in words:
            for pair in pairwise(word):
                pairs[pair] += n
            for symbol in word:
                symbols[symbol] += n
        pairs = {pair: n for pair, n in pairs.items() if n >= min_frequency}
        if not pairs:
            break
        pair = min(pairs, key=lambda pair: (-best(pairs, symbols, pair), pair))
        learned.append((tokens[pair[0]], tokens[pair[1]]))
        tokens.append(learned[-1][0] + learned[-1][1].removeprefix("##"))
        words = [(merge_symbols(word, pair, len(tokens) - 1), n) for word, n in words]
    return learned, tokens[len(alphabet) :]


@quick
@given(words_with_counts, st.integers(1, 4))
def test_bpe_training_equals_counting_all_pairs_anew(words, min_frequency):
    merges, _ = plain_training(words, "abc", 12, min_frequency, lambda pairs, _, pair: pairs[pair])
    assert learn_merges(words, "abc", 12, min_frequency) == merges


@quick
@given(words_with_counts, st.integers(1, 4))
def test_wordpiece_training_equals_counting_all_pairs_anew(words, min_frequency):
    words = {to_pieces(word): n for word, n in words.items()}
    alphabet = ["a", "b", "c", "##a", "##b", "##c"]

    def gain(pairs, symbols, pair):
        n_all = sum(symbols.values())
        return likelihood_gain(pairs[pair], symbols[pair[0]], symbols[pair[1]], n_all)

    _, pieces = plain_training(words, alphabet, 12, min_frequency, gain)
    assert learn_pieces(words, alphabet, 12, min_frequency) == pieces


HUGS = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}  # Hugging Face's course, chapter 6


def test_bpe_learns_the_merges_of_the_published_example():
    assert learn_merges(HUGS, "bghnpsu", 3) == [("u", "g"), ("u", "n"), ("h", "ug")]


def test_wordpiece_with_the_bare_ratio_learns_the_published_example():
    words = {to_pieces(word): n for word, n in HUGS.items()}
    alphabet = ["h", "p", "b", "##u", "##g", "##n", "##s"]  # as they come in the text
    pieces = learn_pieces(
        words, alphabet, 2, score=lambda pair, left, right, _: pair / (left * right)
    )
    assert pieces == ["##gs", "hu"]


def test_the_likelihood_gain_shortens_text_more_than_the_bare_ratio():
    words = Counter(to_pieces(word) for word in split_words(PROSE * 3))
    alphabet = sorted(set().union(*words))

    def length(**score):
        vocab = {*alphabet, *learn_pieces(words, alphabet, 25, **score)}
        return sum(len(longest_pieces(word, vocab)) for word in split_words(PROSE))

    assert length() < length(score=lambda pair, left, right, _: pair / (left * right))


# -------------------------------------------------------- training: Rust's trainer


def rust_bpe(texts, vocab_size, min_frequency=2):
    """What `tokenizers` trains: token → id, and merges."""
    tokenizer = rust.Tokenizer(rust.models.BPE())
    tokenizer.pre_tokenizer = rust.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = rust.trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=rust.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def test_same_merges_as_rust_where_no_counts_tie():
    rng = np.random.default_rng(1)
    words = ["".join(letters) for letters in product("abcd", repeat=3)]
    counts = {word: int(n) for word, n in zip(words, rng.integers(1, 1000, 64), strict=True)}
    unique = []

    def best(pairs, symbols, pair):
        unique.append(list(pairs.values()).count(max(pairs.values())) == 1)
        return pairs[pair]

    plain_training(counts, ALPHABET, 40, 2, best)
    assert all(unique)
    text = "".join((word + "\n") * n for word, n in counts.items())
    merges = rust_bpe([text], 257 + 40)[1]
    assert BPETokenizer.train([text], 257 + 40).merges == merges
    assert len(merges) == 40


@pytest.mark.parametrize("min_frequency", [1, 2, 3])
def test_same_merges_as_rust_where_most_counts_tie(min_frequency):
    ours = BPETokenizer.train([PROSE], 1000, min_frequency)
    vocab, merges = rust_bpe([PROSE], 1000, min_frequency)
    assert ours.merges == merges
    assert ours.vocab == vocab


@quick
@given(st.lists(st.text(st.sampled_from("ab ")), min_size=1).filter(any))
def test_same_vocabulary_as_rust_on_any_text(texts):
    assert BPETokenizer.train(texts, 280).vocab == rust_bpe(texts, 280)[0]


def test_training_is_the_same_whatever_the_order_of_documents():
    forth = BPETokenizer.train(TEXTS, 350)
    assert forth.vocab == BPETokenizer.train(reversed(TEXTS), 350).vocab
    forth = WordPieceTokenizer.train(TEXTS, 200)
    assert forth.vocab == WordPieceTokenizer.train(reversed(TEXTS), 200).vocab


def test_ids_are_special_tokens_then_alphabet_then_what_was_learned(bpe, wordpiece, char):
    assert bpe.vocab["<|endoftext|>"] == char.vocab["<|endoftext|>"] == 0
    assert [bpe.id_to_token(1 + i) for i in range(256)] == ALPHABET
    assert [wordpiece.vocab[token] for token in BERT_TOKENS] == [0, 1, 2, 3, 4]
    chars = list(char.vocab)[1:]
    assert chars == sorted(chars)
    assert len(bpe) == 400
    assert len(wordpiece) == 150


# -------------------------------------------------------- BPE: GPT-2's ids


@pytest.fixture(scope="module")
def gpt2():
    """GPT-2's tokenizer, ours and that of transformers, from the same two files."""
    folder = Path(DATA) / "gpt2_vocab"
    names = [str(folder / name) for name in ("vocab.json", "merges.txt")]
    return tokenizers.load(folder), transformers.GPT2Tokenizer(*names)


@needs_data
def test_gpt2_ids_on_every_file_of_the_data_folder(gpt2):
    ours, theirs = gpt2
    for path, text in data_texts(40_000):
        assert ours.encode(text) == theirs.encode(text), path
        assert ours.decode(ours.encode(text)) == text, path


@needs_data
@pytest.mark.parametrize(
    "text",
    [
        "😀👩‍👩‍👧🇨🇭👍🏽",
        "I'M we'Ll DON'T 's he'd you'll they're I've I'm can't",
        " \n \n\n  x",
        "１２３ ½ ²",
        "a\u0301 \xa0b\u3000c",
        "\x00\x1c\x85",
    ],
)
def test_gpt2_ids_on_hard_text(gpt2, text):
    assert gpt2[0].encode(text) == gpt2[1].encode(text)


@needs_data
@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_gpt2_ids_on_any_text(gpt2, text):
    assert gpt2[0].encode(text) == gpt2[1].encode(text)


@needs_data
@given(ids=st.lists(st.integers(0, 50_256), max_size=12), skip=st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_ids_decode_as_in_transformers(gpt2, ids, skip):
    """Most such ids are no UTF-8 when put together: both write replacement characters."""
    ours, theirs = gpt2
    assert ours.decode(ids, skip) == theirs.decode(ids, skip_special_tokens=skip)


def test_words_are_cut_as_by_rust_for_all_characters():
    """Every character in the tables of both; of the large scripts, one in fifty."""
    chars = (chr(code) for code in range(sys.maxunicode + 1))
    kept = (c for c in chars if unicodedata.category(c) not in ("Cn", "Cs", "Co"))
    some = [c for i, c in enumerate(kept) if unicodedata.category(c) != "Lo" or i % 50 == 0]
    text = "\n".join(f"a{c}1{c}!{c} {c}  {c}" for c in some)
    cut = rust.pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    assert [match.span() for match in GPT2_WORDS.finditer(text)] == [span for _, span in cut]


# -------------------------------------------------------- BPE: round trips and special cases


@given(text=texts)
@settings(max_examples=200, deadline=None)
def test_bpe_gives_back_any_text(bpe, text):
    assert bpe.decode(bpe.encode(text)) == text


def test_half_a_character_decodes_to_the_replacement_character(bpe):
    ids = BPETokenizer.train(["x"], 257).encode("é")
    assert len(ids) == 2
    assert bpe.decode(ids[:1]) == "\N{REPLACEMENT CHARACTER}"


def test_a_long_word_is_encoded_and_not_kept(bpe):
    ids = bpe.encode("lamp" * 2000)
    assert bpe.decode(ids) == "lamp" * 2000
    assert max(map(len, bpe.word_ids)) <= 100


def test_the_cache_of_words_is_bounded_and_changes_nothing():
    asked = []
    cache = WordCache(lambda word: asked.append(word) or [len(word)], limit=3)
    for word in ["a", "b", "a", "c", "dd", "a"]:
        assert cache[word] == [len(word)]
        assert len(cache) <= 3
    assert asked == ["a", "b", "c", "dd", "a"]


def test_ids_may_be_an_array_or_a_tensor(bpe):
    ids = bpe.encode(PROSE)
    assert (
        bpe.decode(np.array(ids)) == bpe.decode(torch.tensor(ids)) == bpe.decode(iter(ids)) == PROSE
    )


@pytest.mark.parametrize("name", ["bpe", "wordpiece", "char"])
def test_a_tokenizer_survives_pickling(name, request):
    """As it is sent to the workers of a data loader."""
    tokenizer = request.getfixturevalue(name)
    ids = tokenizer.encode(PROSE)
    assert pickle.loads(pickle.dumps(tokenizer)).encode(PROSE) == ids


# -------------------------------------------------------- special tokens and bad input


def test_special_tokens_become_their_one_id(bpe, wordpiece, char):
    end = bpe.special_tokens["<|endoftext|>"]
    for tokenizer in (bpe, char):
        the = tokenizer.encode("the")
        ids = tokenizer.encode("the<|endoftext|>the<|endoftext|>")
        assert ids == [*the, end, *the, end]
        assert tokenizer.decode(ids) == "the<|endoftext|>the<|endoftext|>"
        assert tokenizer.decode(ids, skip_special_tokens=True) == "thethe"
    ids = wordpiece.encode("[CLS]the [MASK].[SEP]")
    assert [wordpiece.id_to_token(i) for i in ids] == ["[CLS]", "the", "[MASK]", ".", "[SEP]"]
    assert wordpiece.decode(ids, skip_special_tokens=True) == "the."


def test_the_longest_special_token_wins():
    tokenizer = CharTokenizer.train(["ab"], special_tokens=("<x>", "<x><y>"))
    assert tokenizer.encode("a<x><y><x>") == [2, 1, 0]


def test_a_special_token_may_be_any_text():
    tokenizer = BPETokenizer.train(TEXTS, 300, special_tokens=(" é Ġ",))
    assert tokenizer.decode(tokenizer.encode("a é Ġb")) == "a é Ġb"
    assert len(tokenizer.encode("a é Ġb")) == 3


def test_special_tokens_in_training_text_are_not_learned_from():
    text = "<|endoftext|>".join(["aa"] * 50)
    assert BPETokenizer.train([text], 300).merges == [("a", "a")]
    assert CharTokenizer.train([text]).vocab == {"<|endoftext|>": 0, "a": 1}


def test_char_gives_back_text_of_its_alphabet(char):
    assert char.decode(char.encode(PROSE)) == PROSE
    assert len(char.encode(PROSE)) == len(PROSE)


def test_char_names_the_unknown_character_and_its_position():
    tokenizer = CharTokenizer.train(["Anna"])
    with pytest.raises(ValueError, match=r"^text has '<' at position 17, a character not in"):
        tokenizer.encode("Anna<|endoftext|><")


@pytest.mark.parametrize("name", ["bpe", "wordpiece", "char"])
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.encode("ab\ud800c"), r"lone surrogate, '\\ud800' at position 2"),
        (lambda t: t.encode(["a"]), "text must be one string, not list"),
        (lambda t: t.decode([1, len(t)]), r"id \d+ is not in the vocabulary; ids are 0 to"),
        (lambda t: t.decode([-1]), "id -1 is not in the vocabulary"),
        (lambda t: t.id_to_token(10**6), "id 1000000 is not in the vocabulary"),
    ],
)
def test_bad_input_is_named_in_one_line(name, call, message, request):
    with pytest.raises(ValueError, match=message) as error:
        call(request.getfixturevalue(name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (lambda: BPETokenizer.train("one string", 300), r"not one string; write \[text\]"),
        (lambda: BPETokenizer.train([], 300), "texts must hold some text"),
        (lambda: CharTokenizer.train(["", ""]), "texts must hold some text"),
        (lambda: CharTokenizer.train(["\udfff"]), "lone surrogate"),
        (
            lambda: BPETokenizer.train(["a"], 256),
            r"vocab_size \(256\) must be at least 257: 1 spec",
        ),
        (
            lambda: WordPieceTokenizer.train(["ab"], 6),
            r"vocab_size \(6\) must be at least 7: 5 spec",
        ),
        (lambda: BPETokenizer.train(["a"], 300, 0), r"min_frequency \(0\) must be at least 1"),
        (
            lambda: WordPieceTokenizer.train(["a"], 300, 0),
            r"min_frequency \(0\) must be at least 1",
        ),
        (
            lambda: CharTokenizer.train(["a"], special_tokens="<x>"),
            "special_tokens must be several",
        ),
        (lambda: CharTokenizer.train(["a"], special_tokens=["x", "x"]), "several distinct strings"),
        (lambda: BPETokenizer.train(["a"], 300, special_tokens=["Ġ"]), "'Ġ', which the text needs"),
        (
            lambda: WordPieceTokenizer.train(["a"], 300, special_tokens=["[PAD]"]),
            r"vocab must have \[UNK\]",
        ),
    ],
)
def test_training_names_what_is_wrong(train, message):
    with pytest.raises(ValueError, match=message):
        train()


# -------------------------------------------------------- WordPiece


def bert(ours):
    return transformers.BertTokenizer(ours.vocab, do_lower_case=ours.lowercase)


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def both_wordpieces(request):
    """Our tokenizer, and BertTokenizer with the same vocabulary."""
    ours = WordPieceTokenizer.train(TEXTS, 150, lowercase=request.param)
    return ours, bert(ours)


@needs_data
@pytest.mark.parametrize("lowercase", [True, False], ids=["uncased", "cased"])
def test_bert_ids_on_every_file_of_the_data_folder(lowercase):
    sample = [text for _, text in data_texts(2_000)]
    ours = WordPieceTokenizer.train(sample, 5_000, lowercase=lowercase)
    theirs, unknown, total = bert(ours), 0, 0
    for path, text in data_texts(8_000):
        ids = ours.encode(text)
        assert ids == theirs.encode(text, add_special_tokens=False), path
        unknown, total = unknown + ids.count(ours.vocab["[UNK]"]), total + len(ids)
    assert unknown < 0.1 * total


def stable(char):
    """Whether a character had its present category in Unicode 3.2 already.

    `tokenizers` carries Unicode 8's tables for BERT; newer signs and marks may differ from ours.
    """
    return unicodedata.ucd_3_2_0.category(char) == unicodedata.category(char) not in ("Cn", "Cs")


stable_texts = st.text(st.characters(exclude_categories=["Cn", "Cs"]).filter(stable))


@given(text=stable_texts | texts.filter(lambda text: all(map(stable, text))))
@settings(max_examples=200, deadline=None)
def test_bert_ids_on_any_text(both_wordpieces, text):
    ours, theirs = both_wordpieces
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False)


def test_bert_ids_on_prose(both_wordpieces):
    ours, theirs = both_wordpieces
    assert ours.encode(PROSE) == theirs.encode(PROSE, add_special_tokens=False)
    assert ours.vocab["[UNK]"] not in ours.encode(PROSE)


@pytest.mark.parametrize("lowercase", [True, False], ids=["uncased", "cased"])
def test_words_are_normalised_as_by_rust_for_all_stable_characters(lowercase):
    chars = [c for c in map(chr, range(0x30000)) if stable(c)]
    text = "".join(f"a{c}B {c} " for c in chars)
    normal = rust.normalizers.BertNormalizer(lowercase=lowercase).normalize_str(text)
    cut = rust.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normal)
    assert split_words(text, lowercase) == [word for word, _ in cut]


def test_chinese_blocks_begin_and_end_as_in_rust():
    blocks = "3400 4dbf 4e00 9fff f900 faff 20000 2a6df 2a700 2b81f 2b920 2ceaf 2f800 2fa1f"
    edges = [int(edge, 16) + shift for edge in blocks.split() for shift in (-1, 0, 1)]
    words = " ".join(f"a{chr(code)}b" for code in edges)
    normal = rust.normalizers.BertNormalizer(lowercase=False).normalize_str(words)
    assert split_words(words, lowercase=False) == normal.split()
    assert len(normal.split()) > 2 * len(edges)


@given(st.text(st.sampled_from("abc"), min_size=1), st.sets(st.text(st.sampled_from("abc#"))))
@quick
def test_pieces_are_the_longest_in_the_vocabulary(word, vocab):
    pieces = longest_pieces(word, vocab)
    if pieces == ["[UNK]"]:
        return
    rest = word
    for i, piece in enumerate(pieces):
        mark = "##" if i else ""
        fitting = [p for p in vocab if len(p) > len(mark) and (mark + rest).startswith(p)]
        assert piece == max((p for p in fitting if p.startswith(mark)), key=len)
        rest = rest.removeprefix(piece.removeprefix(mark))
    assert rest == ""


def test_a_word_that_cannot_be_cut_is_unknown_as_a_whole(wordpiece):
    unknown = wordpiece.vocab["[UNK]"]
    assert wordpiece.encode("theѪ") == [unknown]
    assert wordpiece.encode("a" * 101) == [unknown]
    assert unknown not in wordpiece.encode("a" + "n" * 99)


@given(ids=st.lists(st.integers(0, 149)), skip=st.booleans())
@quick
def test_pieces_decode_as_in_transformers(wordpiece, ids, skip):
    expected = bert(wordpiece).decode(ids, skip_special_tokens=skip)
    assert wordpiece.decode(ids, skip) == expected


# -------------------------------------------------------- files


@pytest.mark.parametrize("name", ["bpe", "wordpiece", "char"])
def test_saved_tokenizers_load_here_in_tokenizers_and_in_transformers(name, request, tmp_path):
    ours = request.getfixturevalue(name)
    text = PROSE + "".join(ours.special_tokens)
    ours.save(tmp_path)
    for again in (tokenizers.load(tmp_path), type(ours).load(tmp_path / "tokenizer.json")):
        assert type(again) is type(ours)
        assert (again.vocab, again.special_tokens) == (ours.vocab, ours.special_tokens)
        assert again.encode(text) == ours.encode(text)
    theirs = rust.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(text).ids == ours.encode(text)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert len(theirs) == len(ours)
    assert theirs.encode(text) == ours.encode(text)
    assert theirs.decode(ours.encode(text)) == ours.decode(ours.encode(text))
    theirs.save_pretrained(tmp_path / "theirs")
    assert tokenizers.load(tmp_path / "theirs").encode(text) == ours.encode(text)


def test_what_bert_tokenizer_saves_is_read(both_wordpieces, tmp_path):
    ours, theirs = both_wordpieces
    theirs.save_pretrained(tmp_path)
    again = tokenizers.load(tmp_path)
    assert again.lowercase == ours.lowercase
    assert again.encode(PROSE) == ours.encode(PROSE)


def test_what_gpt2_tokenizer_saves_is_read(bpe, tmp_path):
    transformers.GPT2Tokenizer(bpe.vocab, bpe.merges).save_pretrained(tmp_path)
    again = tokenizers.load(tmp_path)
    assert again.special_tokens == bpe.special_tokens
    assert again.encode(PROSE) == bpe.encode(PROSE)


def test_a_cased_wordpiece_stays_cased(tmp_path):
    ours = WordPieceTokenizer.train(["Rose gave Rose a rose"] * 2, 30, lowercase=False)
    ours.save(tmp_path)
    assert tokenizers.load(tmp_path).encode("Rose rose") == ours.encode("Rose rose")
    assert len(set(ours.encode("Rose rose"))) > 1


@pytest.fixture
def their_bpe(bpe, tmp_path):
    """The contents of a tokenizer.json as `tokenizers` writes it, and a way to read a variant."""
    bpe.save(tmp_path)
    theirs = rust.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.post_processor = rust.processors.ByteLevel(trim_offsets=True)

    def load(data):
        (tmp_path / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
        return tokenizers.load(tmp_path)

    return json.loads(theirs.to_str()), load


def test_both_ways_to_write_merges_are_read(bpe, their_bpe):
    data, load = their_bpe
    assert isinstance(data["model"]["merges"][0], list)
    data["model"]["merges"] = [" ".join(merge) for merge in data["model"]["merges"]]
    assert load(data).merges == bpe.merges


def test_an_older_file_without_a_model_type_is_read(bpe, their_bpe):
    data, load = their_bpe
    del data["model"]["type"], data["model"]["ignore_merges"]
    data["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    data["added_tokens"][0]["normalized"] = True
    assert load(data).encode(PROSE) == bpe.encode(PROSE)


def test_an_added_token_beyond_the_vocabulary_is_read(bpe, their_bpe):
    data, load = their_bpe
    data["added_tokens"].append(data["added_tokens"][0] | {"content": "<|user|>", "id": 400})
    tokenizer = load(data)
    assert len(tokenizer) == 401
    assert tokenizer.encode("<|user|>") == [400]
    assert tokenizer.decode([400], skip_special_tokens=True) == ""


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from(["<mask>", "<|endoftext|>", " ", "\n", "\u2003", "\x1f", "a", "."]))
)
def test_a_mask_takes_the_space_before_it_along_as_in_roberta(bpe, their_bpe, pieces):
    data, load = their_bpe
    mask = {"content": "<mask>", "id": 400, "lstrip": True}
    data["added_tokens"] = [data["added_tokens"][0], data["added_tokens"][0] | mask]
    tokenizer, text = load(data), "".join(pieces)
    theirs = rust.Tokenizer.from_str(json.dumps(data))
    assert tokenizer.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def test_what_takes_the_space_along_is_saved(bpe, their_bpe, tmp_path):
    data, load = their_bpe
    mask = {"content": "<mask>", "id": 400, "lstrip": True}
    data["added_tokens"].append(data["added_tokens"][0] | mask)
    load(data).save(tmp_path / "again")
    again = tokenizers.load(tmp_path / "again")
    assert again.encode("a <mask> <|endoftext|>") == [*bpe.encode("a"), 400, *bpe.encode(" "), 0]


def test_roberta_files_name_its_special_tokens_by_their_presence(tmp_path):
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokens = [*special, *sorted(BPETokenizer.train(["a"], 300, special_tokens=()).vocab), "<mask>"]
    (tmp_path / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    ids = tokenizers.load(tmp_path).encode("<s></s><mask>")
    assert ids == [0, 2, len(tokens) - 1]


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("model", {"type": "Unigram"}, "model.type = 'Unigram'"),
        ("model", {"dropout": 0.1}, "model.dropout = 0.1"),
        ("model", {"byte_fallback": True}, "model.byte_fallback = True"),
        ("model", {"ignore_merges": True}, "model.ignore_merges = True"),
        ("model", {"end_of_word_suffix": "</w>"}, "model.end_of_word_suffix = '</w>'"),
        ("pre_tokenizer", {"add_prefix_space": True}, "pre_tokenizer.add_prefix_space = True"),
        ("pre_tokenizer", {"use_regex": False}, "pre_tokenizer.use_regex = False"),
        ("pre_tokenizer", {"type": "Metaspace"}, "pre_tokenizer.type = 'Metaspace'"),
        ("normalizer", {"type": "NFC"}, "normalizer = 'NFC'"),
        ("decoder", {"type": "Metaspace"}, "decoder.type = 'Metaspace'"),
        ("added_tokens", {"rstrip": True}, r"added token '<\|endoftext\|>': rstrip = True"),
        ("added_tokens", {"special": False}, r"added token '<\|endoftext\|>': special = False"),
    ],
)
def test_what_is_not_supported_is_named(their_bpe, part, change, message):
    data, load = their_bpe
    if part == "added_tokens":
        data[part][0] |= change
    else:
        data[part] = (data[part] or {}) | change
    with pytest.raises(ValueError, match=f"tokenizer.json: {message} is not supported; ") as error:
        load(data)
    assert "\n" not in str(error.value)


def test_an_older_wordpiece_file_without_a_model_type_is_read(wordpiece, tmp_path):
    wordpiece.save(tmp_path)
    file = tmp_path / "tokenizer.json"
    data = json.loads(file.read_text("utf-8"))
    del data["model"]["type"]
    file.write_text(json.dumps(data), encoding="utf-8")
    assert tokenizers.load(file).encode(PROSE) == wordpiece.encode(PROSE)


def test_wordpiece_with_accents_kept_is_not_supported(wordpiece, tmp_path):
    wordpiece.save(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(
        file.read_text("utf-8").replace('"strip_accents": null', '"strip_accents": false')
    )
    with pytest.raises(ValueError, match=r"normalizer.strip_accents = False is not supported"):
        tokenizers.load(tmp_path)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda data: data["model"]["vocab"].pop("Ġ"), "vocab must have the ids 0 to 398"),
        (lambda data: data["model"]["vocab"].update({"Ġ": 3}), "vocab must have the ids 0 to 399"),
        (lambda data: data["model"]["merges"].append(["q", "zq"]), "vocab lacks 'zq', which"),
        (lambda data: data["model"]["merges"].append(["q"]), "a merge must be two tokens"),
        (lambda data: data["model"].pop("merges"), "is not a whole tokenizer.json: KeyError"),
        (lambda data: data["model"].update(vocab=["a"]), "is not a whole tokenizer.json"),
        (lambda data: data.pop("model"), "is not a tokenizer.json: it has no model"),
        (lambda data: data["added_tokens"][0].update(id=7), "'<.endoftext.>' has two ids"),
    ],
)
def test_broken_contents_are_named(their_bpe, break_it, message):
    data, load = their_bpe
    break_it(data)
    with pytest.raises(ValueError, match=message):
        load(data)


def test_missing_and_broken_files_are_named(tmp_path, bpe):
    with pytest.raises(FileNotFoundError, match=r"holds no tokenizer.json, no vocab.json with"):
        tokenizers.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        tokenizers.load(tmp_path / "nowhere")
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(ValueError, match=r"tokenizer.json can't be read as JSON"):
        tokenizers.load(tmp_path)
    bpe.save(tmp_path)
    with pytest.raises(ValueError, match="holds a bpe tokenizer; CharTokenizer can't load it"):
        CharTokenizer.load(tmp_path)


def test_gpt2_files_are_read(bpe, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps(bpe.vocab), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"merges.txt"):
        tokenizers.load(tmp_path)
    lines = ["#version: 0.2", *map(" ".join, bpe.merges)]
    (tmp_path / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    again = tokenizers.load(tmp_path)
    assert again.encode(PROSE + "<|endoftext|>") == bpe.encode(PROSE + "<|endoftext|>")


def test_bert_vocab_txt_is_read(wordpiece, tmp_path):
    file = tmp_path / "vocab.txt"
    file.write_text("\n".join(wordpiece.vocab) + "\n", encoding="utf-8")
    for path in (tmp_path, file):
        again = WordPieceTokenizer.load(path)
        assert again.vocab == wordpiece.vocab
        assert again.special_tokens == wordpiece.special_tokens
        assert again.encode(PROSE) == wordpiece.encode(PROSE)
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert not tokenizers.load(tmp_path).lowercase
    (tmp_path / "tokenizer_config.json").unlink()
    file.write_text("[PAD]\n[UNK]\nAnna\n", encoding="utf-8")
    assert not tokenizers.load(tmp_path).lowercase


def test_a_failed_write_leaves_the_old_file_and_no_other(bpe, char, tmp_path, monkeypatch):
    bpe.save(tmp_path)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        char.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]
    assert type(tokenizers.load(tmp_path)) is BPETokenizer


def test_documents_may_come_from_a_generator():
    stream = islice(iter(TEXTS), 3)
    assert CharTokenizer.train(stream).vocab == CharTokenizer.train(TEXTS).vocab


@pytest.mark.parametrize("name", ["", ".base", ".char", ".bpe", ".wordpiece", ".pairs"])
def test_examples_in_docstrings_are_right(name):
    results = doctest.testmod(importlib.import_module("minillm.text.tokenizers" + name))
    assert results.attempted > 0
    assert results.failed == 0
