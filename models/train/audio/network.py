"""Students: the teacher's first layers with a head of our own, or a small network from scratch.

Both take float32 ``(N, 96, 64)`` log-mel patches, and return logits ``(N, 3)`` and an embedding.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from models.train.audio.teacher import CATEGORIES, CLASSES, EMBEDDING, MIDDLE, Floats

HIDDEN: Final = 256
STRIDED: Final = (1, 4, 8, 12, 24)
"""Layers of the teacher that halve their map. These pad below and to the right alone."""


class Design(StrEnum):
    """What a student is made of."""

    CUT_13 = "cut13"
    """The teacher's first 13 layers: 0.2 M weights."""
    CUT_15 = "cut15"
    CUT_17 = "cut17"
    SMALL = "small"
    """Twelve narrow layers from scratch."""

    @property
    def layers(self) -> int:
        """Layers that it has of the teacher's kind."""
        return 15 if self is Design.SMALL else int(self.value[3:])


def _layer(number: int, weight: torch.Tensor, bias: torch.Tensor) -> nn.Module:
    count, inside, height, _ = weight.shape
    conv = nn.Conv2d(
        count if number % 2 == 0 else inside,
        count,
        height,
        stride=2 if number in STRIDED else 1,
        padding=1 if height == 3 and number not in STRIDED else 0,
        groups=count if number % 2 == 0 else 1,
    )
    with torch.no_grad():
        conv.weight.copy_(weight)
        assert conv.bias is not None
        conv.bias.copy_(bias)
    pad = nn.ZeroPad2d((0, 1, 0, 1)) if number in STRIDED else nn.Identity()
    return nn.Sequential(pad, conv, nn.ReLU6())


def _narrow_shape(number: int, shape: tuple[int, ...], narrow: int) -> tuple[int, ...]:
    out = shape[0] // narrow
    return (out, shape[1] if shape[1] == 1 else shape[1] // narrow, *shape[2:])


class Student(nn.Module):
    """Layers, then mean and peak over time, a hidden layer, and heads."""

    def __init__(self, design: Design, teacher: dict[str, Floats]) -> None:
        super().__init__()
        self.design = design
        layers: list[nn.Module] = []
        width = 0
        for number in range(1, design.layers + 1):
            weight = torch.from_numpy(teacher[f"w{number}"])
            bias = torch.from_numpy(teacher[f"b{number}"])
            if design is Design.SMALL:
                weight = nn.init.kaiming_normal_(torch.empty(_narrow_shape(number, weight.shape, 2)))
                bias = torch.zeros(len(weight))
            layers.append(_layer(number, weight, bias))
            width = len(weight)
        self.front = nn.Sequential(*layers[:MIDDLE])
        self.tail = nn.Sequential(*layers[MIDDLE:])
        self.hidden = nn.Linear(2 * width, HIDDEN)
        self.dropout = nn.Dropout(0.2)
        self.heads = nn.Linear(HIDDEN, len(CATEGORIES))
        self.classes = nn.Linear(HIDDEN, CLASSES)
        self.embedded = nn.Linear(HIDDEN, EMBEDDING)

    def middle(self, patches: torch.Tensor) -> torch.Tensor:
        """Runs the first ``MIDDLE`` layers."""
        return self.front(patches[:, None])

    def embedding(self, middle: torch.Tensor) -> torch.Tensor:
        """Returns ``(N, HIDDEN)``. A shot is short: its loudest sixth counts beside the mean."""
        by_time = self.tail(middle).mean(3)
        pooled = torch.cat([by_time.mean(2), by_time.amax(2)], 1)
        return functional.relu(self.hidden(pooled))

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns logits ``(N, 3)`` and the embedding: what the exported graph computes."""
        embedding = self.embedding(self.middle(patches))
        return self.heads(embedding), embedding


def trained(net: Student, *, frozen: bool) -> list[nn.Parameter]:
    """The parameters that are fitted. ``frozen``: the first layers stay as the teacher's."""
    if frozen:
        for parameter in net.front.parameters():
            parameter.requires_grad_(False)
    return [parameter for parameter in net.parameters() if parameter.requires_grad]
