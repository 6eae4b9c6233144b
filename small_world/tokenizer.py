"""A CLIP tokenizer over a small vocabulary: every byte, and the words of a file merged whole."""

from itertools import pairwise
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

WORDS = Path(__file__).with_name("words.txt")
"""The flat world's."""

_END = "</w>"
Pair = tuple[str, str]


def build_tokenizer(vocabulary: Path = WORDS) -> CLIPTokenizer:
    """CLIP's byte-level BPE (Radford et al. 2021): any text encodes, none is unknown; 77 tokens.

    Args:
        vocabulary: a file of ASCII words, each of which becomes one token.
    """
    words = vocabulary.read_text(encoding="utf-8").split()
    alphabet = sorted(ByteLevel.alphabet())
    merges = _merges(words)
    tokens = [*alphabet, *(byte + _END for byte in alphabet), *("".join(pair) for pair in merges)]
    tokens = list(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))
    numbers = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=numbers, merges=merges, model_max_length=77)


def _merges(words: list[str]) -> list[Pair]:
    """Merges, in order of rank, under which every word is one token.

    The library's trainer breaks ties differently from run to run, and a base must have the same bytes everywhere.
    """
    ranks: dict[Pair, int] = {}
    for word in words:
        while len(pieces := _apply(ranks, word)) > 1:
            ranks[pieces[0], pieces[1]] = len(ranks)
    return list(ranks)


def _apply(ranks: dict[Pair, int], word: str) -> list[str]:
    """Byte-pair encoding of an ASCII word: the pair of the lowest rank is merged until none is left."""
    pieces = [*word[:-1], word[-1] + _END]
    while known := [pair for pair in pairwise(pieces) if pair in ranks]:
        best = min(known, key=ranks.__getitem__)
        at = list(pairwise(pieces)).index(best)
        pieces[at : at + 2] = ["".join(best)]
    return pieces
