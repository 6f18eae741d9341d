"""The detector: a U-Net over a ResNet encoder, from a patch to corner, centroid and arrow maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spinenet.networks.shapes import RESPONSE_CHANNELS

EXPANSION = 4
"""Ratio of a bottleneck's output channels to its inner ones."""


class Bottleneck(nn.Module):
    """1x1, 3x3 (strided), 1x1 convolutions around a shortcut.

    Parameters
    ----------
    channels_in
        Channels of the input.
    inner
        Channels of the 3x3 convolution; the output has ``EXPANSION`` times as many.
    stride
        Stride of the 3x3 convolution and of the shortcut.
    """

    def __init__(self, channels_in: int, inner: int, stride: int) -> None:
        super().__init__()
        out = inner * EXPANSION
        self.conv1 = nn.Conv2d(channels_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, 4 * inner, h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.relu(y + shortcut)
        return out


class ConvBlock(nn.Module):
    """3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to (N, channels_out, h, w)."""
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class Bridge(nn.Module):
    """Two convolution blocks at the coarsest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bridge = nn.Sequential(ConvBlock(channels, channels), ConvBlock(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) to the same shape."""
        out: Tensor = self.bridge(x)
        return out


class UpBlock(nn.Module):
    """Doubles the resolution, joins a skip connection, then two convolution blocks."""

    def __init__(self, channels_in: int, channels_out: int, channels_skip: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(channels_in, channels_out, 1),
        )
        self.conv_block_1 = ConvBlock(channels_out + channels_skip, channels_out)
        self.conv_block_2 = ConvBlock(channels_out, channels_out)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(N, C, h, w) and (N, S, 2h, 2w) to (N, channels_out, 2h, 2w)."""
        # The 1x1 convolution commutes with bilinear weights, which sum to one: a quarter of the work.
        up = self.upsample[0](self.upsample[1](x))
        out: Tensor = self.conv_block_2(self.conv_block_1(torch.cat((up, skip), dim=1)))
        return out


class Detector(nn.Module):
    """Response maps of one patch; arXiv:2007.02606, section 3.

    Parameters
    ----------
    width
        Channels of the input block (published: 64); every other width is in proportion.
    blocks
        Bottlenecks in each of the four encoder stages (published: ResNet-50's).
    """

    def __init__(self, width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        if width < 1 or len(blocks) != 4:
            raise ValueError("a detector needs a positive width and four encoder stages")
        self.input_block = nn.Sequential(
            nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.input_pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages: list[nn.Module] = []
        channels = width
        for stage, count in enumerate(blocks):
            inner = width * 2**stage
            members: list[nn.Module] = []
            for block in range(count):
                members.append(Bottleneck(channels, inner, stride=2 if stage and not block else 1))
                channels = inner * EXPANSION
            stages.append(nn.Sequential(*members))
        self.down_blocks = nn.ModuleList(stages)
        self.bridge = Bridge(channels)
        self.up_blocks = nn.ModuleList(
            [
                UpBlock(32 * width, 16 * width, 16 * width),
                UpBlock(16 * width, 8 * width, 8 * width),
                UpBlock(8 * width, 4 * width, 4 * width),
                UpBlock(4 * width, 2 * width, width),
                UpBlock(2 * width, width, 1),
            ]
        )
        self.out = nn.Conv2d(width, RESPONSE_CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the response maps.

        Parameters
        ----------
        x
            (N, 1, 224, 224) patches; other sizes that are multiples of 32 work too.

        Returns
        -------
        Tensor
            (N, 13, 224, 224): corner responses rt, rb, lb, lt; centroid response; x, then y components
            of the arrows from those corners to their centroid, in patch pixels.
        """
        skips = [x]
        y = self.input_block(x)
        skips.append(y)
        y = self.input_pool(y)
        for stage in self.down_blocks:
            y = stage(y)
            skips.append(y)
        y = self.bridge(skips.pop())
        for up in self.up_blocks:
            y = up(y, skips.pop())
        out: Tensor = self.out(y)
        return out
