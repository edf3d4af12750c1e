"""What people are called in a report: by name only where that may be published or was asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.figures.rows import Results


@dataclass(frozen=True)
class People:
    """The people a model tells apart.

    Attributes:
        names: In the order of its classes; empty if they are not known.
        shown: Whether they may be named.
        more: Other names of theirs that must not be shown either.
    """

    names: tuple[str, ...] = ()
    shown: bool = False
    more: tuple[str, ...] = ()

    def call(self, label: str) -> str:
        """A person in words.

        Args:
            label: The class, as rows have it.

        Example:
            >>> People(("ann", "bob")).call("1"), People(("ann", "bob"), shown=True).call("1")
            ('person 1', 'bob')
        """
        known = self.shown and label.isdecimal() and int(label) < len(self.names)
        return self.names[int(label)] if known else f"person {label}"

    def label(self, name: str) -> str | None:
        """The class of a person; None if that is not known."""
        return str(self.names.index(name)) if name in self.names else None

    def hidden(self, results: Results, facts: AuditFacts) -> tuple[Results, AuditFacts]:
        """The same without names in what others wrote: errors, reasons, notes and facts."""
        if self.shown or self._pattern is None:
            return results, facts
        plain = results.model_dump(exclude={"pictures", "accounts"})
        parts = {name: _changed(plain[name], self.hide, ("error", "reason", "notes")) for name in ("rows", "judges")}
        safe = Results.model_validate({**plain, **parts, "pictures": results.pictures, "accounts": results.accounts})
        told = facts.as_dict()
        return safe, AuditFacts.from_dict({**_changed(told, self.hide, tuple(told)), **_never(told)})

    def hide(self, text: str) -> str:
        """A text that may hold names, as an error or a path may, without them.

        A name without a letter, or of one letter, says nobody's name, and text is full of the like.

        Example:
            >>> People(("ann", "bob")).hide("cannot read faces/bob_3.png")
            'cannot read faces/person 1_3.png'
        """
        if self.shown or self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._called.get(found[0].casefold(), "a person"), text)

    @cached_property
    def _called(self) -> dict[str, str]:
        return {name.casefold(): self.call(str(i)) for i, name in enumerate(self.names)}

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        telling = {n for n in (*self.names, *self.more) if len(n) > 1 and any(map(str.isalpha, n))}
        if not telling:
            return None
        longest_first = "|".join(map(re.escape, sorted(telling, key=lambda n: (-len(n), n))))
        return re.compile(rf"(?<![^\W_])(?:{longest_first})(?![^\W_])", re.IGNORECASE)


def _never(told: dict[str, Any]) -> dict[str, Any]:
    """Words that are no text."""
    return {name: told[name] for name in ("access", "order", "checksum")}


def _changed(value: Any, change: Callable[[str], str], where: tuple[str, ...], inside: bool = False) -> Any:
    """A structure with every text changed that stands in one of these fields, however deep."""
    if isinstance(value, dict):
        return {key: _changed(part, change, where, inside or key in where) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_changed(part, change, where, inside) for part in value]
    return change(value) if inside and isinstance(value, str) else value


def people(results: Results, data: str, *, private_pictures: bool) -> People:
    """Those of one data set.

    Args:
        results: What knows their names, if anything does.
        data: The data set.
        private_pictures: Whether they may be shown although the data set does not allow it.
    """
    account = results.accounts.get(data)
    pictures = [p for p in results.pictures if p.data == data]
    publishable = account.publishable if account else all(p.publishable for p in pictures)
    more: Iterable[str] = dict.fromkeys(name for p in pictures for name in p.people)
    return People(tuple(account.people) if account else (), publishable or private_pictures, tuple(more))
