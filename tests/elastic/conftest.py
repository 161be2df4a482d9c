"""Modules of each kind, with an example of their inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

PICTURES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
SERIES = torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(2))
TOKENS = torch.arange(18).reshape(2, 9)


@dataclass(frozen=True)
class Case:
    module: nn.Module
    example: tuple[torch.Tensor, ...]


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1), nn.Sigmoid(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(24 * 16, 32), nn.Tanh(), nn.Linear(32, 5),
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.norms[0](self.first(x)))
        return functional.relu(x + self.norms[1](self.second(y)))


def residual() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), Block(16), Block(16), nn.Conv2d(16, 32, 3, 2, 1), Block(32),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip


class Inverted(nn.Module):
    """Expand, filter each channel, squeeze: MobileNet's block, with a squeeze-and-excite gate."""

    def __init__(self, taken: int, made: int) -> None:
        super().__init__()
        self.expand, self.norm = nn.Conv2d(taken, 2 * taken, 1, bias=False), nn.BatchNorm2d(2 * taken)
        self.depth = nn.Conv2d(2 * taken, 2 * taken, 3, padding=1, groups=2 * taken)
        self.less, self.more = nn.Conv2d(2 * taken, 8, 1), nn.Conv2d(8, 2 * taken, 1)
        self.squeeze = nn.Conv2d(2 * taken, made, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu6(self.depth(functional.relu6(self.norm(self.expand(x)))))
        y = y * torch.sigmoid(self.more(functional.silu(self.less(y.mean((2, 3), keepdim=True)))))
        y = self.squeeze(y)
        return x + y if x.shape == y.shape else y


def depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), Inverted(8, 8), Inverted(8, 16),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(32, 24), nn.PReLU(24), nn.Linear(24, 3),
    )  # fmt: skip


class Dense(nn.Module):
    """Concatenated and gated parts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(12, 16), nn.Linear(16, 16)
        self.gated, self.last = nn.Linear(32, 48), nn.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.first(x))
        b = torch.relu(self.second(a))
        left, right = self.gated(torch.cat([a, b], dim=1)).chunk(2, dim=1)
        return self.last(left * torch.sigmoid(right))


class Recurrent(nn.Module):
    """A recurrent net over series of 12 channels; `ends` reads the last states instead of the last output."""

    def __init__(self, kind: str, layers: int, both: bool, ends: bool = False) -> None:
        super().__init__()
        self.net = getattr(nn, kind)(12, 16, layers, batch_first=True, bidirectional=both)
        self.last = nn.Linear(16 if ends else 16 * (1 + both), 5)
        self.ends = ends

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found, state = self.net(x)
        if not self.ends:
            return self.last(found[:, -1])
        return self.last((state[0] if isinstance(state, tuple) else state)[-1])


class Encoder(nn.Module):
    """torch's own encoder over tokens, with a learned place embedding."""

    def __init__(self, first: bool = True, batch_first: bool = True) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.table, self.places = nn.Embedding(20, 32), nn.Parameter(torch.randn(1, 9, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=batch_first, norm_first=first)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.Linear(32, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens) + self.places
        if self.batch_first:
            return self.last(self.layers(x).mean(1))
        return self.last(self.layers(x.transpose(0, 1)).mean(0))


class Attention(nn.Module):
    """Attention by hand, in the four ways that people write it."""

    def __init__(self, way: str, width: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.way, self.heads, self.head_dim = way, heads, width // heads
        if way in ("one", "fused", "width"):
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, steps, width = x.shape
        if self.way == "one":
            q, k, v = self.qkv(x).reshape(rows, steps, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        elif self.way == "fused":
            q, k, v = (
                each.view(rows, steps, -1, self.head_dim).transpose(1, 2) for each in self.qkv(x).chunk(3, dim=-1)
            )
        elif self.way == "width":
            q, k, v = (
                each.view(rows, steps, self.heads, width // self.heads).transpose(1, 2)
                for each in self.qkv(x).chunk(3, dim=-1)
            )
        else:
            q, k, v = (
                each(x).view(rows, steps, self.heads, self.head_dim).transpose(1, 2)
                for each in (self.q, self.k, self.v)
            )
        if self.way == "fused":
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = torch.softmax(q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5, dim=-1) @ v
        mixed = mixed.transpose(1, 2)
        return self.out(mixed.reshape(rows, steps, width) if self.way == "width" else mixed.flatten(2))


class HandEncoder(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 32)
        self.register_buffer("places", torch.randn(1, 64, 32))
        self.mixers = nn.ModuleList([Attention(way), Attention(way)])
        self.norms = nn.ModuleList([nn.LayerNorm(32), nn.LayerNorm(32)])
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
        self.last = nn.Linear(32, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens) + self.places[:, : tokens.shape[1]]
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + mixer(norm(x))
        x = x + self.down(functional.gelu(self.up(x)))
        return self.last(x.mean(1))


class Picture(nn.Module):
    """A vision transformer: patches by a convolution, a class token, places."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 4, 4)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 32)), nn.Parameter(torch.randn(1, 17, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True, activation="gelu")
        self.layers, self.last = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.last(self.layers(x)[:, 0])


class Decoder(nn.Module):
    """A language model whose last layer shares the table, with a causal mask and sizes kept as attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.places = nn.Embedding(20, 32), nn.Embedding(16, 32)
        self.n_head, self.n_embd = 4, 32
        self.norm, self.mixed, self.joined = nn.LayerNorm(32), nn.Linear(32, 96, bias=False), nn.Linear(32, 32)
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
        self.last = nn.Linear(32, 20, bias=False)
        self.last.weight = self.table.weight
        self.register_buffer("mask", torch.tril(torch.ones(16, 16)).view(1, 1, 16, 16))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rows, steps = tokens.shape
        x = self.table(tokens) + self.places(torch.arange(steps))
        q, k, v = (
            each.view(rows, steps, self.n_head, self.n_embd // self.n_head).transpose(1, 2)
            for each in self.mixed(self.norm(x)).split(self.n_embd, dim=2)
        )
        weights = (q @ k.transpose(-2, -1)) * (1.0 / k.size(-1) ** 0.5)
        weights = weights.masked_fill(self.mask[:, :, :steps, :steps] == 0, float("-inf"))
        mixed = (functional.softmax(weights, dim=-1) @ v).transpose(1, 2).contiguous().view(rows, steps, self.n_embd)
        x = x + self.joined(mixed)
        return self.last(x + self.down(functional.gelu(self.up(x))))


class Padded(nn.Module):
    """An encoder that is told which steps are padding, and pools the others."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 32, padding_idx=0)
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True)
        self.layers, self.last = nn.TransformerEncoder(layer, 2), nn.Linear(32, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        padding = tokens == 0
        x = self.layers(self.table(tokens), src_key_padding_mask=padding)
        weight = (~padding).float().unsqueeze(-1)
        return self.last((x * weight).sum(1) / weight.sum(1).clamp(min=1))


class Pooled(nn.Module):
    """Convolutions before a recurrent net, whose outputs are pooled by learned weights."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(12, 16, 3, padding=1), nn.BatchNorm1d(16), nn.ReLU())
        self.net = nn.GRU(16, 16, batch_first=True, bidirectional=True)
        self.gate, self.last = nn.Linear(32, 1), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found, _ = self.net(self.front(x.transpose(1, 2)).transpose(1, 2))
        return self.last((found * self.gate(found).softmax(1)).sum(1))


class Pairs(nn.Module):
    """A recommender: users and things meet in a product, a cosine, and a net."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.things = nn.Embedding(20, 16), nn.Embedding(20, 16)
        self.net = nn.Sequential(nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, users: torch.Tensor, things: torch.Tensor) -> torch.Tensor:
        a, b = self.users(users), self.things(things)
        both = self.net(torch.cat([a, b], dim=-1)).squeeze(-1)
        return both + (a * b).sum(-1) + functional.cosine_similarity(a, b)


class Mixer(nn.Module):
    """Layers that mix steps and layers that mix channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(12, 24), nn.LayerNorm(24)
        self.steps, self.back = nn.Linear(7, 14), nn.Linear(14, 7)
        self.up, self.down, self.last = nn.Linear(24, 48), nn.Linear(48, 24), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x + self.back(functional.gelu(self.steps(self.norm(x).transpose(1, 2)))).transpose(1, 2)
        return self.last((x + self.down(functional.gelu(self.up(x)))).mean(1))


class Hourglass(nn.Module):
    """Down and up again with what was there before beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.down = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, 2, 1)
        self.up, self.both, self.last = (
            nn.ConvTranspose2d(16, 8, 2, 2),
            nn.Conv2d(16, 8, 3, padding=1),
            nn.Conv2d(8, 2, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = functional.relu(self.first(x))
        return self.last(functional.relu(self.both(torch.cat([a, self.up(functional.relu(self.down(a)))], dim=1))))


CASES: dict[str, Callable[[], Case]] = {
    "cnn": lambda: Case(cnn(), (PICTURES,)),
    "residual": lambda: Case(residual(), (PICTURES,)),
    "depthwise": lambda: Case(depthwise(), (PICTURES,)),
    "mlp": lambda: Case(mlp(), (SERIES[:, 0],)),
    "dense": lambda: Case(Dense(), (SERIES[:, 0],)),
    **{
        f"{kind.lower()}-{layers}{'-both' if both else ''}": lambda kind=kind, layers=layers, both=both: Case(
            Recurrent(kind, layers, both), (SERIES,)
        )
        for kind in ("LSTM", "GRU")
        for layers in (1, 2, 3)
        for both in (False, True)
    },
    "lstm-ends": lambda: Case(Recurrent("LSTM", 2, True, ends=True), (SERIES,)),
    "encoder": lambda: Case(Encoder(), (TOKENS,)),
    "picture": lambda: Case(Picture(), (PICTURES,)),
    "decoder": lambda: Case(Decoder(), (TOKENS,)),
    "padded": lambda: Case(Padded(), (TOKENS % 7,)),
    "pooled": lambda: Case(Pooled(), (SERIES,)),
    "pairs": lambda: Case(Pairs(), (torch.arange(4), torch.arange(4) + 3)),
    "mixer": lambda: Case(Mixer(), (SERIES,)),
    "hourglass": lambda: Case(Hourglass(), (PICTURES,)),
    "encoder-post": lambda: Case(Encoder(first=False), (TOKENS,)),
    "encoder-steps-first": lambda: Case(Encoder(batch_first=False), (TOKENS,)),
    **{
        f"attention-{way}": lambda way=way: Case(HandEncoder(way), (TOKENS,))
        for way in ("one", "fused", "width", "three")
    },
}


@pytest.fixture
def make() -> Callable[[str], Case]:
    """Makes a case by its name, with seeded weights and statistics of batch norm that are not the defaults."""

    def made(name: str) -> Case:
        torch.manual_seed(0)
        case = CASES[name]()
        for each in case.module.modules():
            if isinstance(each, nn.modules.batchnorm._BatchNorm):
                nn.init.normal_(each.running_mean)
                nn.init.uniform_(each.running_var, 0.5, 2)
                nn.init.normal_(each.bias)
        return Case(case.module.eval(), case.example)

    return made


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest, make: Callable[[str], Case]) -> Case:
    return make(request.param)


@pytest.fixture
def half() -> Callable:
    """A random half of each group's channels, the same number in groups that go together."""

    def chosen(anatomy, share: float = 0.5):
        rng = np.random.default_rng(0)
        return {
            each.name: np.sort(rng.permutation(each.size)[: max(1, int(each.size / each.step * share)) * each.step])
            for each in anatomy.groups
        }

    return chosen
