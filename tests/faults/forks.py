"""Calls the command line many times in surroundings that are out of order, without importing torch every time.

One process imports everything once and is copied for each call. The copy then is what a shell would have started:
its own folder, environment, user, standard streams and their encoding, and an exit status.
"""

import codecs
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Call:
    """One call of the command line.

    Attributes:
        arguments: As in a shell; what is no text is told as surrogates.
        cwd: Folder it is called in.
        env: Environment variables to set; None removes one.
        encoding: Of the standard streams.
        before: Python statements that the new process executes first.
        timeout: Seconds until it is killed, which counts as status -9.
    """

    arguments: list[str]
    cwd: str
    env: dict[str, str | None] = field(default_factory=dict)
    encoding: str = "utf-8"
    before: str = ""
    timeout: float = 120


@dataclass
class Ended:
    """How a call ended."""

    status: int
    out: bytes
    err: str


class Forks:
    """A server that every call is a copy of."""

    def __init__(self) -> None:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "MLFLOW_DISABLE_TELEMETRY": "true"}
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def __call__(self, call: Call) -> Ended:
        with tempfile.TemporaryDirectory() as folder:
            assert self.server.stdin is not None
            assert self.server.stdout is not None
            self.server.stdin.write(json.dumps({**asdict(call), "streams": folder}) + "\n")
            self.server.stdin.flush()
            status = int(self.server.stdout.readline())
            err = Path(folder, "err").read_bytes().decode(call.encoding, "backslashreplace")
            return Ended(status, Path(folder, "out").read_bytes(), err)

    def close(self) -> None:
        """Ends the server."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()


def _serve() -> None:
    _import()
    for line in sys.stdin:
        call = json.loads(line)
        streams = Path(call.pop("streams"))
        child = os.fork()
        if child == 0:
            _become(Call(**call), streams)
        sys.stdout.write(f"{_wait(child, call['timeout'])}\n")
        sys.stdout.flush()


def _import() -> None:
    import encodings.utf_8_sig  # noqa: F401, PLC0415 (plans are read so; somebody else may not read Python's own files)

    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401, PLC0415
    import torch._dynamo  # noqa: F401, PLC0415 (the first optimiser imports it)

    import unveil.cli.app  # noqa: PLC0415
    import unveil.harness.assets.stylegan2_pickle  # noqa: PLC0415
    import unveil.harness.conformance  # noqa: PLC0415
    import unveil.harness.running.assemble  # noqa: PLC0415
    import unveil.harness.running.estimate  # noqa: PLC0415
    import unveil.harness.running.pools  # noqa: PLC0415
    import unveil.harness.running.schedule  # noqa: PLC0415
    import unveil.harness.running.tracking  # noqa: PLC0415
    import unveil.leaderboard.page  # noqa: F401, PLC0415
    from unveil.harness.plan import plugins  # noqa: PLC0415

    for kind in plugins.KINDS:
        for name in plugins.registered(kind):
            plugins.load(kind, name, Path())
    plugins.registered.cache_clear()


def _wait(child: int, seconds: float) -> int:
    end = time.monotonic() + seconds
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
        time.sleep(0.003)
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended[1])


def _become(call: Call, streams: Path) -> None:
    """Is the program from here on; never returns."""
    status = 70
    try:
        for name, value in call.env.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        os.chdir(call.cwd)
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(streams / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        tempfile.tempdir = None
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a script ignores it in its background
        exec(call.before, {"os": os, "resource": resource, "sys": sys})
        sys.stdout = sys.__stdout__ = _stream(1, call.encoding, "strict")
        sys.stderr = sys.__stderr__ = _stream(2, call.encoding, "backslashreplace")
        sys.argv = ["unveil", *call.arguments]
        status = _main()
    finally:
        os._exit(status)


def _stream(descriptor: int, encoding: str, errors: str) -> io.TextIOWrapper | None:
    """As the interpreter opens it; nothing if it is closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        return None
    return open(descriptor, "w", encoding=codecs.lookup(encoding).name, errors=errors, closefd=False)


def _main() -> int:
    """What the interpreter does around a program: status, traceback, and the last words of its streams."""
    from unveil.cli import main  # noqa: PLC0415

    status = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except Exception:
            traceback.print_exc()
            status = 120
    return status


if __name__ == "__main__":
    _serve()
