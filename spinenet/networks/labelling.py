"""The two labelling networks: levels from one vertebra's look, then from the whole column of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spinenet.anatomy import LEVELS


class AppearanceNetwork(nn.Module):
    """3-D convolutions from one vertebra's volume to 24 level logits; arXiv:2205.01683.

    Parameters
    ----------
    width
        Channels of the first convolution (published: 8); each further one doubles them.
    hidden
        Units of the hidden linear layer (published: 256).
    """

    def __init__(self, width: int = 8, hidden: int = 256) -> None:
        super().__init__()
        if width < 1 or hidden < 1:
            raise ValueError("an appearance network needs positive widths")
        self.conv1 = nn.Conv3d(1, width, (3, 3, 1), stride=(2, 2, 1), padding=(3, 3, 0))
        self.bnrm1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, 2 * width, (3, 3, 1), padding=(3, 3, 0))
        self.bnrm2 = nn.BatchNorm3d(2 * width)
        self.conv3 = nn.Conv3d(2 * width, 4 * width, 3)
        self.bnrm3 = nn.BatchNorm3d(4 * width)
        self.conv4 = nn.Conv3d(4 * width, 8 * width, 3)
        self.bnrm4 = nn.BatchNorm3d(8 * width)
        self.conv5 = nn.Conv3d(8 * width, 16 * width, 3)
        self.bnrm5 = nn.BatchNorm3d(16 * width)
        # 224 x 224 x 16 comes down to 5 x 5 x 2.
        self.fc1 = nn.Linear(16 * width * 50, hidden)
        self.fc2 = nn.Linear(hidden, len(LEVELS))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, 224, 224, 16) (row, column, slice) to (N, 24) logits."""
        y = self.bnrm1(F.relu(self.conv1(x)))
        y = F.max_pool3d(self.bnrm2(F.relu(self.conv2(y))), (2, 2, 1))
        y = F.max_pool3d(self.bnrm3(F.relu(self.conv3(y))), (2, 2, 1))
        y = F.max_pool3d(self.bnrm4(F.relu(self.conv4(y))), 2)
        y = F.max_pool3d(self.bnrm5(F.relu(self.conv5(y))), 2)
        out: Tensor = self.fc2(F.relu(self.fc1(y.flatten(1))))
        return out


def _along_height(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, (5, 3), dilation=(2, 1), padding=(4, 1))


def _double_height(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=(2.0, 1.0), mode="bilinear", align_corners=False)


class ContextNetwork(nn.Module):
    """2-D U-Net along the height of the context image; arXiv:2205.01683.

    Parameters
    ----------
    width
        Channels of the first convolution (published: 16); each further one doubles them.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        if width < 1:
            raise ValueError("a context network needs a positive width")
        self.conv1 = _along_height(1, width)
        self.bnrm1 = nn.BatchNorm2d(width)
        self.conv2 = _along_height(width, 2 * width)
        self.bnrm2 = nn.BatchNorm2d(2 * width)
        self.conv3 = _along_height(2 * width, 4 * width)
        self.bnrm3 = nn.BatchNorm2d(4 * width)
        self.conv4 = _along_height(4 * width, 8 * width)
        self.bnrm4 = nn.BatchNorm2d(8 * width)
        self.conv_mid = nn.Conv2d(8 * width, 8 * width, 3, padding=1)
        self.bnrm_mid = nn.BatchNorm2d(8 * width)
        self.conv5 = _along_height(8 * width, 4 * width)
        self.bnrm5 = nn.BatchNorm2d(4 * width)
        self.conv6 = _along_height(8 * width, 2 * width)
        self.bnrm6 = nn.BatchNorm2d(2 * width)
        self.conv7 = _along_height(4 * width, width)
        self.bnrm7 = nn.BatchNorm2d(width)
        self.conv8 = _along_height(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, rows, 24) to the same shape; rows is a multiple of 16, one row a millimetre."""
        y = F.max_pool2d(self.bnrm1(F.relu(self.conv1(x))), (2, 1))
        pooled_2 = F.max_pool2d(self.bnrm2(F.relu(self.conv2(y))), (2, 1))
        pooled_3 = F.max_pool2d(self.bnrm3(F.relu(self.conv3(pooled_2))), (2, 1))
        y = F.max_pool2d(self.bnrm4(F.relu(self.conv4(pooled_3))), (2, 1))
        y = self.bnrm_mid(F.relu(self.conv_mid(y)))
        y = self.bnrm5(F.relu(self.conv5(_double_height(y))))
        y = torch.cat((y, pooled_3), dim=1)
        y = self.bnrm6(F.relu(self.conv6(_double_height(y))))
        y = torch.cat((y, pooled_2), dim=1)
        y = self.bnrm7(F.relu(self.conv7(_double_height(y))))
        out: Tensor = self.conv8(_double_height(y))
        return out
