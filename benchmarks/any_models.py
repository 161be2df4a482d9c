"""Models of ordinary users, one for each kind of data, and how they turn raw columns into what a model takes.

Every model takes rows as the file holds them: scaling is part of the model. `steelyard compress any_models.py:NAME`
calls the functions without an argument.
"""

import itertools
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

WORDS, LENGTH = 4096, 40
"""Slots of the hashed vocabulary, and words of a sentence that are read."""
ADULT_NUMBERS = ("age", "fnlwgt", "educational-num", "capital-gain", "capital-loss", "hours-per-week")
ADULT_SCALES = (40.0, 200_000.0, 10.0, 5_000.0, 500.0, 40.0)
ADULT_TEXTS = (
    "workclass",
    "education",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "gender",
    "native-country",
)
SLOTS = 256
"""Slots that a category's name is hashed into."""


def word_ids(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Texts as numbers of words (n, LENGTH), 0 where a sentence has ended."""
    found = np.zeros((len(columns["text"]), LENGTH), dtype=np.int64)
    for row, text in enumerate(columns["text"]):
        words = str(text).lower().split()[:LENGTH]
        found[row, : len(words)] = [1 + zlib.crc32(word.encode()) % (WORDS - 1) for word in words]
    return {"tokens": found}


def adult_codes(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Columns of the census as two inputs: numbers (n, 6) float32 and codes of categories (n, 8) int64."""
    numbers = np.stack([np.asarray(columns[name], dtype=np.float32) for name in ADULT_NUMBERS], axis=1)
    codes = [[zlib.crc32(str(text).encode()) % SLOTS for text in columns[name]] for name in ADULT_TEXTS]
    return {"numbers": numbers, "codes": np.array(codes, dtype=np.int64).T}


def wine_columns(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The colour as 0 or 1, all else as it is."""
    return {name: np.asarray(each) == "red" if name == "color" else np.asarray(each) for name, each in columns.items()}


class _TextNet(nn.Module):
    def __init__(self, classes: int, width: int = 64, filters: int = 192) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.first = nn.Conv1d(width, filters, 3, padding=1)
        self.second = nn.Conv1d(filters, filters, 3, padding=1)
        self.dropout = nn.Dropout(0.4)
        self.last = nn.Linear(filters, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.first(self.words(tokens).transpose(1, 2)))
        x = functional.relu(self.second(x)).amax(-1)
        return self.last(self.dropout(x))


def sst2() -> nn.Module:
    """Two convolutions over words, two classes."""
    torch.manual_seed(0)
    return _TextNet(2)


def trec6() -> nn.Module:
    """The same for six classes."""
    torch.manual_seed(0)
    return _TextNet(6)


class _Vowels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(12, 96, num_layers=2, batch_first=True)
        self.last = nn.Linear(96, 9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.gru(x.transpose(1, 2))
        return self.last(steps.mean(1))


def japanese_vowels() -> nn.Module:
    """A GRU of two layers for 12 channels of 29 steps."""
    torch.manual_seed(0)
    return _Vowels()


class _Adult(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scales", torch.tensor(ADULT_SCALES))
        self.categories = nn.Embedding(SLOTS, 8)
        self.body = nn.Sequential(
            nn.Linear(len(ADULT_NUMBERS) + 8 * len(ADULT_TEXTS), 256), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 2),
        )  # fmt: skip

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        return self.body(torch.cat([numbers / self.scales, self.categories(codes).flatten(1)], dim=1))


def adult_census() -> nn.Module:
    """Numbers and embedded categories in one perceptron: two inputs."""
    torch.manual_seed(0)
    return _Adult()


class _Table(nn.Module):
    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.scaled = nn.BatchNorm1d(columns)
        self.body = nn.Sequential(
            nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
            nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.scaled(x))


def california_housing() -> nn.Module:
    """A perceptron for eight columns, one value."""
    torch.manual_seed(0)
    return _Table(8, 256)


def wine_quality() -> nn.Module:
    """A perceptron for twelve columns, one value."""
    torch.manual_seed(0)
    return _Table(12, 128)


class _Ratings(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.users, self.movies = nn.Embedding(1024, width), nn.Embedding(200_000, width)
        for each in (self.users, self.movies):
            nn.init.normal_(each.weight, std=0.05)
        self.body = nn.Sequential(nn.Linear(2 * width, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 1))

    def forward(self, user_id: torch.Tensor, movie_id: torch.Tensor) -> torch.Tensor:
        return 3.5 + self.body(torch.cat([self.users(user_id), self.movies(movie_id)], dim=-1))


def movielens() -> nn.Module:
    """Embeddings of a user and a film, and a perceptron on both: two inputs of whole numbers."""
    torch.manual_seed(0)
    return _Ratings()


class _Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        sizes = (3, 48, 96, 96)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in sizes[1:])
        self.last = nn.Linear(96, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x / 127.5 - 1
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.max_pool2d(functional.relu(norm(layer(x))), 2)
        return self.last(x.mean((2, 3)))


def cifar10_12k() -> nn.Module:
    """Three convolutions for raw pixels."""
    torch.manual_seed(0)
    return _Pictures()


class _Audio(nn.Module):
    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, width, 80, stride=8, padding=36)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(4))
        self.last = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.norms[0](self.first(x[:, None] / 4096.0)))
        for layer, norm in zip(self.layers, self.norms[1:], strict=True):
            x = functional.relu(norm(layer(functional.max_pool1d(x, 4))))
        return self.last(x.mean(-1))


def fsdd() -> nn.Module:
    """Four convolutions over the samples of half a second and more."""
    torch.manual_seed(0)
    return _Audio()


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.mixed, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, steps, width = x.shape
        q, k, v = self.mixed(self.before(x)).chunk(3, dim=-1)
        q, k, v = (each.reshape(n, steps, self.heads, -1).transpose(1, 2) for each in (q, k, v))
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.joined(seen.transpose(1, 2).reshape(n, steps, width))
        return x + self.down(functional.gelu(self.up(self.between(x))))


class _Decoder(nn.Module):
    def __init__(self, symbols: int, steps: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.symbols, self.places = nn.Embedding(symbols, width), nn.Embedding(steps, width)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, symbols)
        self.register_buffer("numbers", torch.arange(steps), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.symbols(x) + self.places(self.numbers)
        for layer in self.layers:
            x = layer(x)
        return self.last(self.norm(x))


def decoder() -> nn.Module:
    """A decoder of five layers for windows of 64 of 65 symbols: a score of every symbol to come next, at each place."""
    torch.manual_seed(0)
    return _Decoder(65, 64, 128, 5, 4)
