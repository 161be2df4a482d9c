"""The first layers of models over sequences: raw rows in, standardised sequences or token ids out."""

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.core.sequence import PADDING, UNKNOWN, SeriesInput, SoundInput, TextInput
from steelyard.core.task import Array, SequenceInput
from steelyard.families.sequences import tokens_of
from steelyard.tasks.mel import FLOOR, bands, fourier


class SeriesFront(nn.Module):
    """Series (n, channels, steps), NaN where a step is missing, to standardised ones, zero where it is missing.

    Where the task has padding, a last channel says which steps are there: 1, or 0 where all channels are missing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: SeriesInput) -> None:
        """Keep the training split's mean and std per channel."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean, dtype=torch.float32).view(1, -1, 1))
        self.register_buffer("std", torch.tensor(spec.std, dtype=torch.float32).view(1, -1, 1))
        self.has_padding = spec.has_padding
        self.shape: tuple[int, ...] = (spec.channels + spec.has_padding, spec.steps)

    def forward(self, x: Tensor) -> Tensor:
        """Standardise, fill, mark."""
        missing = torch.isnan(x)
        scaled = (x - self.mean) / self.std
        filled = torch.where(missing, torch.zeros_like(scaled), scaled)
        if not self.has_padding:
            return filled
        there = torch.where(missing, torch.zeros_like(scaled), torch.ones_like(scaled)).amax(dim=1, keepdim=True)
        return torch.cat([filled, there], dim=1)


class SoundFront(nn.Module):
    """Sound (n, samples) to a standardised log-mel spectrogram (n, mels, frames).

    The Fourier transform is a convolution with fixed kernels, the bands of mel another of width one.
    """

    kernels: Tensor
    bands: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, spec: SoundInput) -> None:
        """Make the kernels; keep the training split's mean and std per band."""
        super().__init__()
        self.register_buffer("kernels", _float(fourier(spec.window)).unsqueeze(1))
        self.register_buffer("bands", _float(bands(spec.rate, spec.window, spec.mels)).unsqueeze(2))
        self.register_buffer("mean", torch.tensor(spec.mean, dtype=torch.float32).view(1, -1, 1))
        self.register_buffer("std", torch.tensor(spec.std, dtype=torch.float32).view(1, -1, 1))
        self.hop = spec.hop
        self.missing = (spec.frames - 1) * spec.hop + spec.window - spec.samples
        self.shape: tuple[int, ...] = (spec.mels, spec.frames)

    def forward(self, x: Tensor) -> Tensor:
        """Frame, transform, weigh, take the logarithm, standardise."""
        padded = F.pad(x.unsqueeze(1), (0, self.missing)) if self.missing else x.unsqueeze(1)
        real, imaginary = F.conv1d(padded, self.kernels, stride=self.hop).chunk(2, dim=1)
        power = F.conv1d(real * real + imaginary * imaginary, self.bands)
        return (torch.log(power + FLOOR) - self.mean) / self.std


class TextFront(nn.Module):
    """Ids of all kinds of token (n, ids) to those of one vocabulary (n, length), as floats.

    Ids beyond the vocabulary, which hold the rarer words, become the unknown one.
    """

    def __init__(self, spec: TextInput, vocabulary: str) -> None:
        """Take the place of the vocabulary's tokens in a row, and its size."""
        super().__init__()
        tokens = tokens_of(spec, vocabulary)
        self.place = spec.place(tokens.kind)
        self.size = tokens.size
        self.is_smaller = tokens.size < spec.of(tokens.kind).size
        self.shape: tuple[int, ...] = (tokens.length,)

    def forward(self, x: Tensor) -> Tensor:
        """Cut out, and make what is too rare unknown."""
        ids = x[:, self.place]
        return torch.where(ids < self.size, ids, torch.full_like(ids, float(UNKNOWN))) if self.is_smaller else ids


def sequence_front(spec: SequenceInput, vocabulary: str = "") -> SeriesFront | SoundFront | TextFront:
    """The front that fits a sequence; of texts the last kind of token where no vocabulary is named."""
    if isinstance(spec, SeriesInput):
        return SeriesFront(spec)
    return TextFront(spec, vocabulary or spec.tokens[-1].kind) if isinstance(spec, TextInput) else SoundFront(spec)


class Stem(nn.Module):
    """Front outputs to a sequence (n, channels, steps) and a mask (n, 1, steps) of the steps that are there, or None.

    Ids of texts are embedded; the last channel of series with padding is their mask.
    """

    def __init__(self, front: SeriesFront | SoundFront | TextFront, embedded: int) -> None:
        """Make the table of a text's tokens, `embedded` numbers each."""
        super().__init__()
        self.is_marked = isinstance(front, SeriesFront) and front.has_padding
        self.size = front.size if isinstance(front, TextFront) else 0
        self.channels = embedded if self.size else front.shape[0] - self.is_marked
        if self.size:
            self.table = nn.Embedding(self.size, embedded)
            nn.init.normal_(self.table.weight, std=embedded**-0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Embed, or split the mask off."""
        if self.size:
            index = x.clamp(PADDING, self.size - 1).to(torch.int64)
            mask = torch.where(x > PADDING, torch.ones_like(x), torch.zeros_like(x)).unsqueeze(1)
            return self.table(index).transpose(1, 2) * mask, mask
        return (x[:, :-1], x[:, -1:]) if self.is_marked else (x, None)


def _float(array: Array) -> Tensor:
    return torch.from_numpy(array.astype("float32"))
