"""Where a defense can act in a classifier's life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from torch import Tensor

from unveil.harness.words.classifier import Classifier, Forward
from unveil.harness.words.images import Images
from unveil.harness.words.run import Run

if TYPE_CHECKING:
    from unveil.harness.words.learner import Learner
    from unveil.harness.words.spec import Spec


class Plugin(Protocol):
    """Anything a plan can name: a frozen dataclass whose fields are its settings."""

    paper: ClassVar[str] = ""

    def content(self) -> Mapping[str, str]:
        """Checksums of everything read from outside the package, by name; they enter the identity."""
        return {}

    def preflight(self) -> Sequence[str]:
        """Tries out what is read from outside, when a plan is read and nothing has been trained yet.

        Returns:
            What a reader of the results must know of how it was read.

        Raises:
            UnveilError: If it cannot be used.
        """
        return ()


Terms = Mapping[str, Tensor]


@dataclass(frozen=True)
class Step:
    """What a defense sees of one training step.

    Attributes:
        x: Pixels ``(N, C, H, W)`` in [0, 1] after augmentation.
        y: Labels ``(N,)``.
        forward: The pass through the classifier; stages of a frozen prefix are absent.
        classifier: The classifier in training.
        epoch: Current epoch, from 0.
        epochs: Number of epochs.
        run: Source of randomness.
    """

    x: Tensor
    y: Tensor
    forward: Forward
    classifier: Classifier
    epoch: int
    epochs: int
    run: Run


class Defense(Plugin):
    """Where a defense can act in a classifier's life. Doing nothing is the default of each hook.

    Defenses stack: hooks are applied in the order in which a plan names them.

    Attributes:
        per_sample: Whether its loss terms are means of one term per picture, and its ``augment`` changes each picture
            by itself. Only then may it be stacked with a defense that needs each picture's own gradient (DP-SGD).
        post_hoc: Whether it acts on finished targets only, by ``finish``: then it can be put around one that somebody
            has trained elsewhere.
        on_answers: Whether it changes answers alone, behind the head, by ``finish``: who has the weights takes it off.
    """

    per_sample: ClassVar[bool] = False
    post_hoc: ClassVar[bool] = False
    on_answers: ClassVar[bool] = False

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Changes weights, architecture or what is trainable, before training.

        Also called before a trained checkpoint is loaded, so the same settings must give the same structure.
        """
        return classifier

    def learner(self, learner: Learner, defenses: Sequence[Defense]) -> Learner:  # noqa: ARG002
        """Changes how a batch changes the weights: the optimiser, the order of batches, or a second network's turn.

        Args:
            learner: What the defenses before this one made of it.
            defenses: The whole stack, all prepared.
        """
        return learner

    def begin(self, classifier: Classifier, epoch: int, epochs: int) -> None:
        """Called before each epoch, from 0, resumed or not; may switch parts of the model."""

    def selectable(self, epoch: int, epochs: int) -> bool:  # noqa: ARG002
        """Whether the weights of an epoch may be the ones that are kept: False while the defense is not yet itself."""
        return True

    def augment(self, images: Images, run: Run) -> Images:  # noqa: ARG002
        """Changes a training batch."""
        return images

    def loss(self, terms: Terms, step: Step) -> Terms:  # noqa: ARG002
        """Changes the training loss, which is the sum of the terms.

        Args:
            terms: So far; starts as ``{"ce": mean cross-entropy}``.
            step: The forward pass.

        Returns:
            The new terms, each a scalar.
        """
        return terms

    def watch(self, step: Step) -> Mapping[str, float]:  # noqa: ARG002
        """Numbers that are no part of the loss but should be seen in the training curves, by name.

        Their mean over the pictures of an epoch becomes the curve ``<class name>/<name>``. Called once a step, after
        all ``loss`` hooks and before the weights change.
        """
        return {}

    def calibrate(self, classifier: Classifier, validation: Images, run: Run) -> None:
        """Called once after training, for what a trained classifier must be asked first; its weights stay as they are.

        Args:
            classifier: Trained, in evaluation mode and on the run's device. What is learnt goes into buffers that
                ``prepare`` registered, so that it is stored and loaded with the weights.
            validation: Pictures that it did not learn from; there may be none.
            run: The training's.
        """

    def finish(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Wraps the trained classifier, for instance its outputs."""
        return classifier

    def at_zero(self) -> Self | None:
        """The same defense at strength zero, which must equal no defense; None if it has no strength."""
        return None

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The attack that a critic of this defense would write, made of another one.

        A defense is only as good as the attack that knows of it: plans ask for it with ``use = "adaptive"``.

        Args:
            attack: What it is made of: the attack that everybody meets, or what an earlier defense of the stack made
                of it.
            settings: Names of the settings that this attack has.

        Returns:
            The same attack with other settings, or one around it; None if nothing is known against the defense. One
            that cannot be made of this base counts as none.
        """
        return None

    @property
    def open(self) -> bool:
        """Whether a setting (such as ``"auto"``) is to be chosen by trying the ``ladder``."""
        return False

    def ladder(self, classifier: Classifier) -> Sequence[Self]:  # noqa: ARG002
        """The same defense at rising strengths, the weakest first; empty if there is no natural order.

        Args:
            classifier: Not prepared by this defense yet; not to be changed.
        """
        return ()
