"""What MLflow takes for a name, and what it says when something goes wrong."""

from __future__ import annotations

import re
import socket

from unveil.harness.plan.canonical import digest

MOST = 500  # characters of what it says
LONGEST = 250  # of a name


def said(error: BaseException) -> str:
    """What is wrong: that nobody answers, wherever in the chain of errors that stands, or else what MLflow says."""
    chain = [error]
    while (behind := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(behind)
    for link in chain:
        if isinstance(link, ConnectionError | TimeoutError | socket.gaierror) and link.args:
            return f"no answer: {link.strerror or link}"
    text = " ".join(str(error).partition("\n[SQL")[0].split()) or "no reason given"
    if "(Caused by " in text:
        return f"no answer: {text.rpartition('(Caused by ')[2].removesuffix(')')}"
    return f"{type(error).__name__}: {text[:MOST]}"


def public(text: str) -> str:
    """Without the passwords in its URIs."""
    return re.sub(r"(//[^/:@\s]*):[^@/\s]*@", r"\1:***@", text)


def named(text: str) -> str:
    """A name that MLflow takes: letters, digits and ``_-. :/``, no path out, and not too long."""
    plain = "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in text.replace("@", " by "))
    # MLflow takes names for paths: none may lead up, or be said in two ways
    safe = "/".join(part for part in plain.split("/") if part.strip(".")) or "_"
    return safe if len(safe) <= LONGEST else f"{safe[: LONGEST - 9]}-{digest(text)[:8]}"
