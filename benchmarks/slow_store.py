"""How long a run takes in which everything is known, on a store behind a network: every request takes 40 ms.

Run ``python benchmarks/slow_store.py [cells]`` (default 450; two minutes, most of them to make the store).
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from test_cached_run import DATA, PLAN, known, quiet

from unveil.harness.audit import prepare

LATENCY = 0.040  # seconds from a request to its answer
PAGE = 1000  # names that one request lists


class SlowFileSystem(LocalFileSystem):
    """Local files that the store takes for a bucket's, each call as late as the requests that s3fs makes for it."""

    protocol = ("slow", "s3")
    requests = 0
    _counting = threading.Lock()

    def __init__(self, **options: Any) -> None:
        super().__init__(auto_mkdir=True, **options)

    def _wait(self, requests: int = 1) -> None:
        with self._counting:
            SlowFileSystem.requests += requests
        time.sleep(requests * LATENCY)

    def cat_file(self, path: str, **options: Any) -> Any:
        self._wait(2)  # it asks for the size first
        return super().cat_file(path, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self._wait()
        super().pipe_file(path, value, mode=mode, **options)

    def ls(self, path: str, detail: bool = False, **options: Any) -> Any:
        found = super().ls(path, detail=detail, **options)
        self._wait(1 + len(found) // PAGE)
        return found

    def find(self, path: str, *where: Any, **options: Any) -> Any:
        found = LocalFileSystem().find(path, *where, **options)
        self._wait(1 + len(found) // PAGE)
        return found

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        self._wait(2)
        super().cp_file(path1, path2, **options)

    def rm_file(self, path: str) -> None:
        self._wait()
        super().rm_file(path)


fsspec.register_implementation("slow", SlowFileSystem, clobber=True)


def seconds(plan: dict[str, Any], url: str) -> float:
    """Of a run that computes nothing, its report included."""
    begun = time.monotonic()
    audit = prepare(plan, url)
    audit.keep(quiet(audit))
    return time.monotonic() - begun


def main() -> None:
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else 450
    source = DATA.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("blobs.py").write_text(source.split("'''")[1], encoding="utf-8")
        values = [round(-0.001 * (i + 1), 4) for i in range(cells // 2)]
        plan = {**PLAN, "pictures": 2, "defenses": [{**PLAN["defenses"][0], "sweep": {"alpha": values}}]}
        audit = known(plan, Path(folder))
        local = min(seconds(plan, f"{folder}/large") for _ in range(2))
        far = seconds(plan, f"slow://{folder}/large")
    steps = len(audit.matrix.nodes())
    sys.stdout.write(
        f"{cells} cells, {steps} steps, all known: {local:.1f} s on a local disk; {far:.1f} s where a request takes "
        f"{1000 * LATENCY:.0f} ms ({far / local:.1f} times as long, {SlowFileSystem.requests} requests)\n"
    )


if __name__ == "__main__":
    main()
