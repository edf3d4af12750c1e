"""Where everything that was computed once is kept, so that it is never computed again.

An artefact is a manifest ``artefacts/<key>.json`` that names its files by their SHA-256 under ``blobs/``. Blobs are
written first, the manifest last and by a rename: an artefact exists whole or not at all, on a local disk as on S3 (any
fsspec URL). What cannot be read is moved to ``aside/``, and its step is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unveil.harness.store import large, stream
from unveil.harness.store import manifest as manifests
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.beats import BEATS, Rhythm, lease_in
from unveil.harness.store.files import Files, UnreadableError
from unveil.harness.store.scratch import clear_away, disk_of, fetched, send_what_is_left
from unveil.harness.words.errors import DamageError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
AGAIN = "run the plan again: the step is computed anew"


class Store:
    """Keeps artefacts under a URL.

    Args:
        url: A folder or any URL that fsspec knows, such as ``s3://bucket/audit``.
        rhythm: Of leases on a bucket.

    Raises:
        StoreError: If nothing here can read such a URL.
    """

    def __init__(self, url: str, rhythm: Rhythm = BEATS) -> None:
        self.files, self.rhythm = Files(url), rhythm
        self.url, self.local = self.files.url, self.files.local
        self.disk = disk_of(self.files)
        self._manifests: dict[str, dict[str, Any]] = {}  # as they were read: what is stored once never changes
        self._files: dict[str, bytes] = {}  # blobs that were read ahead, by name

    def check(self) -> None:
        """Tries whether something can be written here, before hours of work are.

        Raises:
            StoreError: If not.
        """
        self.files.check()

    def prefetch(self, keys: Iterable[str]) -> None:
        """Reads the manifests of all these that are there, at once: many small files are slow one by one."""
        there = {name.removesuffix(".json") for name in self.files.names(manifests.ARTEFACTS)}
        wanted = {manifests.place(key): key for key in keys if key in there and key not in self._manifests}
        for path, data in self.files.get_many(list(wanted)).items():
            with suppress(UnreadableError):  # whoever needs it sets it aside
                self._manifests[wanted[path]] = manifests.whole(data)
        if self.local is None:
            self._prefetch_files(self._manifests[key] for key in wanted.values() if key in self._manifests)

    def _prefetch_files(self, found: Iterable[dict[str, Any]]) -> None:
        """Reads what pages need, which is looked at for each known step: one by one that takes a minute on a bucket."""
        names = {blob for one in found for name, blob in one["blobs"].items() if name.startswith(manifests.FILE)}
        found_there = self.files.get_many([manifests.blob(name) for name in sorted(names)]).values()
        whole = {hashlib.sha256(data).hexdigest(): data for data in found_there}
        self._files |= {name: whole[name] for name in names & whole.keys()}  # whoever needs another sets it aside

    def forget(self, keys: Iterable[str]) -> None:
        """Reads these anew when they are needed: somebody else may have set them aside."""
        for key in keys:
            for blob in self._manifests.pop(key, {}).get("blobs", {}).values():
                self._files.pop(blob, None)

    def has(self, key: str) -> bool:
        """Whether that artefact was completed, and its manifest can be read."""
        with suppress(UnreadableError):
            return self._parsed(key) is not None
        return False

    def usable(self, key: str) -> bool:
        """Whether that artefact can be used; if it is there and cannot be read, it is set aside and named.

        Its files are tried, too: they are for pages and trackers, which come when nothing can be computed any more.
        Its tensors are not: whoever loads them finds out.
        """
        try:
            for name in self._read(key)["blobs"]:
                if name.startswith(manifests.FILE):
                    self.file(key, name.removeprefix(manifests.FILE))
        except DamageError:
            return False
        return True

    def save(self, key: str, artefact: Artefact) -> None:
        """Writes an artefact, whole or not at all. If another run was faster, its artefact stays.

        Raises:
            StoreError: If the disk is full or cannot be written.
        """
        contents = {f"{manifests.FILE}{name}": data for name, data in artefact.files.items()}
        if artefact.tensors and not artefact.pictures:
            contents[manifests.TENSORS] = manifests.pack(artefact.tensors)
        names = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
        if artefact.pictures:
            parts = stream.packed(manifests.pack(artefact.tensors), artefact.pictures)
            names[manifests.TENSORS] = large.put(self.files, self.scratch(key), parts, manifests.blob)
        text = manifests.written(artefact.record, names, artefact.provenance)
        for name, data in contents.items():
            self.put_blob(names[name], data)
        if not self.usable(key):
            self.files.create(manifests.place(key), text)

    def put_blob(self, name: str, data: bytes) -> None:
        """Writes a blob of that SHA-256, unless it is there and whole.

        Raises:
            StoreError: If the disk is full or cannot be written.
        """
        path = manifests.blob(name)
        try:
            known = large.data(self.files, path, name)
        except UnreadableError as why:
            self.files.set_aside(path, str(why))
            known = None
        if known is None:
            self.files.put(path, data)

    def record(self, key: str) -> dict[str, Any]:
        """The record alone, without reading tensors.

        Raises:
            DamageError: As ``load``.
        """
        record: dict[str, Any] = self._read(key)["record"]
        return record

    def blobs(self, key: str) -> dict[str, str]:
        """SHA-256 of what an artefact consists of, by name.

        Raises:
            DamageError: As ``load``.
        """
        blobs: dict[str, str] = self._read(key)["blobs"]
        return blobs

    def file(self, key: str, name: str) -> bytes | None:
        """One file of an artefact, without reading tensors; None if it has none of that name.

        Raises:
            DamageError: As ``load``.
        """
        blob = self._read(key)["blobs"].get(f"{manifests.FILE}{name}")
        return None if blob is None else self._get_blob(key, name, blob)

    def provenance(self, key: str) -> dict[str, Any]:
        """The provenance alone.

        Raises:
            DamageError: As ``load``.
        """
        provenance: dict[str, Any] = self._read(key)["provenance"]
        return provenance

    def known(self) -> list[str]:
        """Keys of all artefacts whose manifests can be read, in order."""
        found = [Path(name).stem for name in self.files.names(manifests.ARTEFACTS) if name.endswith(".json")]
        self.prefetch(found)
        return [key for key in found if self.has(key)]

    def _parsed(self, key: str) -> dict[str, Any] | None:
        """A manifest, read once; None if there is none."""
        if key not in self._manifests:
            data = self.files.get(manifests.place(key))
            if data is None:
                return None
            self._manifests[key] = manifests.whole(data)
        return self._manifests[key]

    def _read(self, key: str) -> dict[str, Any]:
        try:
            if (manifest := self._parsed(key)) is not None:
                return manifest
        except UnreadableError as why:
            self._set_aside(key, str(why))
        raise DamageError(f"artefact {key[:12]} in {self.url} is missing or damaged", "what was stored", AGAIN)

    def _set_aside(self, key: str, why: str) -> None:
        self._manifests.pop(key, None)
        self.files.set_aside(manifests.place(key), why)

    def load(self, key: str) -> Artefact:
        """Reads an artefact and checks every file against its checksum.

        Raises:
            DamageError: If it is missing, or a file was changed or lost. A damaged artefact is set aside, so that it
                can be computed again.
        """
        manifest = self._read(key)
        contents = {name: self._get_blob(key, name, blob) for name, blob in manifest["blobs"].items()}
        packed = contents.pop(manifests.TENSORS, None)
        files = {name.removeprefix(manifests.FILE): data for name, data in contents.items()}
        return Artefact(manifest["record"], self._tensors(key, packed), files, manifest["provenance"])

    def _tensors(self, key: str, packed: bytes | None) -> dict[str, Tensor]:
        with self._named(key):
            return manifests.unpack(packed) if packed else {}

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        """Around reading bytes that are what the manifest names, and may still be no safetensors: somebody else's."""
        try:
            yield
        except Exception as error:
            self._set_aside(key, "names tensors that are none")
            raise DamageError(f"the tensors of {key[:12]} in {self.url} are none", "what was stored", AGAIN) from error

    def open(self, key: str, pictures: Collection[str]) -> Artefact:
        """As ``load``, without files; pictures of these names stay on the disk, if that is too much for memory.

        Raises:
            DamageError: As ``load``.
        """
        manifest = self._read(key)
        handle = self._needed(key, manifests.TENSORS, manifest["blobs"][manifests.TENSORS], large.fetch)
        with self._named(key):
            small, found = stream.opened(handle, pictures)
            return Artefact(manifest["record"], manifests.unpack(small), {}, manifest["provenance"], found)

    def _get_blob(self, key: str, name: str, blob: str) -> bytes:
        return self._files[blob] if blob in self._files else self._needed(key, name, blob, large.data)

    def _needed(self, key: str, name: str, blob: str, read: Callable[[Files, str, str], T | None]) -> T:
        """A file that an artefact names, read by its path and checked by its SHA-256."""
        path, lost = manifests.blob(blob), f"names {blob[:12]}, which is lost"
        try:
            if (found := read(self.files, path, blob)) is not None:
                return found
        except UnreadableError as why:
            self.files.set_aside(path, str(why))
            lost = f"names {blob[:12]}, which was damaged"
        self._set_aside(key, lost)
        raise DamageError(f"{name} of artefact {key[:12]} in {self.url} is damaged or lost", "what was stored", AGAIN)

    def put_text(self, path: str, text: str) -> str:
        """Writes a small file such as a page, whole or not at all, and returns where it is.

        Raises:
            StoreError: If the disk is full or cannot be written.
        """
        self.files.put(path, text.encode())
        return f"{self.url}/{path}"

    def get_text(self, path: str) -> str | None:
        """Reads such a file; None if there is none, or none that can be read."""
        with suppress(UnreadableError, UnicodeDecodeError):
            data = self.files.get(path)
            return None if data is None else data.decode()
        return None

    def scratch(self, key: str) -> Path:
        """A local folder with a node's checkpoints; write there through ``disk``, which sends them where they are kept.

        Raises:
            StoreError: If what another worker left cannot be read.
        """
        return fetched(self.disk, key)

    def clear_scratch(self, key: str) -> None:
        """Removes a finished node's checkpoints."""
        clear_away(self.disk, key)

    @contextmanager
    def lease(self, name: str, what: str) -> Iterator[None]:
        """One run at a time does what is in the block; the others wait, and say so.

        Args:
            name: A key, or another word for what is done.
            what: The same in words.

        Raises:
            StoreError: If nothing can be written here.
        """
        held = lease_in(self.files, name, what, self.rhythm)
        with self.files.writing():
            held.take()
        try:
            yield
        finally:
            send_what_is_left(self.disk)
            held.give_back()

    def at_work(self) -> list[str]:
        """Names of what runs have leases for at this moment."""
        return [name for name in self.files.names("leases") if lease_in(self.files, name, name, self.rhythm).alive()]
