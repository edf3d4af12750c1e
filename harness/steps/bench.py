"""What nodes work with: their parents' artefacts, turned back into data, classifiers and generators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from unveil.harness.data.splits import from_tensors
from unveil.harness.plan.graph import Node
from unveil.harness.steps.rejection import Reject
from unveil.harness.store.artefacts import Artefact, Store
from unveil.harness.types import Classifier, Data, Defense, Generator, Model, Run
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.memo import Memo

T = TypeVar("T")
KEPT = 6  # things in memory at once: data, target, prior, students and a little more
JUDGES = 4  # evaluators in memory at once: each cell asks all of them, and metrics remember what they saw
MODELS = 4  # models as they are, of which the same holds


class Bench:
    """Loads what a node needs and keeps the last few things loaded.

    Args:
        store: Where artefacts are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: Memo[object] = Memo(KEPT)
        self._judges: Memo[object] = Memo(JUDGES)
        self._models: Memo[object] = Memo(MODELS)

    def _keep(self, node: Node, load: Callable[[], T], device: torch.device | None = None) -> T:
        kept = {"evaluator": self._judges, "model": self._models}.get(node.kind, self._kept)
        return kept.get((node.key, str(device)), load)  # type: ignore[return-value]

    def artefact(self, node: Node) -> Artefact:
        """What the node computed."""
        return self.store.load(node.key)

    def data(self, node: Node) -> Data:
        """The data set that a data node loaded."""

        def load() -> Data:
            artefact = self.artefact(node)
            return from_tensors(artefact.tensors, artefact.record)

        return self._keep(node, load)

    def classifier(self, node: Node, run: Run) -> Classifier:
        """A trained classifier in evaluation mode; do not change it.

        It is the same whoever loads it: what its model and its defenses draw, they draw from its own random numbers.

        Args:
            node: Whose.
            run: The loader's, which says on what device.
        """
        own = owned(node, run)

        def load() -> Classifier:
            artefact = self.artefact(node)
            classifier = self.untrained(node, artefact.record["classes"], tuple(artefact.record["shape"]), own)
            if node.kind == "evaluator" and node.options["reject"] < 1:
                classifier.outputs = Reject()  # its threshold is among the tensors
            fill(classifier, artefact.tensors, node.label)
            for defense in self.defenses(node):
                classifier = defense.finish(classifier, own)
            return classifier.to(run.device).eval().requires_grad_(False)

        return self._keep(node, load, run.device)

    def untrained(
        self,
        node: Node,
        classes: int,
        shape: tuple[int, int, int],
        run: Run,
        prepared: Sequence[Defense] | None = None,
    ) -> Classifier:
        """The architecture of a target, evaluator, student or pretraining node, defenses prepared.

        Args:
            node: Whose model and initial weights.
            classes: Number of classes.
            shape: Of a picture, ``(C, H, W)``.
            run: The node's own randomness, never that of whoever loads it.
            prepared: Defenses to prepare instead of the node's own.
        """
        classifier: Classifier = node.uses["model"][0].make().build(classes, shape, run)
        if "weights" in node.parents:
            body = {name: t for name, t in self.artefact(node.parents["weights"]).tensors.items() if not _head(name)}
            fill(classifier, body, node.parents["weights"].label, head=False)
        for defense in self.defenses(node) if prepared is None else prepared:
            classifier = defense.prepare(classifier, run)
        return classifier

    def defenses(self, node: Node) -> list[Defense]:
        """The stack of a node, with the strengths that were picked for it."""
        found: list[Defense] = []
        for i, use in enumerate(node.uses.get("defenses", ())):
            picked = node.parents.get(f"strength {i}")
            changed = {} if picked is None else self.artefact(picked).record["settings"]
            found.append(use.having({**use.spec.settings, **changed}).make())
        return found

    def generator(self, node: Node, run: Run) -> Generator:
        """A trained prior in evaluation mode."""

        def load() -> Generator:
            artefact = self.artefact(node)
            record = artefact.record
            generator: Generator = node.uses["prior"][0].make().build(record["classes"], tuple(record["shape"]))
            generator.load_state_dict(dict(artefact.tensors))
            return generator.to(run.device).eval().requires_grad_(False)

        return self._keep(node, load, run.device)

    def model(self, node: Node, run: Run) -> Classifier:
        """A model as its plugin brings it, in evaluation mode; do not change it. It draws its own random numbers."""

        def load() -> Classifier:
            record = self.store.record(node.key)
            model: Model = node.uses["model"][0].make()
            classifier = model.build(record["classes"], tuple(record["shape"]), owned(node, run))
            fast: Classifier = classifier.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            return fast.eval().requires_grad_(False)

        return self._keep(node, load, run.device)


def owned(node: Node, run: Run) -> Run:
    """A run with a node's own random numbers, on the device of another run, and beside it: no checkpoint, no notes."""
    return Run(node.randomness, run.device, run.mixed_precision)


def _head(name: str) -> bool:
    return name.startswith("head.")


def fill(classifier: Classifier, state: Mapping[str, Tensor], source: str, *, head: bool = True) -> None:
    """Loads a state dict, strictly.

    Args:
        classifier: What to fill.
        state: Tensors by name.
        source: Where they come from, for the error.
        head: Whether the head must be among them.

    Raises:
        WeightsError: If names or shapes differ.
    """
    own = classifier.state_dict()
    wanted = {name for name in own if head or not _head(name)}
    wrong = sorted(wanted ^ set(state)) or [name for name in wanted if own[name].shape != state[name].shape]
    if wrong:
        raise WeightsError(
            f"{source} does not fit the model: {', '.join(wrong[:5])} missing, unexpected or of another shape",
            f"{len(wanted)} tensors of the model's own names and shapes",
            "train it with the same model settings",
        )
    classifier.load_state_dict(dict(state), strict=head)
