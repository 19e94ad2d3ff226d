"""The training step of `train_step.py` written for PyTorch: same networks, losses and passes. Started by it.

    PYTHON_WITH_TORCH benchmarks/torch_step.py --recipe=paper --size=256 --filters=64 --batch-size=1

As in this package, both updates use the weights from before the step, so the fake image goes through D once, and Adam
is the fused one, PyTorch's fastest on a CPU. `--channels-last`, `--compile` and `--autocast` are what else may make it
faster. `--typical` is what ports of pix2pix do: D is updated first and then sees the fake image once more, and Adam is
PyTorch's default.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable

import results
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch_networks import PatchGAN, ResidualUNet, SpectralPatchGAN, UNet

Judged = tuple[torch.Tensor, list[torch.Tensor]]


def vanilla(logits: torch.Tensor, real: bool) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def paper_losses(target: torch.Tensor) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
    def g_loss(real: Judged, fake: Judged, output: torch.Tensor) -> torch.Tensor:
        return vanilla(fake[0], True) + 100 * (target - output).abs().mean()

    def d_loss(real: Judged, fake: Judged) -> torch.Tensor:
        return 0.5 * (vanilla(real[0], True) + vanilla(fake[0], False))

    return g_loss, d_loss


def modern_losses(target: torch.Tensor) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
    def g_loss(real: Judged, fake: Judged, output: torch.Tensor) -> torch.Tensor:
        matching = [(one.detach() - other).abs().mean() for one, other in zip(real[1], fake[1], strict=True)]
        return -fake[0].mean() + 25 * (target - output).abs().mean() + 10 * sum(matching) / len(matching)

    def d_loss(real: Judged, fake: Judged) -> torch.Tensor:
        return 0.5 * (torch.relu(1 - real[0]).mean() + torch.relu(1 + fake[0]).mean())

    return g_loss, d_loss


def training(flags: argparse.Namespace) -> Callable[[], None]:
    """Returns a function that does one step."""
    torch.manual_seed(0)
    modern = flags.recipe == "modern"
    generator: nn.Module = ResidualUNet(flags.filters) if modern else UNet(flags.size, flags.filters)
    discriminator: nn.Module = SpectralPatchGAN(flags.filters) if modern else PatchGAN(flags.filters)
    image, target = (torch.rand(flags.batch_size, 3, flags.size, flags.size) * 2 - 1 for _ in range(2))
    if flags.channels_last:
        for network in (generator, discriminator):
            network.to(memory_format=torch.channels_last)
        image, target = (some.contiguous(memory_format=torch.channels_last) for some in (image, target))
    weights = [list(network.parameters()) for network in (generator, discriminator)]
    rates, fused = (2e-4, 4e-4 if modern else 2e-4), None if flags.typical else True
    optimizers = [
        torch.optim.Adam(some, rate, (0.5, 0.999), fused=fused) for some, rate in zip(weights, rates, strict=True)
    ]
    g_loss, d_loss = (modern_losses if modern else paper_losses)(target)

    def judged(shown: torch.Tensor) -> Judged:
        found: Judged = discriminator(torch.cat([image, shown], 1))
        return found

    def losses() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=flags.autocast):
            output = generator(image)
            real, fake = judged(target), judged(output)
        return g_loss(real, fake, output), d_loss(real, fake)

    if flags.compile:
        losses = torch.compile(losses)

    def step() -> None:
        # One power iteration of the spectral norm a step, not one for each image.
        with parametrize.cached() if modern and not flags.compile else contextlib.nullcontext():
            of_generator, of_discriminator = losses()
        gradients = [
            torch.autograd.grad(of_generator, weights[0], retain_graph=True),
            torch.autograd.grad(of_discriminator, weights[1]),
        ]
        if modern:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients[0])))
            torch._foreach_mul_(gradients[0], torch.clamp(20 / norm, max=1))
        for some, found, optimizer in zip(weights, gradients, optimizers, strict=True):
            for weight, gradient in zip(some, found, strict=True):
                weight.grad = gradient
            optimizer.step()

    def typical_step() -> None:
        output = generator(image)
        discriminator.requires_grad_(True)
        optimizers[1].zero_grad()
        d_loss(judged(target), judged(output.detach())).backward()
        optimizers[1].step()
        discriminator.requires_grad_(False)
        optimizers[0].zero_grad()
        g_loss(judged(target) if modern else (), judged(output), output).backward()
        optimizers[0].step()

    return typical_step if flags.typical else step


def main() -> None:
    """Answers each number on standard input with the seconds that so many steps took, and 0 with the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=("paper", "modern"), default="paper")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--typical", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--autocast", action="store_true", help="compute the networks in bfloat16")
    parser.add_argument("--compile", action="store_true")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    step = training(flags)
    step()
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        if not (count := int(line)):
            break
        started = time.perf_counter()
        for _ in range(count):
            step()
        print(time.perf_counter() - started, flush=True)
    print(results.peak_memory(), flush=True)


if __name__ == "__main__":
    main()
