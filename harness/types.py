"""The vocabulary: what datasets, models, defenses, priors, attacks and metrics say to each other.

A plugin is a frozen dataclass whose fields are its settings. It may carry ``paper`` (a citation, shown by
``unveil list``). A plugin that reads files from outside the package says what is in them with ``content()``,
so that another file under the same name is another identity.
"""

from __future__ import annotations

from unveil.harness.training.global_rng import seeded
from unveil.harness.words.account import Remark
from unveil.harness.words.attack import Attack, Ceiling, Control, Demanding, Guided
from unveil.harness.words.classifier import Classifier, Forward
from unveil.harness.words.comparer import Comparer
from unveil.harness.words.dataset import Dataset
from unveil.harness.words.defense import Defense, Plugin, Step, Terms
from unveil.harness.words.errors import AwayError, DataError, TrainingError, UnansweredError, UnveilError, WeightsError
from unveil.harness.words.gathering import Gathering
from unveil.harness.words.generator import ConditionalGenerator, Generator
from unveil.harness.words.given import Attempt, Given, Ingredients
from unveil.harness.words.images import Data, Images
from unveil.harness.words.learner import Learner
from unveil.harness.words.memo import Memo
from unveil.harness.words.meter import Budget, Spent
from unveil.harness.words.metric import Evidence, Measurement, Metric
from unveil.harness.words.model import Model
from unveil.harness.words.names import Access, Direction, Quantity, Role
from unveil.harness.words.needs import (
    NEEDED,
    Distillation,
    GivenComparer,
    GivenModel,
    Need,
    Surrogate,
    TrainedPrior,
    WrappedAttack,
)
from unveil.harness.words.prior import Origin, Pretrained, Prior, PriorWithNeeds
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.reply import Reply, Speaker
from unveil.harness.words.run import Run, draw_normal
from unveil.harness.words.spec import LATER, LocalPath, LocalSpec, Spec
from unveil.harness.words.view import View

__all__ = [
    "LATER",
    "NEEDED",
    "Access",
    "Attack",
    "Attempt",
    "AwayError",
    "Budget",
    "Ceiling",
    "Classifier",
    "Comparer",
    "ConditionalGenerator",
    "Control",
    "Data",
    "DataError",
    "Dataset",
    "Defense",
    "Demanding",
    "Direction",
    "Distillation",
    "Evidence",
    "Forward",
    "Gathering",
    "Generator",
    "Given",
    "GivenComparer",
    "GivenModel",
    "Guided",
    "Images",
    "Ingredients",
    "Learner",
    "LocalPath",
    "LocalSpec",
    "Measurement",
    "Memo",
    "Metric",
    "Model",
    "Need",
    "Origin",
    "Plugin",
    "Pretrained",
    "Prior",
    "PriorWithNeeds",
    "Quantity",
    "Recipe",
    "Remark",
    "Reply",
    "Role",
    "Run",
    "Speaker",
    "Spec",
    "Spent",
    "Step",
    "Surrogate",
    "Terms",
    "TrainedPrior",
    "TrainingError",
    "UnansweredError",
    "UnveilError",
    "View",
    "WeightsError",
    "WrappedAttack",
    "draw_normal",
    "seeded",
]  # fmt: skip
