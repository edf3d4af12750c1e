"""A submission that was made honestly, to be changed by somebody who knows how all checksums are made."""

import hashlib
import io
import json
import zipfile

from safetensors.torch import load, save

from unveil.harness.store import manifest
from unveil.harness.store.bundle import WHEN

TENSORS = manifest.TENSORS


class Tampered:
    """The members of a bundle; what is written has every checksum right."""

    def __init__(self, path):
        with zipfile.ZipFile(path) as packed:
            self.members = {name: packed.read(name) for name in packed.namelist()}
        self.name = json.loads(self.members.pop("bundle.json"))["name"]
        self.results = json.loads(self.members["results.json"])

    def row(self, defense, attack):
        (found,) = [row for row in self.results["rows"] if (row["defense"], row["attack"]) == (defense, attack)]
        return found

    def figure(self, row, name):
        (found,) = [f for f in row["figures"] if self.called(f) == name]
        return found

    @staticmethod
    def called(figure):
        return f"{figure['metric']}/{figure['column']}" + (f"@{figure['judge']}" if figure["judge"] else "")

    def key(self, kind, number=0):
        """Of a step that came along."""
        told = self.results["provenance"]
        there = [key for key in sorted(told) if manifest.place(key) in self.members]
        return [key for key in there if told[key]["kind"] == kind][number]

    def tensors(self, key, change):
        """Changes the tensors of an artefact, and all names and checksums with them."""
        told = json.loads(self.members[manifest.place(key)])
        held = load(self.members[manifest.blob(told["blobs"][TENSORS])])
        change(held)
        data = save({name: t.contiguous() for name, t in held.items()})
        told["blobs"][TENSORS] = hashlib.sha256(data).hexdigest()
        self.members[manifest.blob(told["blobs"][TENSORS])] = data
        self.members[manifest.place(key)] = manifest.written(told["record"], told["blobs"], told["provenance"])

    def record(self, key, change):
        told = json.loads(self.members[manifest.place(key)])
        change(told["record"])
        self.members[manifest.place(key)] = manifest.written(told["record"], told["blobs"], told["provenance"])

    def plan(self, old, new):
        assert old in self.results["plan"]
        self.results["plan"] = self.results["plan"].replace(old, new)
        self.members["plan.toml"] = self.results["plan"].encode()

    def write(self, path):
        members = {**self.members, "results.json": json.dumps(self.results).encode()}
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
        members["bundle.json"] = json.dumps({"format": 1, "name": self.name, "sha256": sums}).encode()
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w") as packed:
            for name, data in members.items():
                packed.writestr(zipfile.ZipInfo(name, WHEN), data)
        path.write_bytes(held.getvalue())
        return path
