"""Pairs of pictures in a folder and a sheet to fill in: for people who judge, and for programs that read files."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from unveil.harness.types import Comparer
from unveil.harness.words.errors import JudgeError, UnansweredError
from unveil.harness.words.pixels import to_uint8
from unveil.harness.words.run import Run

SHEET, INSTRUCTIONS = "answers.csv", "README.txt"
ANSWERS = {"yes": 1.0, "y": 1.0, "1": 1.0, "no": 0.0, "n": 0.0, "0": 0.0}
SIDE = 160  # pixels that small pictures are enlarged to, at least
LARGEST = 10_000_000  # bytes of a sheet; a line has some ten
GAP = 16  # white pixels between the person and the picture in question
TEXT = """Each picture shows pictures of one person and, right of the gap, one more picture.
Is that the same person? Write yes or no beside its number into answers.csv.
These may be real people: keep this folder to yourself, and delete it when the answers have been read.
"""


@dataclass(frozen=True)
class AnswerSheet(Comparer):
    """Writes each question as a picture into a folder, with a sheet ``answers.csv`` for yes or no, and reads it.

    Nothing is scored before every line is filled in. Then run the plan again: only what the answers change is done
    anew. Each attack on each target has a folder of its own in ``folder``, named after its questions, so that equal
    questions are asked once. Pictures of real people lie there: it must not be inside a git repository, and only its
    owner may read what is in it.

    Attributes:
        folder: Where to write, for instance outside the project; from where the program is started if relative.
        beside: Most pictures of the person beside the one in question.
    """

    yes_or_no: ClassVar[bool] = True
    paper: ClassVar[str] = ""

    folder: Annotated[str, Field(min_length=1)]
    beside: Annotated[int, Field(ge=1)] = 4

    def content(self) -> Mapping[str, str]:
        """All answers so far, wherever the folder is."""
        hashed = hashlib.sha256()
        for sheet in sorted(Path(self.folder).expanduser().glob(f"*/{SHEET}")):
            given = {name: answer for name, answer in read(sheet).items() if answer}
            hashed.update(repr((sheet.parent.name, sorted(given.items()))).encode() if given else b"")
        return {"folder": hashed.hexdigest()}

    def compare(
        self,
        pictures: Tensor,
        people: Sequence[Tensor],
        pairs: NDArray[np.int64],
        run: Run,
    ) -> NDArray[np.float64]:
        """1 for yes and 0 for no ``(Q,)``; see `harness.types.Comparer`."""
        shown = [torch.cat([people[person][: self.beside], pictures[row][None]]) for row, person in pairs.tolist()]
        name = hashlib.sha256(b"".join(to_uint8(x).cpu().numpy().tobytes() for x in shown)).hexdigest()[:16]
        place = private_folder(Path(self.folder)) / name
        numbers = [f"{number:04d}" for number in range(1, len(shown) + 1)]
        if not (place / SHEET).exists():
            write(place, dict(zip(numbers, shown, strict=True)), run)
        given = read(place / SHEET)
        answers = [given.get(number, "") for number in numbers]
        open_ = sum(not answer for answer in answers)
        if open_:
            raise UnansweredError(f"{open_} of {len(answers)} questions in {place} are not answered")
        return np.array([ANSWERS[answer] for answer in answers])


def private_folder(folder: Path) -> Path:
    """The folder, made for its owner alone.

    Raises:
        JudgeError: If it is inside a git repository, where pictures of real people could be published by mistake.
    """
    folder = folder.expanduser().absolute()
    inside = [parent for parent in (folder, *folder.parents) if (parent / ".git").exists()]
    if inside:
        raise JudgeError(
            f"{folder} is inside the git repository {inside[0]}", "a folder outside", "name another folder"
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write(place: Path, questions: Mapping[str, Tensor], run: Run) -> None:
    """Writes the questions by number, each a person's pictures and, last, the one in question ``(M + 1, C, H, W)``."""
    place.mkdir(mode=0o700, exist_ok=True)
    with run.progress("questions", len(questions)) as bar:
        for number, pictures in questions.items():
            drawn(pictures).save(place / f"{number}.png")
            bar.advance()
    (place / INSTRUCTIONS).write_text(TEXT, encoding="utf-8")
    # Last, since a folder with a sheet is taken for complete.
    with (place / SHEET).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "same person"), *((number, "") for number in questions)])


def read(sheet: Path) -> dict[str, str]:
    """Answers by number, empty where there is none yet.

    Raises:
        JudgeError: If the sheet cannot be read, or one is neither yes nor no.
    """
    try:
        if not sheet.is_file() or sheet.stat().st_size > LARGEST:
            raise OSError("no file, or far too large")
        with sheet.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row][1:]
    except (OSError, ValueError, csv.Error) as error:
        raise JudgeError(
            f"{sheet} cannot be read: {error}",
            f"a CSV with a line for each question, of at most {LARGEST:,} bytes",
            "correct it, or delete it and run the plan again, which writes it anew",
        ) from error
    found = {row[0].strip().zfill(4): row[1].strip().lower() if len(row) > 1 else "" for row in rows}
    for number, answer in found.items():
        if answer and answer not in ANSWERS:
            raise JudgeError(f"{sheet}, question {number[:20]}: {answer[:40]!r}", "yes or no", "correct the line")
    return found


def drawn(pictures: Tensor) -> Image.Image:
    """Pictures ``(M, C, H, W)`` in a row, the last one behind a gap."""
    times = -(-SIDE // min(pictures.shape[-2:]))
    x = F.interpolate(pictures.expand(-1, 3, -1, -1).cpu(), scale_factor=times, mode="nearest")
    gap = torch.ones(3, x.shape[2], GAP)
    row = torch.cat([*x[:-1], gap, x[-1]], dim=2)
    return Image.fromarray(to_uint8(row).permute(1, 2, 0).numpy())
