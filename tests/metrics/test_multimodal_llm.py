"""A language model as a judge, against a small server on this machine that the test starts."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unveil.harness.plan import settings
from unveil.harness.plan.file import from_mapping
from unveil.harness.running.matrix import expand
from unveil.harness.types import AwayError, Data, Evidence, Images, Reply, Run, Spec, UnansweredError
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.disk import Disk
from unveil.harness.words.errors import PluginError
from unveil.metrics import chat_endpoint
from unveil.metrics.confusion import Confusion, rates
from unveil.metrics.multimodal_llm import MultimodalLLM
from unveil.metrics.query_picture import GAP, MARGIN, SIDE, beside, drawn
from unveil.metrics.spoken_replies import understood
from unveil.metrics.verification import Verification

spec = importlib.util.spec_from_file_location("chat_server", Path(__file__).with_name("chat_server.py"))
chat_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chat_server)
said, serving, shown = chat_server.said, chat_server.serving, chat_server.shown
KEY = "sk-Very-Secret-1"


def judge(server, **more):
    return MultimodalLLM(**{"url": server.url, "model": "m", "send": True, "pause": 0.0, "tries": 3, **more})


def people(count=3, each=6):
    """Each of one tone, with its pictures told apart in a corner."""
    tones = torch.arange(count * each).reshape(count, each)[..., None, None, None].expand(-1, -1, 3, 8, 8).clone()
    tones = tones // each * 60 / 255
    tones[:, :, 0, 0, 0] = torch.arange(each) / 255
    return list(tones)


def ask(comparer, *, pairs=((0, 0), (1, 0)), run=None):
    return comparer.replies(torch.cat(people())[::6], people(), np.array(pairs), run or Run("x"))


def looks(number, body):
    """Compares the tone of Image A with Set B's, as somebody who looks."""
    left, right = (one[150, 120] for one in shown(body))
    return "Yes." if (left == right).all() else "**No**, these are different people."


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("yes", "yes"), (" **YES**.\n", "yes"), ("No.", "no"), ("no, they do not look alike", "no"),
        ('{"answer": "yes"}', "yes"), ("The answer is no because of the nose.", "no"),
        ("Answer: **Yes**, probably", "yes"),
        ("<think>no, or yes?</think>Yes", "yes"), ("They share a jaw. So: yes", "yes"),
        ("I'm sorry, but I can't help with that.", "refused"), ("I\u2019m unable to identify people.", "refused"),
        ("I cannot reliably compare faces", "refused"), ("This is against my guidelines.", "refused"),
        ("", "unclear"), ("Yes and no", "unclear"), ("They are not the same.", "unclear"), ("maybe", "unclear"),
        ("There is no way to tell", "unclear"), ("No problem, I will look", "unclear"), ("yesterday", "unclear"),
        ("No, I cannot identify people", "unclear"), ("<think>yes", "unclear"), ("yes " + "x" * 5000, "unclear"),
        ("There are no glasses in Image A", "unclear"), ("ja", "unclear"),
    ],
)  # fmt: skip
def test_what_a_text_means(text, reply):
    assert understood(text) == reply


def test_the_query_is_the_published_picture_and_a_prompt_at_temperature_zero():
    with serving(looks) as server:
        assert ask(judge(server)) == [Reply.YES, Reply.NO]
        path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert (body["model"], body["temperature"]) == ("m", 0.0)
    text = body["messages"][0]["content"][0]["text"]
    assert re.search(r"expert.*Image A.*Set B.*same person.*age.*light.*hair.*glasses.*yes or no", text)
    picture = Image.open(io.BytesIO(drawn(people()[2][0], people()[0][:4], "Same?")))
    assert picture.size == (5 * SIDE + GAP, SIDE + 2 * MARGIN)
    pixels = np.asarray(picture)
    assert (pixels[MARGIN : MARGIN + SIDE, SIDE : SIDE + GAP] == 255).all(), "the gap"
    assert (pixels[MARGIN + 9, 100] == 120).all()
    assert ((pixels[-MARGIN:] == (200, 0, 0)).all(-1)).any(), "the question is red"


def test_set_b_hangs_on_content_alone():
    person = people()[1]
    some = beside(person, 4)
    assert torch.equal(some, beside(person.flip(0), 4))
    assert len(beside(person[:2], 4)) == 2, "nobody is shown twice"


def test_answers_are_kept_and_nothing_is_asked_twice(tmp_path):
    def store():
        return Run("x", disk=Disk(tmp_path))

    with serving(looks) as server:
        first = ask(judge(server), pairs=[(0, 0), (1, 0), (0, 0)], run=store())
        assert len(server.asked) == 2, "equal questions are one"
        assert ask(judge(server, send=False), pairs=[(0, 0), (1, 0)], run=store()) == first[:2]
        assert len(server.asked) == 2
        file = next((tmp_path / "answers").glob("*/*.json"))
        file.write_text("{")  # damaged: that one is asked again
        ask(judge(server), run=store())
        assert len(server.asked) == 3
        for other in ({"model": "n"}, {"beside": 2}, {"subject": "dog"}, {"temperature": 1.0}):
            ask(judge(server, **other), pairs=[(0, 0)], run=store())
        assert len(server.asked) == 7


def test_what_was_answered_before_a_failure_is_not_lost(tmp_path):
    run = Run("x", disk=Disk(tmp_path))
    with serving(lambda n, body: (503, b"", {}) if 2 <= n <= 4 else "yes") as server:
        with pytest.raises(AwayError, match="status 503, 3 times"):
            ask(judge(server), run=run)
        assert ask(judge(server), run=run) == [Reply.YES, Reply.YES]
        assert len(server.asked) == 5


def test_nothing_is_sent_unless_asked():
    with serving(looks) as server:
        with pytest.raises(UnansweredError) as error:
            ask(judge(server, send=False))
        told = str(error.value)
        assert not server.asked
    assert all(
        part in told
        for part in ("nothing was sent", "2 questions", "4 private pictures", server.url[7:-3], "send = true")
    )


def test_the_key_comes_from_the_environment_and_is_shown_nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", KEY)
    run = Run("x", disk=Disk(tmp_path))
    with serving(lambda n, body: (401, f"no such key: {KEY}".encode(), {}) if n > 2 else "yes") as server:
        comparer = judge(server, key_variable="MY_KEY")
        ask(comparer, run=run)
        assert server.asked[0][1]["Authorization"] == f"Bearer {KEY}"
        with pytest.raises(AwayError, match="status 401") as error:
            ask(comparer, pairs=[(2, 1)], run=run)
    question = settings.question(Spec("multimodal_llm"), comparer)
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*.json"))
    assert KEY not in f"{error.value}{question}{comparer}"
    assert KEY.encode() not in kept
    assert "key_variable" not in question["settings"], "another place of the key is no other judge"
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(AwayError, match="MY_KEY holds no key"):
        ask(comparer)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": f"https://u:{KEY}@h/v1"}, {"url": f"https://h/v1?key={KEY}"}, {"url": "http://example.com/v1"},
        {"url": "file:///etc/passwd"}, {"url": "https://h/v1\r\nX: y"}, {"url": "https://h:x/"}, {"url": ""},
        {"url": "http://127.0.0.1.example.com/v1"}, {"key_variable": KEY}, {"key_variable": "AIzaSyXX"},
    ],
)  # fmt: skip
def test_settings_that_would_leak_are_refused_and_not_repeated(wrong):
    with pytest.raises(PluginError) as error:
        MultimodalLLM(**{"url": "https://h/v1", "model": "m", **wrong})
    assert KEY not in str(error.value)


def test_busy_servers_are_asked_again(monkeypatch):
    waited = []
    monkeypatch.setattr(chat_endpoint.Endpoint, "_wait", lambda self, seconds: waited.append(seconds))
    answers = {1: (429, b"", {"Retry-After": "7"}), 2: (500, b"", {}), 3: (429, b"", {"Retry-After": "99999"})}
    with serving(lambda n, body: answers.get(n, "no")) as server:
        assert ask(judge(server, tries=4, pause=1.0), pairs=[(0, 0)]) == [Reply.NO]
    assert waited == [7.0, 2.0, 60.0]


def test_refusals_of_the_service_are_refusals():
    marked = {"choices": [{"message": {"content": None, "refusal": "I will not."}}]}
    filtered = {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}
    parts = {"choices": [{"message": {"content": [{"type": "text", "text": "Yes"}]}}]}
    answers = [*((200, json.dumps(one).encode(), {}) for one in (marked, filtered, parts))]
    answers += [(400, b'{"error": {"code": "content_policy_violation"}}', {}), (200, said(None), {})]
    with serving(lambda n, body: answers[n - 1]) as server:
        found = ask(judge(server), pairs=[(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)])
    assert [str(one) for one in found] == ["refused", "refused", "yes", "refused", "unclear"]


ENDLESS = [b'{"a": "'] + [b"x"] * 100


@pytest.mark.parametrize(
    ("answer", "why", "asked"),
    [
        ((200, b"<html>", {}), "no chat completion", 1),
        ((200, b"[]", {}), "no chat completion", 1),
        ((200, b'{"choices": []}', {}), "no chat completion", 1),
        ((200, b'{"choices": [[]]}', {}), "no chat completion", 1),
        ((200, b"[" * 200_000, {}), "no chat completion", 1),
        ((200, b"x" * 3_000_000, {}), "more than 1,000,000 bytes", 1),
        ((307, b"", {"Location": "http://127.0.0.1:9/v1"}), "elsewhere", 1),
        ((302, b"", {"Location": "http://127.0.0.1:9/v1"}), "elsewhere", 1),
        ((404, b"no such\nmodel", {}), "status 404: no such model", 1),
        ((200, ENDLESS, {}), "took more than 0.4 s to answer, 3 times", 3),
    ],
)
def test_what_is_no_answer_is_never_taken_for_one(answer, why, asked):
    with serving(lambda n, body: answer) as server:
        with pytest.raises(AwayError, match=re.escape(why)):
            ask(judge(server, timeout=0.4 if asked > 1 else 20.0), pairs=[(0, 0)])
        assert len(server.asked) == asked


def test_a_server_that_is_not_there():
    comparer = MultimodalLLM(url="http://127.0.0.1:9/v1", model="m", send=True, pause=0.0, tries=2)
    with pytest.raises(AwayError, match="cannot be asked"):
        ask(comparer)


@pytest.fixture(scope="module")
def evidence():
    """Twelve people, each of a tone of their own, and reconstructions of which half have the right one."""

    def shown(who, labels, seed):
        noise = torch.rand(len(who), 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.01
        return Images((torch.as_tensor(who)[:, None, None, None] / 32 + noise).clamp(0, 1), torch.as_tensor(labels))

    private = np.arange(12)
    parts = [shown(np.repeat(private, n), np.repeat(private, n), n) for n in (5, 1, 3)]
    strangers = shown(np.arange(12, 30), np.arange(18), 9)
    data = Data(*parts, strangers, tuple(map(str, private)), "tones", "none are public")
    labels = np.repeat(private, 4)
    fakes = shown(np.where(np.arange(48) % 4 < 2, labels, 31), labels, 5)
    return Evidence(data, Classifier({"b": nn.BatchNorm2d(3)}, nn.Identity(), classes=12), None, fakes, Run("cell"))


def tone(pixel):
    return round(float(np.mean(pixel)) / 255 * 32)


def by_tone(number, body):
    a, b = map(tone, shown(body))
    if b == 3:
        return "I'm sorry, I can't help with that."
    return "yes" if a == b else "no"


def test_a_row_holds_the_judges_own_rates_and_what_it_would_not_say(evidence, measured):
    with serving(by_tone) as server:
        spec = Spec("multimodal_llm", {"url": server.url, "model": "m", "send": True, "beside": 1})
        found = {m.about.column: m for m in measured(Verification(comparer=spec, questions=24), evidence)}
        waits = Spec("multimodal_llm", {"url": server.url, "model": "m"})
        count = len(server.asked)
        (first, *_) = measured(Verification(comparer=waits, questions=24), evidence)
        assert len(server.asked) == count
    assert 0.2 < found["verified"].values.mean() < 0.8
    assert found["genuine accepted"].values.tolist() == [1.0] * 22, "two of a person about whom it says nothing"
    assert found["other people accepted"].values.max() == 0.0
    assert found["reconstructions refused"].values.sum() == 2
    assert found["real pairs refused"].values.sum() == 4
    assert found["real pairs unclear"].values.max() == 0.0
    assert "nothing was sent" in first.reason


def test_a_judge_that_mostly_refuses_is_not_scored(evidence, measured):
    with serving(lambda n, body: "I cannot help with that.") as server:
        spec = Spec("multimodal_llm", {"url": server.url, "model": "m", "send": True, "beside": 1})
        found = {m.about.column: m for m in measured(Verification(comparer=spec, questions=12), evidence)}
    assert "neither yes nor no to 12 of 12 genuine pairs" in found["verified"].reason
    assert found["genuine accepted"].reason
    assert found["reconstructions refused"].values.mean() == 1.0


def test_confusion_against_hand_worked_values():
    judge = np.repeat([True, False, True, False], [10, 30, 2, 8])
    evaluator = np.repeat([True, True, False, False], [10, 30, 2, 8])
    found = {m.column: m.values.mean() for m in rates(judge, evaluator, np.arange(50) % 7)}
    assert found["false positives"] == pytest.approx(0.7895, abs=1e-4)
    assert found["false negatives"] == pytest.approx(0.1667, abs=1e-4)
    assert (found["accepted by the evaluator"], found["accepted by the judge"]) == (0.8, 0.24)
    (none, *_) = rates(np.ones(3, bool), np.ones(3, bool), np.arange(3))
    assert "takes every picture" in none.reason


def test_confusion_asks_nothing_that_verification_has_asked(evidence, measured, tmp_path):
    class Gullible(nn.Module):
        """Names whoever has the tone; and of what is nobody's, whom an attack would have it name."""

        def forward(self, x):
            return -(x.mean((1, 2, 3))[:, None] * 32 - torch.arange(12.0)).abs()

    evaluator = Classifier({"g": Gullible()}, nn.Identity(), classes=12, mean=(0.0,) * 3, std=(1.0,) * 3)
    seen = Evidence(
        evidence.data, evidence.target, evaluator, evidence.reconstructions, Run("cell", disk=Disk(tmp_path))
    )
    with serving(by_tone) as server:
        spec = Spec("multimodal_llm", {"url": server.url, "model": "m", "send": True, "beside": 1})
        measured(Verification(comparer=spec, questions=24), seen)
        count = len(server.asked)
        found = {m.column: m for m in measured(Confusion(comparer=spec, questions=24), seen)}
        assert len(server.asked) == count
    assert 0.2 < found["accepted by the judge"].values.mean() < 0.8
    assert found["false positives"].samples + found["false negatives"].samples == found["accepted by the judge"].samples
    assert found["false negatives"].values.mean() == 0.0


def test_the_plan_says_loudly_that_pictures_leave():
    def notes(**judge):
        comparer = {"use": "multimodal_llm", "model": "m", **judge}
        file = from_mapping(
            {
                "title": "t",
                "data": {"use": "people"},
                "target": {"use": "small_resnet"},
                "defenses": [{"use": "none"}],
                "attacks": [{"use": "random_latents"}],
                "metrics": [{"use": "verification", "comparer": comparer}],
            }
        )
        matrix = expand(file)
        return [note for note in matrix.cells[0].notes if "PRIVATE" in note], [
            n for n in matrix.notes if "PRIVATE" in n
        ]

    row, printed = notes(url="https://api.example.com/v1", send=True)
    assert row == [
        "judge multimodal_llm: PRIVATE PICTURES LEAVE THIS MACHINE: they are sent to api.example.com, to be judged by m"
    ]
    assert len(printed) == 1
    assert notes(url="https://api.example.com/v1") == ([], [])
    assert notes(url="http://localhost:8000/v1", send=True) == ([], [])
