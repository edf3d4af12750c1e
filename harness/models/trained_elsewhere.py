"""A file with weights that somebody has trained elsewhere, and what is known of the pictures and classes behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

from pydantic import Field
from torch import nn

from unveil.harness.assets import checkpoints, weights
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.assets.weights import WHOLE
from unveil.harness.assets.wrappers import Found, select
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError, WeightsError, listed
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LocalPath

AUTO, SORTED = "auto", "sorted"
FEW = 3  # names in an error
SIDE = 64  # of pictures for which a network is built to be tried out
PROBED = 4096  # classes of a network that is built to learn its names: more than any defense wants fewer than
Notes: TypeAlias = tuple[str, ...]
Change: TypeAlias = Callable[[Classifier], Classifier]


@runtime_checkable
class Restoring(Protocol):
    """A model plugin that reads files of its own kind, such as checkpoints with the names of another library."""

    def colours(self, path: Path) -> int:
        """Channels of the pictures that a checkpoint was trained on; 3 if it does not say."""
        ...

    def restore(self, path: Path, shape: tuple[int, int, int], run: Run) -> tuple[Classifier, Notes] | None:
        """A classifier for as many classes as the file knows, in the file's order, and what a reader must know of it.

        None if the file has the names of this package's classifiers instead.

        Raises:
            WeightsError: If the file does not fit the model.
        """
        ...


@runtime_checkable
class Naming(Protocol):
    """A model plugin that knows the names of released checkpoints, those of defended networks among them."""

    def restore_defended(
        self, path: Path, shape: tuple[int, int, int], run: Run, defended: Change
    ) -> tuple[Classifier, Notes] | None:
        """As `Restoring.restore`, of a network that defenses have changed before it learnt."""
        ...


@runtime_checkable
class Reopening(Protocol):
    """A model plugin whose networks are files and not tensors."""

    def reopened(self, files: Mapping[str, bytes], classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """The network of files that were kept, by name."""
        ...


@dataclass(frozen=True)
class TrainedElsewhere:
    """Weights that were trained elsewhere, used as they are.

    The file is a state dict, wherever in it that lies and whatever wrappers have put into its names, with the names of
    the model's library or those that this package saves. Where it lies enters no identity, only what is in it.

    Attributes:
        file: The weights.
        order: Which class is whom. ``"sorted"``: classes stand in the order of the people's sorted names. Or a file
            with a name in each line, in the order of the classes, or a ``.json`` file with a list of names or a table
            from names to numbers, as ``class_to_idx`` is. ``"auto"``: sorted, unless the private pictures say
            otherwise: then the order in which most of them are named rightly.
        mean: Mean that each colour is normalised with, of pixels in [0, 1]; None finds it out.
        std: Standard deviation of the same.
        bgr: Whether blue comes first; None finds it out.
    """

    file: Annotated[LocalPath, Field(min_length=1)]
    order: Annotated[LocalPath, Field(min_length=1)] = AUTO
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    bgr: bool | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together, one number for each colour, or neither is")

    def content(self) -> Mapping[str, str]:
        """The checksum of the weights, and of the file that says whose class is which.

        Raises:
            WeightsError: If one of them cannot be read.
        """
        found = {"file": weights.checksum(Path(self.file))}
        return found if self.order in (AUTO, SORTED) else {**found, "order": weights.checksum(Path(self.order))}

    def try_out(self, model: Model, defended: Change) -> Notes:
        """Reads the weights into the model, as far as that can be done without the pictures.

        Args:
            model: Its architecture.
            defended: As of `restore`.

        Returns:
            What a reader must know of them.

        Raises:
            WeightsError: If they do not fit.
        """
        self.names()
        if isinstance(model, Reopening):  # a program is asked when there are pictures
            return ()
        colours = model.colours(Path(self.file)) if isinstance(model, Restoring) else 3
        try:
            return self.restore(model, defended, (colours, SIDE, SIDE), Run("tried out"))[1]
        except PluginError:  # which pictures there are is not known yet
            return ()

    def restore(
        self, model: Model, defended: Change, shape: tuple[int, int, int], run: Run
    ) -> tuple[Classifier, Notes]:
        """The model with these weights, with as many classes as these know, and what a reader must know of them.

        Args:
            model: Its architecture.
            defended: Changes the network as the defenses do under which it was trained.
            shape: Of a picture, ``(C, H, W)``.
            run: Where a layer without weights would draw them from.

        Raises:
            WeightsError: If the weights do not fit the model.
        """
        path = Path(self.file)
        if isinstance(model, Naming):
            return model.restore_defended(path, shape, run, defended) or _own(model, defended, path, shape, run)
        found = model.restore(path, shape, run) if isinstance(model, Restoring) else None
        if found is None:
            return _own(model, defended, path, shape, run)
        before = found[0].state_dict().keys()
        changed = defended(found[0])
        if added := sorted(changed.state_dict().keys() - before):
            raise WeightsError(
                f"the defense adds {listed(added, FEW)} to the network, and {path} has the names of a network without",
                "weights under the names that this package saves, which has the defense's, too",
                "name a defense that leaves the network's tensors as they are",
            )
        return changed, found[1]

    def names(self) -> tuple[str, ...] | None:
        """Who the classes are, in order; None where no file says so.

        Raises:
            WeightsError: If the file cannot be understood.
        """
        return None if self.order in (AUTO, SORTED) else named_in(Path(self.order))


def named_in(path: Path) -> tuple[str, ...]:
    """The names of classes in a file, in order.

    Raises:
        WeightsError: If it cannot be understood.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = _listed(json.loads(text)) if path.suffix == ".json" else text.splitlines()
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{path} does not say which class is whom: {error}",
            "a name in each line, in the order of the classes, or a .json file with a list or a table of numbers",
            "correct the file",
        ) from error
    names = [name.strip() for name in found if name.strip()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise WeightsError(f"{path} names {listed(twice)} more than once", "each class once", "correct the file")
    return tuple(names)


def _listed(found: Any) -> list[str]:
    """Names in order, from a list or from a table of numbers by name.

    >>> _listed({"bob": 1, "ann": 0})
    ['ann', 'bob']
    """
    if isinstance(found, dict):
        if sorted(found.values()) != list(range(len(found))):
            raise ValueError(f"its {len(found)} names have not the numbers from 0 to {len(found) - 1}")
        return sorted(map(str, found), key=lambda name: int(found[name]))
    if isinstance(found, list) and all(isinstance(name, str) for name in found):
        return found
    raise ValueError(f"it holds a {type(found).__name__}")


def _own(model: Model, defended: Change, path: Path, shape: tuple[int, int, int], run: Run) -> tuple[Classifier, Notes]:
    """A model with weights under the names that this package's classifiers have."""
    checkpoint, probe = checkpoints.read(path), model.build(PROBED, shape, run)
    plain = set(probe.state_dict())
    changed = defended(probe)
    names = changed.state_dict().keys()
    found, _ = select(checkpoint, names)
    if 2 * found.fits <= len(names):
        raise misfit(path, found, names)
    _require_same_defense(path, found, plain, names)
    last = [name for name, module in changed.head.named_modules() if isinstance(module, nn.Linear)][-1:]
    head = ".".join(filter(None, ["head", *last]))
    classifier = defended(model.build(head_size(found, head, path), shape, run))
    return classifier, weights.load(classifier, checkpoint, WHOLE)


def _require_same_defense(path: Path, found: Found, plain: Collection[str], names: Collection[str]) -> None:
    """Refuses weights of a network that another defense has changed, or none.

    Args:
        path: Of the file.
        found: The file, read as the model's.
        plain: The model's names without a defense.
        names: Its names as the defenses have changed it.
    """
    added = [name for name in names if name not in plain]
    if added and not any(name in found.tensors for name in added):
        raise WeightsError(
            f"the defense adds {listed(added, FEW)} to the network, and {path} has none of these: it is of a network "
            "without that defense",
            "weights that were trained under the defense that the entry names",
            'name the file in an entry without it, such as use = "none"',
        )
    foreign = [name for name in found.tensors if name.startswith("head.") and name not in names]
    if foreign:
        raise WeightsError(
            f"{path} has {listed(foreign, FEW)}, which the model has not: it was trained under a defense that changes "
            "the network before its classes",
            "the defense that it was trained under, with the same sizes",
            "name the file in that defense's entry, such as mid or loft",
        )


def misfit(path: Path, found: Found, names: Collection[str]) -> WeightsError:
    """An error for a checkpoint of another network.

    Args:
        path: Of the file.
        found: The best way to read it.
        names: The model's.
    """
    theirs = [name for name in found.tensors if name not in names]
    return WeightsError(
        f"{path} does not fit the model: {found.fits} of the model's {len(names)} tensors are in it; it has "
        f"{listed(theirs, FEW)}, and the model {listed([name for name in names if name not in found.tensors], FEW)}",
        "weights of this architecture",
        "check the architecture against what the checkpoint was trained with",
    )


def has_own_names(classifier: Classifier, checkpoint: Checkpoint) -> bool:
    """Whether most of a classifier's names are in a checkpoint."""
    wanted = classifier.state_dict().keys()
    return 2 * select(checkpoint, wanted)[0].fits > len(wanted)


def head_size(found: Found, head: str, path: Path) -> int:
    """How many classes a checkpoint's head knows.

    Args:
        found: The checkpoint, read as the model's.
        head: Name of the model's classifier layer.
        path: Of the file, for the error.

    Raises:
        WeightsError: If it has no such layer.
    """
    kernel = found.tensors.get(f"{head}.weight")
    if kernel is not None and kernel.ndim > 1:
        return len(kernel)
    last: Sequence[str] = list(found.tensors)[-3:]
    raise WeightsError(
        f"{path} has no classifier layer {head!r}: {found.fits} tensors have names of the model, and its last ones "
        f"are {', '.join(last)}",
        f"{head}.weight with a row for each class, in a checkpoint of the whole classifier",
        "check the architecture; if it was saved without its head, save all of model.state_dict()",
    )
