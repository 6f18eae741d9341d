"""The grading network: a 3-D ResNet from one disc's volume to the logits of 11 findings."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from spinenet.anatomy import FINDINGS

HEADS: tuple[str, ...] = (
    "fc_pf",
    "fc_nar",
    "fc_ccs",
    "fc_spn",
    "fc_ued",
    "fc_led",
    "fc_umc",
    "fc_lmc",
    "fc_fsl",
    "fc_fsr",
    "fc_hrn",
)
"""Parameter names of the linear heads, in the order of :data:`spinenet.anatomy.FINDINGS`."""


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions around a shortcut; strided in plane only."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        step = (1, stride, stride)
        self.conv1 = nn.Conv3d(channels_in, channels_out, 3, stride=step, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels_out)
        self.conv2 = nn.Conv3d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv3d(channels_in, channels_out, 1, stride=step, bias=False),
                nn.BatchNorm3d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, slices, h, w) to (N, channels_out, slices, h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu(y + shortcut)
        return out


class GradingTrunk(nn.Module):
    """The convolutions below the heads, which findings that are added later can share or have anew.

    Parameters
    ----------
    width
        Channels of the stem (published: 64); the stages have 1, 2, 4 and 8 times as many.
    blocks
        Basic blocks in each of the four stages (published: ResNet-34's).
    """

    def __init__(self, width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        if width < 1 or len(blocks) != 4:
            raise ValueError("a grading network needs a positive width and four stages")
        self.conv1 = nn.Conv3d(1, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3))
        self.bn1 = nn.BatchNorm3d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.layer1 = _stage(width, width, blocks[0], stride=1)
        self.layer2 = _stage(width, 2 * width, blocks[1], stride=1)
        self.layer3 = _stage(2 * width, 4 * width, blocks[2], stride=2)
        self.layer4 = _stage(4 * width, 8 * width, blocks[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool3d(1)

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1, 9, 112, 224) volumes to the maps (N, channels, 9, rows, columns) of the last two stages."""
        y = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        third = self.layer3(self.layer2(self.layer1(y)))
        return third, self.layer4(third)


class GradingNetwork(GradingTrunk):
    """Findings of one disc; arXiv:2205.01683. Parameters as those of :class:`GradingTrunk`."""

    def __init__(self, width: int = 64, blocks: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__(width, blocks)
        for name, finding in zip(HEADS, FINDINGS, strict=True):
            self.add_module(name, nn.Linear(8 * width, finding.n_classes))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the logits.

        Parameters
        ----------
        x
            (N, 1, 9, 112, 224) disc volumes (slice, row, column).

        Returns
        -------
        tuple of Tensor
            (N, n_classes) for each of :data:`spinenet.anatomy.FINDINGS`.
        """
        return self.graded(self.maps(x)[1])

    def graded(self, last: Tensor) -> tuple[Tensor, ...]:
        """The logits from the map of the last stage; as :meth:`forward`."""
        y = self.avgpool(last).flatten(1)
        return tuple(self.get_submodule(name)(y) for name in HEADS)


def _stage(channels_in: int, channels_out: int, count: int, stride: int) -> nn.Sequential:
    members: list[nn.Module] = []
    for block in range(count):
        members.append(
            BasicBlock(channels_out if block else channels_in, channels_out, 1 if block else stride)
        )
    return nn.Sequential(*members)
