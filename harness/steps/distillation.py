"""Teaches a model of the attacker's own to answer as the target does: surrogates, on no private picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import SGD

from unveil.harness.training.global_rng import seeded
from unveil.harness.training.probe import choose_for_training
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.crops import NUMBERS, RandomCrop
from unveil.harness.words.errors import DataError, TrainingError
from unveil.harness.words.finite import require_finite
from unveil.harness.words.generator import ConditionalGenerator, Generator
from unveil.harness.words.images import Images
from unveil.harness.words.names import Access
from unveil.harness.words.needs import Distillation
from unveil.harness.words.pixels import to_uint8
from unveil.harness.words.run import Run
from unveil.harness.words.view import View

CHECKPOINT = "student"
CHUNK = 256  # pictures per pass
DRAWN = 64  # pictures that a prior draws at a time
VIEW = RandomCrop((0.8, 1.0), flip=0.5)
REMEDY = "lower its learning rate"


def kl(p: Tensor, o: Tensor, temperature: float) -> Tensor:
    """``KL(p ‖ softmax(o / τ)) / τ²``, the mean over pictures (LOMMA; Hinton et al. would multiply by τ²).

    Args:
        p: The teacher's softened scores ``(N, C)``.
        o: The student's logits ``(N, C)``.
        temperature: τ.
    """
    return F.kl_div((o / temperature).log_softmax(1), p, reduction="batchmean") / temperature**2


@torch.no_grad()
def drawn(prior: Generator, classes: int, each: int, run: Run) -> Images:
    """Pictures that a prior draws, class by class, ``each`` of each; without classes as many; 8 bits a value.

    Args:
        prior: On the run's device.
        classes: Of the target.
        each: Pictures of each class.
        run: Randomness, device, progress.
    """
    parts: list[Tensor] = []
    with run.progress("samples of the prior", classes * each) as bar:
        for part in torch.arange(classes * each).split(DRAWN):
            z = prior.sample(run.generators("sample", [(i,) for i in part.tolist()])).to(run.device)
            told = isinstance(prior, ConditionalGenerator)
            x = prior.synthesize_as(z, (part // each).to(run.device)) if told else prior.synthesize(z)  # type: ignore[operator]
            parts.append(to_uint8(x.float().clamp(0, 1).cpu()))
            bar.advance(len(part))
    return Images(torch.cat(parts), torch.full((classes * each,), -1))


@torch.no_grad()
def answers(view: View, public: Images, temperature: float, run: Run) -> Tensor:
    """What the view tells of all pictures, each asked about once, as softened scores ``(N, C)`` on the CPU.

    White-box access and scores give ``softmax(T(x) / τ)``, labels give all to the most likely class.
    """
    return torch.cat([_ask(view, x.to(run.device), temperature).cpu() for x in public.batches(CHUNK)])


def _ask(view: View, x: Tensor, temperature: float) -> Tensor:
    if view.access is Access.LABELS:
        return F.one_hot(view.labels(x), view.classes).float()
    o = view.logits(x).float() if view.access is Access.WHITE_BOX else view.scores(x).float().log()
    return (o / temperature).softmax(1)


def distil(student: Classifier, p: Tensor, public: Images, how: Distillation, run: Run) -> list[float]:
    """Trains in place; checkpoints after every epoch, and continues bit for bit where it was interrupted.

    Args:
        student: Ends in evaluation mode with the last epoch's weights.
        p: What ``answers`` gave.
        public: The pictures it was asked about; they are not augmented.
        how: All settings.
        run: Randomness, device, progress, checkpoints.

    Returns:
        The mean loss of each epoch.

    Raises:
        DataError: If there are too few public pictures.
        TrainingError: If the loss or the weights stop being finite.
    """
    if len(public) < 2:  # batch statistics of one picture are none
        raise DataError(f"{len(public)} public pictures to distil the target on", "two or more", "check the split")
    student.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = SGD(list(student.trainable()), how.lr, how.momentum, weight_decay=how.weight_decay)
    choose_for_training(run, student, public, how.batch)
    losses = _resume(student, optimiser, run)
    size = min(how.batch, len(public))
    with (
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
        run.progress("distil", how.epochs * (len(public) // size)) as bar,
    ):
        bar.advance(len(losses) * (len(public) // size))
        for epoch in range(len(losses), how.epochs):
            order = torch.randperm(len(public), generator=run.generator("order", epoch))
            batches = [part for part in torch.split(order, size) if len(part) == size]
            values: list[float] = []
            with seeded(run, "epoch", epoch):  # dropout and its like draw from the global generator
                for i, index in enumerate(batches):
                    x, views = public.at(index), run.generator("views", epoch, i)
                    values.append(_step(student.train(), optimiser, p[index], x, how, _rate(how, epoch), views, run))
                    bar.advance(1, loss=values[-1])
            losses.append(_mean(values, epoch))
            require_finite(student, "distillation", f"in epoch {epoch}", REMEDY)
            run.save(CHECKPOINT, {"losses": losses, "model": student.state_dict(), "optimiser": optimiser.state_dict()})
    student.eval()
    return losses


def _rate(how: Distillation, epoch: int) -> float:
    if how.cosine:
        return how.lr * (1 + math.cos(math.pi * epoch / how.epochs)) / 2
    return how.lr * 0.5 ** (epoch // how.halve_every)


def _step(
    student: Classifier,
    optimiser: SGD,
    p: Tensor,
    x: Tensor,
    how: Distillation,
    rate: float,
    views: torch.Generator,
    run: Run,
) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate
    x, p = x.to(run.device, memory_format=torch.channels_last), p.to(run.device)
    with run.autocast():
        o = student.logits(x)
    loss = kl(p, o.float(), how.temperature)
    if how.views:
        with run.autocast():
            o = student.logits(VIEW(x, torch.rand(len(x), NUMBERS, generator=views)))
        loss = (1 - how.views) * loss + how.views * kl(p, o.float(), how.temperature)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.item()


def _mean(values: Sequence[float], epoch: int) -> float:
    mean = sum(values) / len(values)
    if not math.isfinite(mean):
        raise TrainingError(f"distillation diverged in epoch {epoch}: its loss is {mean}", "a finite loss", REMEDY)
    return mean


def _resume(student: Classifier, optimiser: SGD, run: Run) -> list[float]:
    saved = run.load(CHECKPOINT)
    if saved is None:
        return []
    student.load_state_dict(saved["model"])
    optimiser.load_state_dict(saved["optimiser"])
    return list(saved["losses"])
