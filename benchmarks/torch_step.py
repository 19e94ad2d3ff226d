"""The training step of `train_step.py` written for PyTorch: same networks, losses and passes. Started by it.

    PYTHON_WITH_TORCH benchmarks/torch_step.py --size=256 --filters=64 --batch-size=1

As in this package, both updates use the weights from before the step, so the fake picture goes through D once, and
Adam is the fused one, PyTorch's fastest on a CPU. `--usual` is what ports of pix2pix do: D is updated first and then
sees the fake picture once more, and Adam is PyTorch's default. (Its other memory layout, channels last, was slower.)
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional


class UNet(nn.Module):
    """The generator: 4x4 convolutions of stride 2, instance norm, skips, dropout on the first three decoder levels."""

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
            x = functional.dropout(x, 0.5) if level < 3 else x
            x = torch.cat([x, skips.pop()], 1)
        return torch.tanh(self.last(torch.relu(x)))


def patchgan(filters: int) -> nn.Module:
    """The 70x70 discriminator on input and target, six channels."""
    layers: list[nn.Module] = [nn.Conv2d(6, filters, 4, 2, 1), nn.LeakyReLU(0.2)]
    for before, after, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
        layers += [
            nn.Conv2d(filters * before, filters * after, 4, stride, 1, bias=False),
            nn.InstanceNorm2d(filters * after, affine=True),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.Conv2d(filters * 8, 1, 4, 1, 1))


def training(size: int, filters: int, batch_size: int, usual: bool) -> Callable[[], None]:
    """Returns a function that does one step."""
    torch.manual_seed(0)
    generator, discriminator = UNet(size, filters), patchgan(filters)
    image, target = (torch.rand(batch_size, 3, size, size) * 2 - 1 for _ in range(2))
    entropy = functional.binary_cross_entropy_with_logits
    weights = [list(network.parameters()) for network in (generator, discriminator)]
    optimizers = [torch.optim.Adam(some, 2e-4, (0.5, 0.999), fused=None if usual else True) for some in weights]

    def judged(picture: torch.Tensor) -> torch.Tensor:
        return discriminator(torch.cat([image, picture], 1))

    def g_loss(fake: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        return entropy(fake, torch.ones_like(fake)) + 100 * (target - output).abs().mean()

    def d_loss(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        return 0.5 * (entropy(real, torch.ones_like(real)) + entropy(fake, torch.zeros_like(fake)))

    def step() -> None:
        output = generator(image)
        real, fake = judged(target), judged(output)
        gradients = [
            torch.autograd.grad(g_loss(fake, output), weights[0], retain_graph=True),
            torch.autograd.grad(d_loss(real, fake), weights[1]),
        ]
        for some, found, optimizer in zip(weights, gradients, optimizers, strict=True):
            for weight, gradient in zip(some, found, strict=True):
                weight.grad = gradient
            optimizer.step()

    def usual_step() -> None:
        output = generator(image)
        discriminator.requires_grad_(True)
        optimizers[1].zero_grad()
        d_loss(judged(target), judged(output.detach())).backward()
        optimizers[1].step()
        discriminator.requires_grad_(False)
        optimizers[0].zero_grad()
        g_loss(judged(output), output).backward()
        optimizers[0].step()

    return usual_step if usual else step


def main() -> None:
    """Answers each number on standard input with the seconds that so many steps took, and 0 with the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--usual", action="store_true")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    step = training(flags.size, flags.filters, flags.batch_size, flags.usual)
    step()
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        if not (count := int(line)):
            break
        started = time.perf_counter()
        for _ in range(count):
            step()
        print(time.perf_counter() - started, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


if __name__ == "__main__":
    main()
