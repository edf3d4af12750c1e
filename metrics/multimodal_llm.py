"""A language model that sees pictures says whether two show the same person (F_MLLM, arXiv 2505.03519)."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from unveil.harness.types import Reply, Run, Speaker
from unveil.harness.words.errors import AwayError, PluginError, UnansweredError
from unveil.metrics import query_picture
from unveil.metrics.chat_endpoint import LOOPBACK, Endpoint, Said, fault, host
from unveil.metrics.kept_answers import KeptAnswers, question
from unveil.metrics.spoken_replies import understood

PROMPT = (
    "You are an expert at recognising a {subject} in pictures. The left of the picture is Image A. The right of it is "
    "Set B: pictures of one and the same {subject}. Does Image A show the same {subject} as Set B? Allow for "
    "differences of age, light, pose, hair, glasses and picture quality. Answer with one word, yes or no."
)
CAPTION = "Does Image A show the same {subject} as Set B?"
ASKED = ("url", "model", "send", "beside", "subject", "temperature")  # settings that an answer hangs on
VALUES = {Reply.YES: 1.0, Reply.NO: 0.0}


@dataclass(frozen=True)
class MultimodalLLM(Speaker):
    """Asks a language model that sees pictures, at an endpoint of yours, whether a picture shows a person.

    Private pictures leave this machine: each question holds a few of one person's, and most questions ask
    about a real picture. So nothing is sent unless ``send = true``; without it the row says what would be
    sent, and where. The endpoint speaks the protocol of OpenAI's chat completions, as most services and local servers
    do. A server on this machine (``http://127.0.0.1:8000/v1``) keeps the pictures here.

    A reply is yes, no, a refusal or unclear. The last two are counted apart and never taken for a no. Each answer is
    kept in the store by what was asked, and never asked for again.

    Attributes:
        url: Of the endpoint, without ``/chat/completions``; with https unless it is on this machine.
        model: Name of the model there.
        send: Whether private pictures may be sent there.
        key_variable: Name of the environment variable that holds the key; empty for an endpoint that wants none.
        beside: Most private pictures of the person in a question.
        subject: What is recognised: ``person``, ``breed of dog``, ``kind of object``.
        temperature: Of the model's answers; some models take no other than 1.
        timeout: Seconds for one answer.
        tries: Attempts at one question, while the endpoint is busy, fails or cannot be reached.
        pause: Seconds before the second attempt, doubled before each later one; or what the endpoint asks for, if more.
    """

    yes_or_no: ClassVar[bool] = True
    paper: ClassVar[str] = "Revisiting Model Inversion Evaluation, 2025, arXiv:2505.03519"

    url: str
    model: Annotated[str, Field(min_length=1, max_length=200)]
    send: bool = False
    key_variable: str = ""
    beside: Annotated[int, Field(ge=1, le=16)] = 4
    subject: Annotated[str, Field(min_length=1, max_length=60)] = "person"
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    timeout: Annotated[float, Field(gt=0, le=3600)] = 60.0
    tries: Annotated[int, Field(ge=1, le=20)] = 5
    pause: Annotated[float, Field(ge=0, le=60)] = 1.0

    def __post_init__(self) -> None:
        if why := fault(self.url):  # said without repeating what may hold a secret
            raise PluginError(
                f"the url of the language model {why}",
                "such as https://host/v1, or http://127.0.0.1:8000/v1 on this machine",
                "correct it; a key goes into an environment variable, whose name is key_variable",
            )
        if not re.fullmatch(r"(?:[A-Z_][A-Z0-9_]{0,99})?", self.key_variable):
            raise PluginError(
                "key_variable is no name of an environment variable in capitals",
                "a name such as MY_JUDGE_KEY, and never the key itself",
                "correct it; if it was the key, take it out of the plan and have it replaced",
            )

    def canonical(self) -> Mapping[str, Any]:
        """What an answer hangs on: neither where the key is, nor how patient we are."""
        return {name: value for name, value in asdict(self).items() if name in ASKED}

    def preflight(self) -> Sequence[str]:
        """Says loudly that pictures leave, before any does."""
        if not self.send or self._here():
            return ()
        return (
            f"PRIVATE PICTURES LEAVE THIS MACHINE: they are sent to {host(self.url)}, to be judged by {self.model}",
        )

    def compare(
        self, pictures: Tensor, people: Sequence[Tensor], pairs: NDArray[np.int64], run: Run
    ) -> NDArray[np.float64]:
        """1 for yes, 0 for no, and NaN for what is neither; see `harness.types.Comparer`."""
        return np.array([VALUES.get(reply, np.nan) for reply in self.replies(pictures, people, pairs, run)])

    def replies(
        self, pictures: Tensor, people: Sequence[Tensor], pairs: NDArray[np.int64], run: Run
    ) -> Sequence[Reply]:
        """What the model says to each question.

        Raises:
            UnansweredError: If something would have to be sent, and may not be.
            AwayError: If the endpoint does not answer; what it answered so far is kept.
        """
        shown = {person: query_picture.beside(people[person], self.beside) for person in set(pairs[:, 1].tolist())}
        names = [self._name(pictures[row], shown[person]) for row, person in pairs.tolist()]
        kept = KeptAnswers(run.disk, names)
        left = {name: pair for name, pair in zip(names, pairs.tolist(), strict=True) if kept.get(name) is None}
        if left:
            self._may_send(left.values(), shown)
        endpoint = self._endpoint(run) if left else None
        with run.progress("asking", len(left)) as bar:
            for name, (row, person) in left.items():
                assert endpoint is not None
                png = query_picture.drawn(pictures[row], shown[person], CAPTION.format(subject=self.subject))
                kept.keep(name, endpoint.ask(PROMPT.format(subject=self.subject), png))
                bar.advance()
        return [_meant(kept.get(name)) for name in names]

    def _name(self, picture: Tensor, shown: Tensor) -> str:
        told = (self.url, self.model, repr(self.temperature), PROMPT, CAPTION, self.subject, query_picture.LAYOUT)
        shape = repr((tuple(picture.shape), tuple(shown.shape)))
        return question(*told, shape, query_picture.pixels_of(picture), *map(query_picture.pixels_of, shown))

    def _may_send(self, left: Collection[Sequence[int]], shown: Mapping[int, Tensor]) -> None:
        if self.send:
            return
        private = sum(len(shown[person]) for person in {person for _, person in left})
        raise UnansweredError(
            f"nothing was sent: {len(left)} questions with {private} private pictures of "
            f"{len({person for _, person in left})} people, and real pictures among those in question, would go to "
            f"{host(self.url)}, to be judged by {self.model}. If they may leave this machine, set send = true"
        )

    def _endpoint(self, run: Run) -> Endpoint:
        key = os.environ.get(self.key_variable, "").strip() if self.key_variable else ""
        if self.key_variable and not (key and key.isascii() and key.isprintable()):
            raise AwayError(
                f"the environment variable {self.key_variable} holds no key for {host(self.url)} where this step ran",
                "a key in one line",
                f"export {self.key_variable}=... and run the plan again",
            )
        return Endpoint(
            self.url, self.model, self.temperature, self.timeout, self.tries, self.pause, key, run.interrupted
        )

    def _here(self) -> bool:
        return urlsplit(self.url).hostname in LOOPBACK


def _meant(said: Said | None) -> Reply:
    assert said is not None
    return Reply.REFUSED if said.refused else understood(said.text)
