"""A watched place for hostile files: what they execute, how long they take, how much memory, what they touch."""

import resource
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

FILES = ("cases", "weights", "files", "texts", "submissions")
collect_ignore = [f"hostile_{name}.py" for name in FILES]  # for doctest
SECONDS = 20  # that any of them may take, on a busy machine
MEMORY = 400 << 20  # bytes that any may ask for
STARTS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.Popen", "pty.spawn",
          "pickle.find_class", "socket.connect", "ctypes.dlopen", "webbrowser.open"}  # fmt: skip


class HungError(BaseException):
    """Not to be caught by whatever hangs."""


class Watch:
    """Counts what happens while it is on.

    An audit hook hears of every program that is started and every unpickled name, whether or not a payload then does
    what it was meant to; a canary is what payloads try to touch.
    """

    def __init__(self, canary: Path) -> None:
        self.on, self.heard, self.canary = False, [], canary
        sys.addaudithook(self.hear)

    def hear(self, event: str, _: tuple) -> None:
        if self.on and event in STARTS:
            self.heard.append(event)


class Place:
    """A folder to put a hostile file into, beside things that nothing may touch."""

    def __init__(self, root: Path, watch: Watch) -> None:
        self.root, self.watch, self.outside = root / "inside", watch, root / "outside"
        self.root.mkdir()
        self.outside.mkdir()
        (self.outside / "precious.txt").write_text("mine")
        self.canary = watch.canary

    def write(self, name: str, data: bytes | str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def untouched(self) -> bool:
        return {p.name: p.read_text() for p in self.outside.iterdir()} == {"precious.txt": "mine"}


@contextmanager
def limits():
    """Time, and memory that would take the machine along."""

    def hung(*_):
        raise HungError

    old, before = signal.signal(signal.SIGALRM, hung), resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 4 * MEMORY, before[1]))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        resource.setrlimit(resource.RLIMIT_AS, before)


def peak() -> int:
    """The most bytes that were resident since the last reset."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(told["VmHWM"].split()[0]) << 10


def reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


@pytest.fixture(scope="session")
def watch(tmp_path_factory):
    return Watch(tmp_path_factory.mktemp("canary") / "touched")


@pytest.fixture(scope="module")
def tally():
    return Counter()


@pytest.fixture
def place(tmp_path, watch, monkeypatch):
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path / "cache"))
    return Place(tmp_path, watch)


@pytest.fixture
def watched(place, watch, tally):
    """Runs one hostile input, and counts what it did."""

    @contextmanager
    def run():
        watch.heard.clear()
        before = reset_peak()
        try:
            with limits():
                watch.on = True
                yield
        except HungError:
            tally["hung"] += 1
            pytest.fail(f"no end within {SECONDS} s")
        finally:
            watch.on = False
            executed = watch.canary.exists() or bool(watch.heard)
            tally["executed"] += executed
            watch.canary.unlink(missing_ok=True)
        grown = peak() - before
        assert not executed, watch.heard
        assert grown < MEMORY, f"{grown >> 20} MB"
        assert place.untouched()

    return run
