"""Where everything that was computed once is kept, so that it is never computed again.

An artefact is a manifest ``artefacts/<key>.json`` that names its files by their SHA-256 under ``blobs/``. Blobs
are written first and the manifest last, through a scratch name and a rename, so an artefact exists whole or
not at all, on a local disk as on S3 (any fsspec URL).
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec

from unveil.harness.canonical import canonical
from unveil.harness.errors import StoreError

if TYPE_CHECKING:
    from torch import Tensor

SCHEMA = 1  # raised when the meaning of stored artefacts changes


@dataclass(frozen=True)
class Artefact:
    """What a node computed.

    Attributes:
        record: JSON-able facts and numbers.
        tensors: By name.
        files: Other bytes, such as a PNG, by file name.
        provenance: Seconds, versions, device, time; in no identity and in no row.
    """

    record: dict[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


class Store:
    """Keeps artefacts under a URL.

    Args:
        url: A folder or any URL that fsspec knows, such as ``s3://bucket/audit``.
    """

    def __init__(self, url: str) -> None:
        self.url = url if "://" in url else str(Path(url).resolve())
        self.fs, self.root = fsspec.core.url_to_fs(self.url)

    def _manifest(self, key: str) -> str:
        return f"{self.root}/artefacts/{key}.json"

    def _blob(self, name: str) -> str:
        return f"{self.root}/blobs/{name[:2]}/{name}"

    def has(self, key: str) -> bool:
        """Whether that artefact was completed."""
        return bool(self.fs.exists(self._manifest(key)))

    def save(self, key: str, artefact: Artefact) -> None:
        """Writes an artefact, whole or not at all.

        Raises:
            StoreError: If the disk is full or cannot be written.
        """
        contents = {f"files/{name}": data for name, data in artefact.files.items()}
        if artefact.tensors:
            contents["tensors.safetensors"] = _pack(artefact.tensors)
        with self._writing():
            blobs = {name: self._put_blob(data) for name, data in contents.items()}
            manifest = {"record": artefact.record, "blobs": blobs, "provenance": artefact.provenance}
            self._put(self._manifest(key), canonical(manifest).encode())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StoreError(
                f"the store at {self.url} cannot be written: {'no space left' if full else error}",
                "room for the next artefact" if full else "a place that can be written",
                "free some space and run the same command again; what was computed before is kept",
            ) from error

    def _put_blob(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        if not self.fs.exists(self._blob(name)):
            self._put(self._blob(name), data)
        return name

    def _put(self, path: str, data: bytes) -> None:
        self.fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        part = f"{path}.{uuid.uuid4().hex}.part"
        try:
            with self.fs.open(part, "wb") as file:
                file.write(data)
            self.fs.mv(part, path)
        except BaseException:
            if self.fs.exists(part):
                self.fs.rm(part)
            raise

    def record(self, key: str) -> dict[str, Any]:
        """The record alone, without reading tensors."""
        record: dict[str, Any] = self._read(key)["record"]
        return record

    def file(self, key: str, name: str) -> bytes | None:
        """One file of an artefact, without reading tensors; None if it has none of that name.

        Raises:
            StoreError: As ``load``.
        """
        blob = self._read(key)["blobs"].get(f"files/{name}")
        return None if blob is None else self._get_blob(key, name, blob)

    def provenance(self, key: str) -> dict[str, Any]:
        """The provenance alone."""
        provenance: dict[str, Any] = self._read(key)["provenance"]
        return provenance

    def _read(self, key: str) -> dict[str, Any]:
        try:
            manifest: dict[str, Any] = json.loads(self.fs.cat_file(self._manifest(key)))
        except (FileNotFoundError, ValueError) as error:
            raise StoreError(
                f"artefact {key[:12]} in {self.url} is missing or damaged", "a manifest", "run the plan again"
            ) from error
        return manifest

    def load(self, key: str) -> Artefact:
        """Reads an artefact and checks every file against its checksum.

        Raises:
            StoreError: If it is missing, or a file was changed or lost. A damaged artefact is taken out of the
                store, so that the next run computes it again.
        """
        manifest = self._read(key)
        contents = {name: self._get_blob(key, name, blob) for name, blob in manifest["blobs"].items()}
        packed = contents.pop("tensors.safetensors", None)
        files = {name.removeprefix("files/"): data for name, data in contents.items()}
        return Artefact(manifest["record"], _unpack(packed) if packed else {}, files, manifest["provenance"])

    def _get_blob(self, key: str, name: str, blob: str) -> bytes:
        path = self._blob(blob)
        data: bytes | None = self.fs.cat_file(path) if self.fs.exists(path) else None
        if data is not None and hashlib.sha256(data).hexdigest() == blob:
            return data
        for damaged in (self._manifest(key), *([path] if data is not None else [])):
            self.fs.rm(damaged)
        raise StoreError(
            f"{name} of artefact {key[:12]} in {self.url} is {'damaged' if data is not None else 'lost'}",
            "the bytes that were stored",
            "run the same command again: it has been taken out and will be computed anew",
        )

    def put_text(self, path: str, text: str) -> str:
        """Writes a small file such as a page, whole or not at all, and returns where it is."""
        with self._writing():
            self._put(f"{self.root}/{path}", text.encode())
        return f"{self.url}/{path}"

    def get_text(self, path: str) -> str | None:
        """Reads such a file; None if there is none."""
        full = f"{self.root}/{path}"
        return self.fs.cat_file(full).decode() if self.fs.exists(full) else None

    def scratch(self, key: str) -> Path:
        """A local folder for a node's checkpoints: in the store if that is local, else with temporary files."""
        if self.local is not None:
            return self.local / "scratch" / key
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"unveil-{name}" / key

    @property
    def local(self) -> Path | None:
        """The store's folder, if it is on a local disk."""
        return Path(self.root) if "file" in self.fs.protocol else None

    def clear_scratch(self, key: str) -> None:
        """Removes a finished node's checkpoints."""
        shutil.rmtree(self.scratch(key), ignore_errors=True)


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    import safetensors.torch  # noqa: PLC0415 (rows and pages are read without torch)

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    packed: bytes = safetensors.torch.save(plain)
    return packed


def _unpack(data: bytes) -> dict[str, Tensor]:
    import safetensors.torch  # noqa: PLC0415 (see above)

    tensors: dict[str, Tensor] = safetensors.torch.load(data)
    return tensors
