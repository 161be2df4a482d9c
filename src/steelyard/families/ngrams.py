"""The torch module of linear models of texts: a weight for each word and each pair of neighbouring words."""

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.core.sequence import PADDING, TextInput
from steelyard.core.task import Array
from steelyard.families.fronts import TextFront
from steelyard.families.parts import Model, back_of
from steelyard.families.sequences import MOST_BUCKETS, MOST_PAIR_WEIGHTS, MULTIPLIER

_FIT_ROWS = 20_000


def ngrams(scale: Scale, task: Task) -> Model:
    """A linear model of a text's words, and with `ngrams` 2 of its pairs of words, that starts at zero.

    Raises:
        TypeError: if the task has no texts.
    """
    if not isinstance(task.input, TextInput):
        raise TypeError(f"{task.name} has no texts")
    front = TextFront(task.input, str(dict(scale.settings).get("vocabulary", "word")))
    rows = torch.from_numpy(np.asarray(task.train.x[:_FIT_ROWS], dtype=np.float32))
    body = _Sums(front(rows), front.size, task.output.width, with_pairs=scale.integer("ngrams", 2) > 1)
    return Model(front, body, back_of(task.output))


class _Sums(nn.Module):
    """Sums of weights by word and by pair, each times the rarity of what it stands for, over the row's length.

    Rarity is ln((1 + n) / (1 + rows that hold it)) + 1 over the training rows, and the length is Euclid's. Pairs share
    buckets by a hash of their ids, so that the graph needs no list of pairs.

    References:
        Sparck Jones, "A statistical interpretation of term specificity", Journal of Documentation, 1972; Weinberger et
        al., "Feature hashing for large scale multitask learning", ICML 2009.
    """

    rarity: Tensor
    pair_rarity: Tensor

    def __init__(self, ids: Tensor, size: int, outputs: int, *, with_pairs: bool) -> None:
        super().__init__()
        self.size, self.with_pairs = size, with_pairs
        self.words = nn.Embedding(size, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.zeros_(self.words.weight)
        plain = ids.numpy().astype(np.int64)
        self.register_buffer("rarity", _rarity(plain, size))
        if with_pairs:
            both = plain[:, :-1] * (plain[:, 1:] > PADDING)
            distinct = len(np.unique(plain[:, :-1] * size + plain[:, 1:]))
            most = min(MOST_BUCKETS, max(2, MOST_PAIR_WEIGHTS // outputs))
            self.buckets = 2 ** min(math.ceil(math.log2(max(2, distinct))), math.floor(math.log2(most)))
            buckets = np.where(both > PADDING, (plain[:, :-1] * MULTIPLIER + plain[:, 1:]) % self.buckets + 1, 0)
            self.pairs = nn.Embedding(self.buckets, outputs)
            nn.init.zeros_(self.pairs.weight)
            self.register_buffer("pair_rarity", _rarity(buckets, self.buckets + 1)[1:])

    def forward(self, x: Tensor) -> Tensor:
        index = x.clamp(PADDING, self.size - 1).to(torch.int64)
        present = (x > PADDING).to(torch.float32)
        weights = F.embedding(index, self.rarity).squeeze(2) * present
        total = (self.words(index) * weights.unsqueeze(2)).sum(dim=1)
        squares = (weights * weights).sum(dim=1, keepdim=True)
        if self.with_pairs and x.shape[1] > 1:
            pair = torch.remainder(index[:, :-1] * MULTIPLIER + index[:, 1:], self.buckets)
            weights = F.embedding(pair, self.pair_rarity).squeeze(2) * present[:, 1:]
            total = total + (self.pairs(pair) * weights.unsqueeze(2)).sum(dim=1)
            squares = squares + (weights * weights).sum(dim=1, keepdim=True)
        out: Tensor = total / torch.sqrt(squares + 1e-6) + self.bias
        return out


def _rarity(ids: Array, size: int) -> Tensor:
    """The rarity (size, 1) of each id in rows (n, length); that of the padding is not used."""
    held = np.zeros(size)
    for row in ids:
        held[np.unique(row)] += 1
    rarity: Tensor = torch.from_numpy((np.log((1 + len(ids)) / (1 + held)) + 1).astype(np.float32)[:, None])
    return rarity
