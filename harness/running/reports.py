"""Where the results of a plan are kept: each plan has a folder of its own, also where two files have one name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from unveil.harness.figures import standing as standings
from unveil.harness.figures.rows import Results
from unveil.harness.figures.standing import Standing
from unveil.harness.plan.given import settings_of, split
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import PlanError, StoreError

MOST = 60  # characters of a plan's name that a folder is called by
NO_NAME = '/\\:*?"<>|'


@dataclass(frozen=True)
class Owner:
    """The plan whose results a folder holds.

    Attributes:
        text: Of the plan as it was run.
        place: Where its file is, seen from the store, so that both can move together; a preset's is its name; None if
            that is not known.
    """

    text: str
    place: str | None


def _file(text: str) -> str:
    """The text of a plan's file, without what else it was given."""
    try:
        return split(text)[1]
    except PlanError:
        return text


def first_fault(error: ValidationError) -> str:
    """The first thing that results are wrong in, and where."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}{': ' * bool(place)}{first['msg']}"


class Reports:
    """The reports in a store.

    Args:
        store: Where they are.
        name: File name of a plan without ending.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self.plain = "".join("_" if c in NO_NAME or not c.isprintable() else c for c in name[:MOST])
        if self.plain.strip(".") != self.plain:
            self.plain = f"_{self.plain.strip('.')}"

    def keep(self, text: str, path: Path | None, results: Results) -> str:
        """Writes what a page and a tracker are made of.

        Args:
            text: Of the plan as it was run.
            path: Of the plan's file; None for a preset.
            results: What it gave.

        Returns:
            The folder: ``reports/NAME``, or ``reports/NAME-HASH`` if another plan of that name has the first, or if a
            command line set something: no trial takes the place of the plan's own results.

        Raises:
            StoreError: If the store cannot be written.
        """
        with self.store.lease("reports", f"the report of {self.name}"):
            folder = self.find(text, path) or self._new(text, path)
            self._write(folder, {"plan": text, "place": self._place(path)}, results)
        return folder

    def receive(self, results: Results, mark: str) -> str:
        """Writes results that somebody else computed, beside what is here and never over it.

        Args:
            results: What they are.
            mark: Tells them from others of the same name, if there are.

        Returns:
            The folder.

        Raises:
            StoreError: If the store cannot be written.
        """
        text = results.model_dump_json(indent=1)
        with self.store.lease("reports", f"the report of {self.name}"):
            same = (f for f in self.folders() if self.store.get_text(f"{f}/results.json") == text)
            if (known := next(same, None)) is not None:
                return known
            taken = self._owner(f"reports/{self.plain}") is not None
            folder = f"reports/{self.plain}-{mark[:8]}" if taken else f"reports/{self.plain}"
            self._write(folder, {"plan": results.plan, "place": None}, results)
        return folder

    def judge(self, folder: str, standing: Standing) -> Standing:
        """Keeps what a check of received results came to, unless an earlier one computed more figures again.

        Results that were computed in this store have no standing: nobody handed them in.

        Returns:
            What is kept; the same where nothing is.

        Raises:
            StoreError: If the store cannot be written.
        """
        owner = self._owner(folder)
        known = standings.read(self.store.get_text(f"{folder}/{standings.FILE}"))
        if known is not None and known.protocol == standing.protocol and known.checked > standing.checked:
            return known
        if owner is not None and owner.place is None:
            self.store.put_text(f"{folder}/{standings.FILE}", standings.written(standing))
        return standing

    def _write(self, folder: str, owner: Mapping[str, str | None], results: Results) -> None:
        text = json.dumps([row.plain() for row in results.rows], indent=1, sort_keys=True) + "\n"
        if text != self.store.get_text(f"{folder}/rows.json"):  # a standing is that of these very numbers
            self.store.files.remove([f"{folder}/{standings.FILE}"])
        self.store.put_text(f"{folder}/plan.json", json.dumps(owner, indent=1) + "\n")
        self.store.put_text(f"{folder}/rows.json", text)
        self.store.put_text(f"{folder}/results.json", results.model_dump_json(indent=1))

    def find(self, text: str, path: Path | None) -> str | None:
        """The folder of a plan that was run with these settings: of the same file, or of its text if that is gone."""
        wanted, known = settings_of(text), self._owners()
        mine = {folder: owner for folder, owner in known.items() if settings_of(owner.text) == wanted}
        same = [folder for folder, owner in mine.items() if owner.place == self._place(path)]
        moved = [f for f, owner in mine.items() if _file(owner.text) == _file(text) and not self._is_there(owner.place)]
        return next(iter([*same, *moved]), None)

    def others(self, path: Path | None) -> dict[str, tuple[str, ...]]:
        """The folders of a plan's file, whatever a command line set, and what that was."""
        place = self._place(path)
        return {folder: settings_of(o.text) for folder, o in self._owners().items() if o.place == place}

    def _owners(self) -> dict[str, Owner]:
        found = {folder: self._owner(folder) for folder in self.folders()}
        return {folder: owner for folder, owner in found.items() if owner is not None}

    def folders(self) -> list[str]:
        """Those of plans of this name."""
        names = self.store.files.names("reports")
        return [f"reports/{name}" for name in names if name == self.plain or name[:-8] == f"{self.plain}-"]

    def read(self, folder: str, todo: str) -> Results:
        """The results in a folder.

        Args:
            folder: As ``find`` gives it.
            todo: What to do if they cannot be read.

        Raises:
            PlanError: If there are none.
            StoreError: If they cannot be read, or another version wrote them.
        """
        text = self.store.get_text(f"{folder}/results.json")
        if text is None:
            raise PlanError(f"{folder} in {self.store.url} has no results that can be read", "results.json", todo)
        try:
            return Results.model_validate_json(text)
        except ValidationError as error:
            raise StoreError(
                f"{folder}/results.json in {self.store.url} is damaged, or of another version of unveil: "
                f"{first_fault(error)}",
                "what this version writes",
                f"{todo}: it is written anew, and known steps are not computed again",
            ) from error

    def _new(self, text: str, path: Path | None) -> str:
        folder, settings = f"reports/{self.plain}", settings_of(text)
        if not settings and self._owner(folder) is None:
            return folder
        told = "\n".join((self._place(path), *settings))
        return f"{folder}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def _place(self, path: Path | None) -> str:
        if path is None:
            return f"preset {self.name}"
        place = str(path) if self.store.local is None else os.path.relpath(path, self.store.local)
        return place.encode("utf-8", "backslashreplace").decode()  # a name that is no text

    def _is_there(self, place: str | None) -> bool:
        if place is None:
            return False
        return place.startswith("preset ") or os.path.exists((self.store.local or Path()) / place)

    def _owner(self, folder: str) -> Owner | None:
        """Whose a folder is; None if nobody's, or if that cannot be read any more."""
        told = self._json(f"{folder}/plan.json") or self._json(f"{folder}/results.json")
        text, place = told.get("plan"), told.get("place")
        return Owner(text, place if isinstance(place, str) else None) if isinstance(text, str) else None

    def _json(self, path: str) -> dict[str, object]:
        try:
            found = json.loads(self.store.get_text(path) or "null")
        except (ValueError, RecursionError):
            found = None
        return found if isinstance(found, dict) else {}


def steps_of(store: Store) -> dict[str, frozenset[str]]:
    """Keys of the steps behind each report in a store, by the report's name; without reports that cannot be read.

    Raises:
        StoreError: If the store cannot be read.
    """
    found = {}
    for name in store.files.names("reports"):
        try:
            told = json.loads(store.get_text(f"reports/{name}/results.json") or "null")
            found[name] = frozenset(map(str, told["provenance"]))
        except (ValueError, RecursionError, LookupError, TypeError):
            continue
    return found
