"""A bucket is a store like any folder: on a real S3 server, for two workers that know nothing else of each other."""

import json
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
import torch

from unveil.harness.store import beats, files
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.store.beats import BeatingLease, Rhythm
from unveil.harness.store.files import Files
from unveil.harness.words.errors import DamageError, StoreError

KEY = "ab" * 32
QUICK = Rhythm(beat=0.05, look=0.01, expiry=60)
FEW = 5  # looks


def artefact(number=1):
    return Artefact({"a": number}, {"x": torch.arange(3.0)}, {"grid.png": b"\x89PNG"}, {"seconds": 1})


def harmed(store, path, data):
    store.files.fs.pipe_file(f"{store.files.root}/{path}", data)


@pytest.fixture(params=["s3", "memory"])
def url(request, tmp_path):
    return f"memory://{tmp_path.name}" if request.param == "memory" else request.getfixturevalue("bucket")


@pytest.mark.parametrize("how", [b"", b"{", None])
@pytest.mark.parametrize("what", ["manifest", "tensors", "file"])
def test_what_is_damaged_in_a_bucket_is_set_aside_and_can_be_computed_again(url, caplog, what, how):
    store = Store(url)
    store.save(KEY, artefact())
    names = store.files.sizes()
    blobs = json.loads(store.files.get(f"artefacts/{KEY}.json"))["blobs"]
    name = {"tensors": "tensors.safetensors", "file": "files/grid.png"}.get(what)
    path = f"blobs/{blobs[name][:2]}/{blobs[name]}" if name else f"artefacts/{KEY}.json"
    if how is None:
        store.files.remove([path])
    else:
        harmed(store, path, how)
    again = Store(url)
    with pytest.raises(DamageError):
        again.load(KEY)
    assert how is None or f"{path}" in caplog.text
    assert len(again.files.sizes("aside")) == (how is not None) + (what != "manifest")
    again.save(KEY, artefact())
    assert again.load(KEY).files
    assert {name for name in again.files.sizes() if not name.startswith("aside")} == set(names)


def test_of_two_that_compute_one_step_the_first_stays(url):
    first, second = Store(url), Store(url)
    second.usable(KEY)
    first.save(KEY, artefact(1))
    seen, second.usable = second.usable, lambda key: False  # it looked a moment before
    second.save(KEY, artefact(2))
    second.usable = seen
    assert second.load(KEY).record == first.load(KEY).record == {"a": 1}


def test_what_another_writes_is_seen_though_the_folder_was_listed_before(url):
    here, there = Store(url), Store(url)
    there.save("cd" * 32, artefact())
    here.prefetch([KEY])
    assert not here.usable(KEY)
    there.save(KEY, artefact())
    here.forget([KEY])
    assert here.usable(KEY)


def test_a_bucket_that_is_not_there_is_told_in_words_and_not_made(bucket):
    with pytest.raises(StoreError, match="bucket does not exist"):
        Store("s3://no-such-bucket/runs").check()


@pytest.mark.parametrize("conditional", [True, False])
def test_one_at_a_time(url, conditional, monkeypatch):
    """A server that overwrites whatever it is asked to still gives a lease to one at a time."""
    monkeypatch.setattr(files, "MOMENT", 0.2)
    inside, most, done = [], [], []

    def work(number):
        store = Store(url, QUICK)
        store.files.__dict__["_conditional"] = conditional
        with store.lease("step", "step"):
            inside.append(number)
            most.append(len(inside))
            store.files.names("leases")
            inside.remove(number)
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(done) == [0, 1, 2, 3]
    assert max(most) == 1
    assert Store(url).files.names("leases") == []


class Looks:
    """Stands for the time that passes between two looks, and for all clocks: there are none. What happens is a list."""

    def __init__(self, monkeypatch, *happens):
        self.happens, self.count = list(happens), 0
        monkeypatch.setattr(beats, "time", SimpleNamespace(sleep=self))

    def __call__(self, seconds):
        self.count += 1
        if self.happens:
            self.happens.pop(0)()
        assert self.count < 100


def lease(url, expiry=FEW * 2.0):
    return BeatingLease(Files(url), "leases/step", "step", Rhythm(beat=1e6, look=2.0, expiry=expiry))


def beats_of(held, numbers):
    return [lambda n=n: held.files.put(f"leases/step/{held._number}.json", held._sign(n)) for n in numbers]


def test_whoever_gives_signs_keeps_it_and_whoever_does_not_loses_it(url, monkeypatch, caplog):
    held = lease(url)
    held.take()
    looks = Looks(monkeypatch, *beats_of(held, range(3 * FEW)))
    lease(url, expiry=1).take()  # the holder's own word counts
    assert looks.count == 3 * FEW + FEW
    assert "gives no sign of life: taking over" in caplog.text


def test_a_dead_process_of_this_machine_is_not_waited_for(url, monkeypatch, caplog):
    if not beats._place():
        pytest.skip("needs /proc")
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    waiting = lease(url)
    told = {**json.loads(waiting._sign(0)), "who": "the dead", "pid": child}
    waiting.files.put("leases/step/0.json", json.dumps(told).encode())
    looks = Looks(monkeypatch)
    waiting.take()
    assert looks.count == 0
    assert "the other run (the dead) gives no sign of life" in caplog.text


@pytest.mark.parametrize("junk", [b"", b"{}", b"[1]", b'{"who": 1, "place": 2, "pid": 1e999, "expiry": "x"}', b"\xff"])
def test_junk_in_a_lease_expires_as_well(tmp_path, monkeypatch, junk):
    waiting = lease(f"memory://{tmp_path.name}")
    waiting.files.put("leases/step/3.json", junk)
    waiting.files.put("leases/step/notes.txt", b"")
    looks = Looks(monkeypatch)
    waiting.take()
    assert looks.count == 45  # 90 s
    assert waiting.files.names("leases/step") == ["3.json", "4.json", "notes.txt"]


def test_a_lease_taken_over_ends_with_its_new_holder(url, monkeypatch):
    dead, late, heir = lease(url), lease(url), lease(url)
    dead.take()
    Looks(monkeypatch)
    heir.take()
    dead.give_back()  # it lived after all
    assert heir.files.names("leases/step") == ["1.json"]
    Looks(monkeypatch, heir.give_back)
    late.take()
    assert late._number == 0


def test_a_checkpoint_is_found_by_the_next_worker_elsewhere(url, monkeypatch, tmp_path):
    here, there = Store(url), Store(url)
    object.__setattr__(there.disk, "root", tmp_path / "elsewhere")
    path = here.scratch(KEY) / "deeper" / "training.pt"
    here.disk.write(path, b"epoch 1")
    here.disk._next[0] = float("inf")  # a slow network
    here.disk.write(path, b"epoch 2")
    found = there.scratch(KEY) / "deeper" / "training.pt"
    assert found.read_bytes() == b"epoch 1"
    with here.lease(KEY, "step"):
        pass  # ends without a result, by an error or Ctrl-C
    assert there.scratch(KEY) == found.parents[1]
    assert found.read_bytes() == b"epoch 2"
    there.clear_scratch(KEY)
    assert not found.exists()
    assert here.files.sizes("scratch") == {}


def test_a_checkpoint_that_cannot_be_used_is_set_aside_there(url, caplog):
    store = Store(url)
    path = store.scratch(KEY) / "training.pt"
    store.disk.write(path, b"junk")
    store.disk.set_aside(path, "is no checkpoint")
    assert not path.exists()
    assert not list(Store(url).scratch(KEY).glob("*"))
    assert len(store.files.sizes(f"aside/scratch/{KEY}")) == 1
    assert f"{url}/scratch/{KEY}/training.pt is no checkpoint" in caplog.text


def test_a_name_that_leads_out_of_the_scratch_is_not_followed(tmp_path, caplog):
    store = Store(f"memory://{tmp_path.name}")
    harmed(store, f"scratch/{KEY}/../../../escaped", b"x")
    harmed(store, f"scratch/{KEY}/fine.pt", b"x")
    folder = store.scratch(KEY)
    assert [path.name for path in folder.rglob("*")] == ["fine.pt"]
    assert not (folder.parents[2] / "escaped").exists()


@pytest.mark.slow
def test_a_run_killed_on_one_machine_goes_on_elsewhere_with_the_same_rows(project, bucket, s3, tmp_path):
    run = ["run", "tiny.toml", "--mlflow", "off", "--json", "--store", bucket]
    killed = project.call(*run, TROUBLE=str(tmp_path / "marker"), TROUBLE_HOW="kill", TMPDIR=str(tmp_path))
    assert killed.returncode == -signal.SIGKILL
    store = Store(bucket)
    assert [name for name in store.files.sizes("scratch") if name.endswith("training.pt")]
    after = project.call(*run, TROUBLE=str(tmp_path / "marker"))
    assert after.returncode == 0, after.stderr
    assert "taking over" in after.stderr
    assert store.files.sizes("scratch") == store.files.sizes("leases") == {}
    undisturbed = project.call("run", "tiny.toml", "--mlflow", "off", "--json", TROUBLE=str(tmp_path / "marker"))
    assert json.loads(after.stdout) == json.loads(undisturbed.stdout)


@pytest.mark.slow
def test_two_runs_of_one_plan_at_once_share_the_work(project, bucket, s3, tmp_path):
    run = [sys.executable, "-m", "unveil", "run", "tiny.toml", "--mlflow", "off", "--json", "--store", bucket]
    place = {"cwd": project.folder, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    world = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", "TROUBLE": str(project.folder / "tiny.toml")}
    both = [subprocess.Popen(run, env=world, **place) for _ in range(2)]
    (rows, told), (same, also) = (process.communicate(timeout=300) for process in both)
    assert [process.returncode for process in both] == [0, 0], told + also
    assert json.loads(rows) == json.loads(same)
    assert sum(int(text.split(" computed now")[0].split()[-1]) for text in (told, also)) == 12  # nothing twice
    assert Store(bucket).files.sizes("leases") == Store(bucket).files.sizes("scratch") == {}
