"""Learns a head for the prior mobile_style from many pictures of the whole network, and writes it to a file.

    python benchmarks/distil_mobile_style.py head64.safetensors --size 64 --pictures 20000 --steps 40000 --device cuda

It may be interrupted: the same command goes on where it was (``--scratch``). The file holds half-precision weights with
how they were learnt and their terms; it is derived from the network, and so for non-commercial research as that is.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from unveil.attacks.priors import mobile_head
from unveil.attacks.priors.mobile_generator import MobileGenerator
from unveil.attacks.priors.mobile_networks import Head
from unveil.attacks.priors.mobile_style import FRAMINGS, LEARNT, MobileStyle
from unveil.harness.types import Images, Run


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--framing", choices=list(FRAMINGS), default="arcface")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scratch", type=Path, default=Path("distil-scratch"))
    return parser.parse_args()


@torch.no_grad()
def seconds_per_picture(generator: MobileGenerator, count: int = 16) -> float:
    """Of a batch, after one that does not count."""
    z = torch.randn(count, generator.latent, generator=torch.Generator().manual_seed(0))
    generator.cpu().synthesize(z)
    start = time.perf_counter()
    generator.synthesize(z)
    return (time.perf_counter() - start) / count


def main() -> None:
    asked = options()
    how = {name: getattr(asked, name) for name in ("framing", "pictures", "steps", "batch", "lr")}
    prior = MobileStyle(**how)
    generator = prior.build(2, (3, asked.size, asked.size))
    if not isinstance(generator, MobileGenerator) or not isinstance(generator.end, Head):
        raise SystemExit(f"pictures of {asked.size} pixels are drawn by the whole network: nothing to learn")
    asked.scratch.mkdir(exist_ok=True)
    name = f"head {asked.framing} {asked.size} {asked.pictures} {asked.batch} {asked.lr} {asked.seed}"
    run = Run(name, torch.device(asked.device), scratch=asked.scratch)
    nothing = Images(torch.zeros(1, 3, asked.size, asked.size), torch.tensor([-1]))
    curves = prior.fit(generator, nothing, None, run)
    told = {
        **how,
        "size": asked.size,
        "seed": asked.seed,
        "loss": "mean absolute difference at 1, 1/2 and 1/4 of the size",
        "held-out PSNR": round(curves["held-out PSNR"][0], 2),
        "parameters of the head": sum(p.numel() for p in generator.end.parameters()),
        "parameters": sum(p.numel() for p in generator.parameters()),
        "seconds a picture, batch of 16, CPU": round(seconds_per_picture(generator), 4),
    }
    terms = {"terms": LEARNT.format(apart=prior.apart), "learnt": json.dumps(told)}
    mobile_head.write(asked.out, generator.end, asked.framing, asked.size, terms)
    sys.stdout.write(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
