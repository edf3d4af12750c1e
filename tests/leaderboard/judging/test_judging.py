"""The page on which people judge: blind, resumable, closed to others; and what their answers come to."""

from __future__ import annotations

import http.client
import importlib.util
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unveil.harness.words.errors import StoreError
from unveil.leaderboard.judging.answers import Answers, everybody
from unveil.leaderboard.judging.pairs import Kind, Pair, in_order
from unveil.leaderboard.judging.serving import Sitting, address, server
from unveil.leaderboard.judging.summary import EVERYBODY, cohen, share, summary

PNG = b"\x89PNG picture of "
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pair(number: int, kind: Kind, **more: Any) -> Pair:
    rows = ("none, gmi",) if kind is Kind.RECONSTRUCTION else ()
    return Pair(f"{number:064x}", kind, f"people {number % 10}", rows, lambda: PNG + b"%03d" % number, **more)


PAIRS = [pair(10 * i + j, kind) for i, kind in enumerate(Kind) for j in range(10)]
WORDS = ("genuine", "impostor", "reconstruction", "gmi", "people ")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[Sitting, int]]:
    sitting = Sitting(PAIRS, "ann", Answers(tmp_path, "ann"))
    with server(sitting, 0) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        assert address(sitting, made).endswith(f"/{sitting.token}/")
        yield sitting, int(made.server_address[1])
        made.shutdown()
        thread.join()


def ask(port: int, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent = {"Content-Type": "application/json", **sent}
    asked.request("GET" if body is None else "POST", path, body, sent)
    answer = asked.getresponse()
    told = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    asked.close()
    return told


def reply(port: int, sitting: Sitting, place: Any, answer: Any, **headers: str) -> tuple[int, Any]:
    body = json.dumps({"place": place, "answer": answer}).encode()
    status, _, data = ask(port, f"/{sitting.token}/answers", body, **headers)
    return status, json.loads(data) if status == 200 else data


def test_nothing_but_the_pictures_tells_one_pair_from_another(serving: tuple[Sitting, int]) -> None:
    sitting, port = serving
    sources, states, heads = set(), [], set()
    for place in range(len(PAIRS)):
        sources.add(b"".join(ask(port, f"/{sitting.token}/{name}")[2] for name in ("", "judge.css", "judge.js")))
        status, headers, data = ask(port, f"/{sitting.token}/pictures/{place}.png")
        heads.add(tuple(sorted((n, v) for n, v in headers.items() if n != "date")))
        assert (status, data) == (200, sitting.pairs[place].picture())
        states.append(reply(port, sitting, place, ("yes", "no", "unsure")[place % 3])[1])
    (source,) = sources
    assert len(heads) == 1, "equally long pictures have equal headers"
    assert not [word for word in WORDS if word.encode() in source]
    everything = [{"next": n if n < 30 else None, "done": n, "all": 30} for n in range(1, 31)]
    assert states == everything, "whatever the kind and the answer"


def test_the_order_tells_nothing_and_is_each_judges_own() -> None:
    ann, bob = ([PAIRS.index(one) for one in in_order(PAIRS, judge)] for judge in ("ann", "bob"))
    assert ann != bob
    assert ann == [PAIRS.index(one) for one in in_order(PAIRS[::-1], "ann")]
    for order in (ann, bob):
        firsts = [index // 10 for index in order[:15]]
        assert set(firsts) == {0, 1, 2}
        assert sum(a != b for a, b in zip(order, sorted(order), strict=True)) > 20
    fewer = [one for one in in_order(PAIRS, "ann") if one in PAIRS[5:]]
    assert fewer == in_order(PAIRS[5:], "ann"), "pairs that come later move no other"


def test_answers_are_kept_at_once_and_resumed(serving: tuple[Sitting, int], tmp_path: Path) -> None:
    sitting, port = serving
    for place in range(4):
        assert reply(port, sitting, place, "yes")[0] == 200
    path = tmp_path / "judging" / "ann.jsonl"
    assert len(path.read_text().splitlines()) == 4, "while the page is still open"
    assert path.stat().st_mode & 0o077 == 0
    reply(port, sitting, 0, "no")  # went back
    with path.open("ab") as file:
        file.write(b'{"pair": "cut sho')  # what a power loss leaves
    again = Sitting(PAIRS, "ann", Answers(tmp_path, "ann"))
    assert again.state() == {"next": 4, "done": 4, "all": 30}
    assert again.answers.given[sitting.pairs[0].name] == "no"
    again.answers.add(again.pairs[4].name, "unsure")
    assert Answers(tmp_path, "ann").given[again.pairs[4].name] == "unsure", "a line that was cut spoils no other"
    Answers(tmp_path, "bob").add(PAIRS[0].name, "yes")
    assert {judge: len(given) for judge, given in everybody(tmp_path).items()} == {"ann": 5, "bob": 1}


@pytest.mark.parametrize("name", ["", "../ann", "a/b", ".ann", "Ann", "a\nb", "a" * 41, "ann.jsonl", "\u00e4"])
def test_names_that_could_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="no name of a judge"):
        Answers(tmp_path, name)


OUTSIDE = "/ /state /x/state /{token} /{token}/../etc /{token}/pictures/30.png /{token}/pictures/-1.png /{token}/none"
MORE = "/{token}/pictures/../judge.html /{token}/%2e%2e/pairs.py /{token}/pictures/1.png/ /{token}x/state //{token}x/"
ODD = (
    "/{token}/pictures/01.png /{token}/pictures/9999999999.png /{token}/pictures/ /{token}/judge.html /{token}/answers"
)


@pytest.mark.parametrize("path", f"{OUTSIDE} {MORE} {ODD}".split())
def test_whatever_is_asked_without_the_token_or_beside_it_is_not_found(serving: tuple[Sitting, int], path: str) -> None:
    sitting, port = serving
    status, headers, data = ask(port, path.format(token=sitting.token))
    assert status == 404
    assert sitting.token.encode() not in data
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_hostile_requests_keep_nothing(serving: tuple[Sitting, int], tmp_path: Path) -> None:
    sitting, port = serving
    path = f"/{sitting.token}/answers"
    assert ask(port, f"/{sitting.token}/", Host="evil.example")[0] == 421
    assert ask(port, path, b"{}", Host="evil.example:80")[0] == 421
    assert reply(port, sitting, 0, "yes", Origin="http://evil.example")[0] == 403
    assert reply(port, sitting, 0, "yes", Origin="null")[0] == 403
    assert reply(port, sitting, 0, "yes", Content_Type="text/plain")[0] == 403
    assert ask(port, "/wrong/answers", b'{"place": 0, "answer": "yes"}')[0] == 404
    assert ask(port, path, b"x" * 201)[0] == 413
    for bad in (b"", b"[", b"[]", b"7", b"null", b'"yes"', b"\xff", b"[" * 200):
        assert ask(port, path, bad)[0] == 400
    for place, answer in (
        (30, "yes"),
        (-1, "yes"),
        ("0/..", "yes"),
        (True, "yes"),
        (0, "perhaps"),
        (0, ["yes"]),
        (0, None),
    ):
        assert reply(port, sitting, place, answer)[0] == 400
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        lines = f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 99999999"
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b" 413 " in raw.recv(100)
    assert not (tmp_path / "judging").exists()
    assert reply(port, sitting, 0, "yes", Origin=f"http://127.0.0.1:{port}")[0] == 200


def test_shares_and_agreement_against_hand_worked_values() -> None:
    """Wilson's interval by hand: one answer of each of 10 people is 10 trials, drawn in by (z / t(9)) squared."""
    none = share([False] * 40, [str(i) for i in range(40)])
    assert (none.value, none.low, round(none.high or 0, 3)) == (0.0, 0.0, 0.088)
    alike = share([False] * 400, [str(i % 40) for i in range(400)])
    assert (alike.low, round(alike.high or 0, 3)) == (0.0, 0.088), "ten pictures of a person are one"
    # observed (20 + 15) / 50 = .7, by chance .5 * .6 + .5 * .4 = .5
    a, b = [True] * 25 + [False] * 25, [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert cohen(a, b) == pytest.approx(0.4)
    assert cohen([True, True], [True, True]) is None
    assert cohen([], []) is None


def test_a_report_by_hand() -> None:
    made = [pair(i, Kind.RECONSTRUCTION, verdicts={"cnn": i < 40}) for i in range(50)]
    real = [pair(100 + i, Kind.GENUINE) for i in range(10)] + [pair(200 + i, Kind.IMPOSTOR) for i in range(10)]
    ann = {p.name: "yes" if i < 10 or 40 <= i < 42 else "no" for i, p in enumerate(made)}
    ann |= {p.name: "yes" if i < 9 else "no" for i, p in enumerate(real)}
    bob = {**ann, real[0].name: "unsure", real[1].name: "no", "another plan's": "yes"}
    found = summary([*made, *real], {"ann": ann, "bob": bob, "eve": {}})
    assert [one.judge for one in found.opinions] == ["ann", "bob", EVERYBODY]
    one, two, _ = found.opinions
    assert (one.answered, one.of, one.doubt) == (70, 70, "")
    assert (one.genuine.value, one.false_accepts.value, one.rows["none, gmi"].value) == (0.9, 0.0, 0.24)
    assert (two.genuine.value, two.genuine.pairs, two.genuine.unsure) == (pytest.approx(7 / 9), 9, 1)
    (both,) = found.judges
    assert (both.agree.value, both.agree.pairs) == (pytest.approx(68 / 69), 69)
    against = found.evaluators[0]
    assert (against.one, against.other) == ("ann", "cnn")
    assert against.false_positives is not None
    assert against.false_negatives is not None
    assert against.false_positives.value == pytest.approx(30 / 38)
    assert against.false_negatives.value == pytest.approx(2 / 12)
    always = {p.name: "yes" for p in [*made, *real]}
    assert "cannot tell them apart" in summary([*made, *real], {"yes": always}).opinions[0].doubt
    assert "too little" in summary([*made, *real], {"few": {made[0].name: "yes"}}).opinions[0].doubt


def test_in_a_browser_with_keys_alone(serving: tuple[Sitting, int], tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on this machine")
    spec = importlib.util.spec_from_file_location("devtools", Path(__file__).parents[1] / "devtools.py")
    assert spec
    assert spec.loader
    devtools = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(devtools)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    sitting, port = serving
    with devtools.Browser(CHROMIUM, flags, tmp_path / "profile") as browser:
        browser.open(f"http://127.0.0.1:{port}/{sitting.token}/")
        press = """(async () => {
          const wait = async (is) => { while (!is()) await new Promise((go) => setTimeout(go, 5)); };
          const text = () => document.getElementById('progress').textContent;
          const free = () => !document.querySelector('[data-answer]').disabled;
          const key = async (k) => { await wait(free); document.dispatchEvent(new KeyboardEvent('keydown', {key: k}));
            await wait(free); };
          await key('y'); await key('n'); await key('u'); await key('b'); await key('y'); await key('q');
          return [text(), document.getElementById('picture').getAttribute('src')];
        })()"""
        assert browser.run(press) == ["3 of 30 answered", "pictures/3.png"]
        assert not [line for line in browser.said if "Content Security Policy" in line]
    given = Answers(tmp_path, "ann").given
    assert [given[one.name] for one in sitting.pairs[:3]] == ["yes", "no", "yes"]
