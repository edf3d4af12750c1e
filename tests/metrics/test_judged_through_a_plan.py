"""Judges from outside through a whole plan: a language model's word in every row, and people's on a page."""

import http.client
import importlib.util
import json
import struct
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import unveil
from unveil.cli import main
from unveil.cli.judging import pairs_of
from unveil.harness.audit import prepare, stored
from unveil.leaderboard.judging.answers import Answers, everybody
from unveil.leaderboard.judging.pairs import Kind
from unveil.leaderboard.judging.serving import Sitting, server
from unveil.leaderboard.judging.summary import summary

spec = importlib.util.spec_from_file_location("chat_server", Path(__file__).with_name("chat_server.py"))
chat_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chat_server)
KEY = "sk-Very-Secret-2"
QUESTIONS = 30

ATTACK = '''
"""Two of a person's four pictures have the person's colour."""
from dataclasses import dataclass
from typing import ClassVar
import torch
from unveil.harness.types import Access, Images


@dataclass(frozen=True)
class Half:
    """A guess that is half right."""

    access: ClassVar[Access] = Access.LABELS

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        who = [(y, i) for y in labels.tolist() for i in range(4)]
        seeds = [y if i % 2 else 1000 + y for y, i in who]
        colours = [torch.rand(3, 1, 1, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        pixels = [(c - 0.01 * i).clamp(0, 1).expand(view.shape) for c, (_, i) in zip(colours, who)]
        return Images(torch.stack(pixels), torch.tensor([y for y, _ in who]))
'''
PLAN = """
title = "Judged"
[data]
use = "blobs.py:Blobs"
people = 6
[recipe]
epochs = 8
batch = 16
[target]
use = "small_resnet"
width = 4
[[evaluators]]
use = "plain_cnn"
name = "cnn"
width = 4
[[defenses]]
use = "none"
[[attacks]]
use = "half.py:Half"
name = "half"
[[metrics]]
use = "attack_accuracy"
[[metrics]]
use = "verification"
rates = [0.1]
questions = QUESTIONS
comparer = JUDGE
[[metrics]]
use = "confusion"
questions = QUESTIONS
comparer = JUDGE
"""


def by_colour(number, body):
    """Yes to the same colour; to two reconstructions it says what is neither."""
    a, b = chat_server.shown(body)
    off = np.abs(a.mean((0, 1)) - b.mean((0, 1))).max() / 255
    flat = a.std() < 1 + a.mean((0, 1)).std()  # reconstructions have no grain
    if flat and by_colour.silences:
        return by_colour.silences.pop()
    return "Yes." if off < 0.08 else "no"


@pytest.fixture
def judged(project, monkeypatch):
    """A folder with the plan, and what calls a command in it."""
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "160")
    (project.folder / "half.py").write_text(ATTACK)

    def write(url, send):
        judge = (
            f'{{ use = "multimodal_llm", url = "{url}", model = "by-colour", send = {send}, beside = 1, '
            'key_variable = "MY_KEY", tries = 2, pause = 0.0, timeout = 20 }'
        )
        (project.folder / "judged.toml").write_text(PLAN.replace("JUDGE", judge).replace("QUESTIONS", str(QUESTIONS)))

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["unveil", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0

    return write, call


def figures(results):
    (row,) = results.rows
    assert row.status == "done"
    return {(f.metric, f.column): f for f in row.figures}


def test_a_language_model_through_a_plan(judged, capfd):
    write, call = judged
    by_colour.silences = ["I'm sorry, I can't help with that.", "They might be."]
    trouble = {"status": 0}

    def answer(number, body):
        if trouble["status"] and number > 20:
            return trouble["status"], b"no", {"Retry-After": "0"}
        return by_colour(number, body)

    with chat_server.serving(answer) as endpoint:
        write(endpoint.url, "true")
        assert [call(command, "judged.toml") for command in ("plan", "data")] == [0, 0]
        write(endpoint.url, "false")
        held = figures(unveil.run("judged.toml", store="store"))
        assert "nothing was sent" in held["verification", "verified"].reason
        assert "nothing was sent" in held["confusion", "false positives"].reason
        assert not endpoint.asked, "never a call without being asked"

        write(endpoint.url, "true")
        for trouble["status"] in (503, 429):
            away = figures(unveil.run("judged.toml", store="store"))
            named = [f for (metric, _), f in away.items() if metric in ("verification", "confusion")]
            assert all(f.value is None and f"status {trouble['status']}" in f.reason for f in named), "never a score"
            assert ("attack_accuracy", "top-1") in away
        answered = [json.dumps(body) for _, _, body in endpoint.asked[:20]]
        trouble["status"], before = 0, len(endpoint.asked)
        assert call("run", "judged.toml", "--store", "store", "--mlflow", "off") == 0
        later = [json.dumps(body) for _, _, body in endpoint.asked[before:]]
        assert later
        assert not set(answered) & set(later), "what was answered is not asked again"
        assert len(set(later)) == len(later), "nor does confusion ask what verification has asked"
        found, total = figures(unveil.run("judged.toml", store="store")), len(endpoint.asked)
        assert len(endpoint.asked) == total, "what is stored is asked for no more"
        assert {head["Authorization"] for _, head, _ in endpoint.asked} == {f"Bearer {KEY}"}

    adds_up(found)
    shown_nowhere(capfd.readouterr(), len({*answered, *later}))
    (page,) = Path("store").rglob("leaderboard.html")
    assert all(name in page.read_text() for name in ("genuine accepted", "false positives", "by-colour"))


def adds_up(found):
    """The row as one can count it by hand: 12 of 24 pictures have the right colour, and two were given no yes or no."""
    verified = {column: f for (metric, column), f in found.items() if metric == "verification"}
    assert verified["genuine accepted"].value == 1.0
    assert verified["other people accepted"].value < 0.1
    assert verified["verified"].samples == 22, "a refusal and an unclear answer are no answers"
    assert verified["reconstructions refused"].value == verified["reconstructions unclear"].value == 1 / 24
    assert verified["real pairs refused"].value == 0
    assert verified["verified"].low < 0.5 < verified["verified"].high
    share = {column: f for (metric, column), f in found.items() if metric == "confusion"}
    n = {column: f.samples for column, f in share.items()}
    assert n["accepted by the judge"] == n["accepted by the evaluator"] == 22
    assert n["false positives"] + n["false negatives"] == 22
    assert 10 <= n["false negatives"] <= 12, "those that the judge takes for the person"


def shown_nowhere(said, answers):
    """The key, in what was printed and what was written."""
    assert KEY not in said.out + said.err
    written = [file for file in Path().rglob("*") if file.is_file()]
    assert len([file for file in written if file.parent.parent.name == "answers"]) == answers
    assert not [file for file in written if KEY.encode() in file.read_bytes()]


def chunks(png):
    """Names and lengths of a PNG's parts."""
    at, found = 8, []
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.append((png[at + 4 : at + 8], length))
        at += 12 + length
    return tuple(found)


class Browser:
    """Asks the page's server as a browser does."""

    def __init__(self, port, token):
        self.port, self.token = port, token

    def ask(self, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = {} if body is None else {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", f"/{self.token}/{path}", body, sent)
        answer = connection.getresponse()
        told = answer.status, tuple(sorted((n, v) for n, v in answer.getheaders() if n != "Date")), answer.read()
        connection.close()
        return told


def sat(sitting, most):
    """Answers what is next, so many times, as it is known to be; gives all bytes that told pictures apart."""
    signs, states = Counter(), []
    with server(sitting, 0) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        browser = Browser(made.server_address[1], sitting.token)
        place = json.loads(browser.ask("state")[2])["next"]
        while place is not None and len(states) < most:
            status, headers, png = browser.ask(f"pictures/{place}.png")
            assert status == 200
            signs[headers, len(png), chunks(png), png[:33]] += 1
            kind = sitting.pairs[place].kind  # which the page cannot know
            reply = {Kind.GENUINE: "yes", Kind.IMPOSTOR: "no", Kind.RECONSTRUCTION: "unsure"}[kind]
            states.append(json.loads(browser.ask("answers", json.dumps({"place": place, "answer": reply}))[2]))
            place = states[-1]["next"]
        made.shutdown()
        thread.join()
    return signs, states


def test_people_through_a_finished_store(judged):
    write, call = judged
    write("http://127.0.0.1:9/v1", "false")
    prepare("judged.toml", "store").keep(unveil.run("judged.toml", store="store"))
    kept = stored("judged.toml", "store")
    pairs = pairs_of(kept, 12, [], [])
    count = Counter(one.kind for one in pairs)
    assert count[Kind.GENUINE] == count[Kind.RECONSTRUCTION] == 12
    first = Sitting(pairs, "ann", Answers(Path("store"), "ann"))
    signs, states = sat(first, 20)
    resumed = Sitting(pairs_of(kept, 12, [], []), "ann", Answers(Path("store"), "ann"))
    assert resumed.state() == states[-1], "another process goes on where this one stopped"
    more, ends = sat(resumed, 100)
    assert ends[-1] == {"next": None, "done": len(pairs), "all": len(pairs)}
    assert len(signs + more) == 1, "all pictures have the same bytes around their pixels, and as many"

    found = summary(pairs, everybody(Path("store")))
    (ann,) = found.opinions
    assert (ann.genuine.value, ann.false_accepts.value, ann.rows["none, half"].unsure) == (1.0, 0.0, 12)
    assert not ann.doubt
    assert call("judge", "judged.toml", "--store", "store", "--pairs", "12", "--report") == 0
