"""The networks of both recipes written for PyTorch. Imported by `torch_step.py`."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


class UNet(nn.Module):
    """The paper's generator: 4x4 convolutions of stride 2, instance norm, skips, dropout on three decoder levels."""

    def __init__(self, size: int, filters: int) -> None:
        super().__init__()
        depth = min(8, (size & -size).bit_length() - 1)
        widths = [filters * min(2**level, 8) for level in range(depth)]
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 4, 2, 1, bias=level in (0, depth - 1))
            for level, (before, after) in enumerate(zip([3, *widths], widths, strict=False))
        )
        self.down_norms = nn.ModuleList(nn.InstanceNorm2d(width, affine=True) for width in widths[1:-1])
        self.up, self.up_norms = nn.ModuleList(), nn.ModuleList()
        channels = widths[-1]
        for width in reversed(widths[:-1]):
            self.up.append(nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=False))
            self.up_norms.append(nn.InstanceNorm2d(width, affine=True))
            channels = 2 * width
        self.last = nn.ConvTranspose2d(channels, 3, 4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = [self.down[0](x)]
        for level, layer in enumerate(self.down[1:]):
            x = layer(functional.leaky_relu(skips[-1], 0.2))
            skips.append(self.down_norms[level](x) if level < len(self.down_norms) else x)
        x = skips.pop()
        for level, (layer, norm) in enumerate(zip(self.up, self.up_norms, strict=True)):
            x = norm(layer(torch.relu(x)))
            x = functional.dropout(x, 0.5, self.training) if level < 3 else x
            x = torch.cat([x, skips.pop()], 1)
        return torch.tanh(self.last(torch.relu(x)))


class PatchGAN(nn.Module):
    """The paper's 70x70 discriminator of input and target, six channels."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(6, filters, 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, after, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
            layers += [
                nn.Conv2d(filters * before, filters * after, 4, stride, 1, bias=False),
                nn.InstanceNorm2d(filters * after, affine=True),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(filters * 8, 1, 4, 1, 1))

    def forward(self, pair: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return self.layers(pair), []


class Residual(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, 1, 1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.first(functional.leaky_relu(x, 0.2))
        return x + self.second(functional.leaky_relu(y, 0.2))


class ResidualUNet(nn.Module):
    """The modern recipe's generator."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        widths = [filters * min(2**level, 8) for level in range(6)]
        self.first = nn.Conv2d(3, filters, 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(widths[level - 1], widths[level], 4, 2, 1) for level in range(1, 6))
        blocks = {5: 2, 4: 1, 3: 1}
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Residual(widths[level]) for _ in range(blocks.get(level, 0)))) for level in range(5, 0, -1)
        )
        self.up = nn.ModuleList(nn.Conv2d(widths[level], widths[level - 1], 3, 1, 1) for level in range(5, 0, -1))
        self.merge = nn.ModuleList(nn.Conv2d(2 * widths[level - 1], widths[level - 1], 1) for level in range(5, 0, -1))
        self.last, self.output = nn.Conv2d(filters, filters, 3, 1, 1), nn.Conv2d(filters, 3, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, skips = self.first(x), []
        for layer in self.down:
            skips.append(x)
            x = layer(functional.leaky_relu(x, 0.2))
        for blocks, up, merge in zip(self.blocks, self.up, self.merge, strict=True):
            x = up(functional.leaky_relu(blocks(x), 0.2))
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = merge(torch.cat([x, skips.pop()], 1))
        x = self.last(functional.leaky_relu(x, 0.2))
        return 1.1 * torch.tanh(self.output(functional.leaky_relu(x, 0.2)))


class SpectralPatchGAN(nn.Module):
    """The modern recipe's discriminator, at one scale as there: spectral norm, logits and features."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        widths = [6, *(filters * min(2**level, 8) for level in range(5))]
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, 2, 1) if level < 4 else nn.Conv2d(before, after, 3, 1, 1))
            for level, (before, after) in enumerate(itertools.pairwise(widths))
        )
        self.logits = spectral_norm(nn.Conv2d(widths[-1], 1, 1))

    def forward(self, pair: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        features = [pair]
        for layer in self.layers:
            features.append(functional.leaky_relu(layer(features[-1]), 0.2))
        return self.logits(features[-1]), features[1:]
