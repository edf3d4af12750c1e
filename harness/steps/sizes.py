"""Who looks at pictures at what size: the data are kept as they are, and each model takes its own part and size."""

from __future__ import annotations

from collections.abc import Sequence

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import DataError
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run
from unveil.harness.words.window import Window


def sized(model: Model, classes: int, shape: tuple[int, int, int], crop: Sequence[int] | None, run: Run) -> Classifier:
    """A model that brings every picture to the size that it was built for, and looks at its own part of it.

    Args:
        model: The plugin.
        classes: Number of classes.
        shape: Of the data's pictures, ``(C, H, W)``. Others, such as reconstructions, show the same at another size.
        crop: Left, top, width and height of the part that it looks at, in the data's pixels; None for all.
        run: The node's own randomness.

    Raises:
        DataError: If the crop does not lie in the pictures.
    """
    channels, height, width = shape
    window = None if not crop else window_of(crop, shape, "the model's")
    wide, high = (width, height) if not crop else crop[2:]
    classifier = model.build(classes, (channels, high, wide), run)
    if classifier.size is None:
        classifier.size = (high, wide)
    classifier.window = window
    return classifier


def window_of(crop: Sequence[int], shape: Sequence[int], whose: str) -> Window:
    """A crop in the data's pixels as shares, so that the same part is seen of pictures of another size.

    Args:
        crop: Left, top, width and height.
        shape: Of the data's pictures, ``(C, H, W)``.
        whose: Who looks, for the error.

    Raises:
        DataError: If the crop does not lie in the pictures.
    """
    _, height, width = shape
    left, top, wide, high = crop
    if left + wide > width or top + high > height:
        raise DataError(
            f"crop = {list(crop)} of pictures of {width} x {height} pixels",
            "left, top, width and height of a part of the data's pictures",
            f"correct {whose} crop in the plan",
        )
    return left / width, top / height, wide / width, high / height
