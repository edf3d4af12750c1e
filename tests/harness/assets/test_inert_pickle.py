"""Pickles that try to run something, to reserve the machine's memory, or to pass for a network."""

from __future__ import annotations

import builtins
import collections
import io
import os
import pickle
import struct
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unveil.harness.assets import stylegan2_pickle, stylegan2_sizes
from unveil.harness.assets.inert_pickle import Name, Reader
from unveil.harness.assets.stylegan2_pickle import convert, legacy_storage, load
from unveil.harness.words.errors import WeightsError


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def names(module: str, name: str) -> bytes:
    """STACK_GLOBAL, as protocol 4 has it."""
    return text(module) + text(name) + b"\x93"


def storage(numbers: int = 2, claimed: int | None = None, kind: str = "FloatStorage", extra: bytes = b"") -> bytes:
    """What torch writes for a storage, with a length of our own."""
    claimed = numbers if claimed is None else claimed
    head = pickle.dumps(stylegan2_pickle.LEGACY_MAGIC, 2) + pickle.dumps(1001, 2)
    head += pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}, 2)
    count = b"\x8a\x08" + struct.pack("<q", claimed)
    described = b"\x80\x02(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text("7") + text("cpu") + count
    keys = pickle.dumps(["7"], 2)
    return head + described + b"NtQ." + keys + struct.pack("<q", claimed) + b"\0" * 4 * numbers + extra


def tensor(data: bytes, offset: int = 0, size: tuple[int, ...] = (2,), stride: tuple[int, ...] = (1,)) -> Calls:
    stored = Calls(torch.storage._load_from_bytes, data)
    return Calls(torch._utils._rebuild_tensor_v2, stored, offset, size, stride, False, collections.OrderedDict())


def dumped(value: Any, protocol: int = 4) -> bytes:
    return pickle.dumps({"G_ema": value}, protocol)


FAMILIES = [os.system, eval, exec, getattr, open, __import__, subprocess.Popen, io.open, torch.load, pickle.loads, map]


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        (tmp_path / "network.pkl").write_bytes(data)
        return tmp_path / "network.pkl"

    return write


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", FAMILIES, ids=lambda f: f.__qualname__)
def test_no_function_is_called(
    function: Callable[..., Any], protocol: int, file: Callable[[bytes], Path], tmp_path: Path
) -> None:
    made = tmp_path / "made"
    command = f"touch {made}" if function is os.system else f"open({str(made)!r}, 'w')"
    with pytest.raises(WeightsError, match="refused"):
        load(file(dumped(Calls(function, command), protocol)))
    assert not made.exists()


@pytest.mark.parametrize(
    "data",
    {
        "dotted name under protocol 4": names("torch", "_utils._rebuild_tensor_v2") + b".",
        "module spelt with the name in it": names("torch.storage._load_from_bytes", "") + b".",
        "attribute of a known module": names("collections", "OrderedDict.__init__") + b".",
        "attribute of an attribute": names("torch.storage", "_load_from_bytes.__globals__") + b".",
        "a module that is no text": b"]" + text("system") + b"\x93.",
        "a name that a dictionary would accept": text("os") + b"K\x01\x93.",
        "a name with a space": b"cos path\nsystem\n.",
        "INST": b"(" + text("true") + b"ios\nsystem\n.",
        "OBJ": b"(" + b"cos\nsystem\n" + text("true") + b"o.",
        "NEWOBJ_EX": names("collections", "OrderedDict") + b")}\x92.",
        "EXT1": b"\x82\x01.",
        "persistent id": text("storage") + b"Q.",
        "persistent id in text": b"Pstorage\n.",
        "out-of-band buffer": b"\x97.",
        "calls what it was given": text("os.system") + b")R.",
        "calls a table": b"})R.",
        "sets the state of a table": b"}}" + text("__class__") + text("x") + b"sb.",
        "sets the state of a name": names("collections", "OrderedDict") + b"}" + text("x") + b"Nsb.",
        "a key that must be hashed": b"}" + b")\x85" * 50 + b"Ns.",
        "appends to a table": b"}Na.",
        "memo that is not there": b"h\x07.",
        "memo out of reach": b"j\xff\xff\xff\xff.",
        "remembers a mark": b"(q\x00.",
        "nothing on the stack": b".",
        "two objects": b"NN.",
        "no end": b"N",
        "not a pickle": b"\x89PNG\r\n",
        "empty": b"",
        "bytes of 8 exabytes": b"\x8e" + struct.pack("<Q", 2**63 - 1) + b".",
        "text of 4 gigabytes": b"X\xff\xff\xff\xffabc.",
        "a frame of 8 exabytes": b"\x95" + struct.pack("<Q", 2**63 - 1) + b"\x8d" + struct.pack("<Q", 2**62) + b".",
    }.items(),
    ids=lambda item: item[0],
)
def test_tricks_with_instructions_are_refused(data: tuple[str, bytes], file: Callable[[bytes], Path]) -> None:
    with pytest.raises(WeightsError, match="refused"):
        load(file(b"\x80\x04" + data[1]))


def test_the_reason_names_what_was_asked_for(file: Callable[[bytes], Path]) -> None:
    with pytest.raises(WeightsError, match=r"'posix\.system', which no network needs"):
        load(file(dumped(Calls(os.system, "true"))))
    with pytest.raises(WeightsError, match=r"TensorFlow.*legacy\.py"):
        load(file(b"\x80\x03cdnnlib.tflib.network\nNetwork\n."))
    with pytest.raises(WeightsError, match="zip archive"):
        load(file(b"PK\x03\x04"))
    with pytest.raises(WeightsError, match="cannot be read"):
        load(Path("/nowhere/network.pkl"))


def test_a_call_in_the_bytes_of_a_storage_is_refused(file: Callable[[bytes], Path], tmp_path: Path) -> None:
    evil = pickle.dumps(Calls(os.system, f"touch {tmp_path / 'made'}"), 2)
    honest = storage()
    sequence = [evil, honest.replace(pickle.dumps(1001, 2), evil, 1), honest.replace(pickle.dumps(["7"], 2), evil)]
    buffer = io.BytesIO()
    torch.save(Calls(os.system, f"touch {tmp_path / 'made'}"), buffer, _use_new_zipfile_serialization=False)
    for data in [*sequence, buffer.getvalue(), b"PK\x03\x04" + evil]:
        with pytest.raises(WeightsError, match="refused"):
            load(file(dumped(tensor(data))))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "data",
    [
        storage(2, claimed=1 << 50),
        storage(2, claimed=-1),
        storage(2, claimed=3),
        storage(2, extra=b"more"),
        storage(2, kind="QInt8Storage"),
        storage(2).replace(b"storage", b"module!"),
        storage(2).replace(b"7q\x01a.", b"8q\x01a."),
        storage(2)[:-3],
        storage(2)[:40],
        b"",
    ],
    ids=["vast", "negative", "short", "long", "quantised", "other id", "other key", "cut", "header only", "empty"],
)
def test_storages_that_lie_are_refused_without_reserving_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match="refused"):
            legacy_storage(data)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (1 << 39, 1 << 39), (0, 0)),  # two numbers, shown a quintillion times
        (0, (3,), (1,)),
        (1, (2,), (1,)),
        (-1, (1,), (1,)),
        (0, (2,), (-1,)),
        (0, (2,), (1 << 39,)),
        (0, (2, 1), (1,)),
        (0, ("2",), (1,)),
        (0, (1,) * 9, (1,) * 9),
    ],
)
def test_tensors_never_reach_beyond_their_storage(offset: int, size: Any, stride: Any, file: Any) -> None:
    with pytest.raises(WeightsError, match="refused"):
        load(file(dumped(tensor(storage(2), offset, size, stride))))


def test_one_storage_cannot_be_unpacked_again_and_again(file: Callable[[bytes], Path]) -> None:
    shared = storage(1000)
    with pytest.raises(WeightsError, match="storages are larger than the file"):
        load(file(dumped([tensor(shared) for _ in range(50)])))


def test_endless_programs_and_modules_end(file: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unveil.harness.assets.inert_pickle.MOST_INSTRUCTIONS", 1000)
    with pytest.raises(WeightsError, match="instructions"):
        load(file(b"\x80\x04" + b"N" * 1000 + b"."))
    loop: dict[str, Any] = {"_parameters": {}, "_buffers": {}}
    looped = stylegan2_sizes.Module(loop)
    loop["_modules"] = {"again": looped}
    with pytest.raises(WeightsError, match="too deep"):
        stylegan2_sizes.tensors_of(looped)
    wide = stylegan2_sizes.Module({"_modules": {}})
    tree = wide
    for _ in range(15):  # 8^15 modules in sixteen objects
        tree = stylegan2_sizes.Module({"_modules": dict.fromkeys("abcdefgh", tree)})
    with pytest.raises(WeightsError, match="more than"):
        stylegan2_sizes.tensors_of(tree)


def test_nothing_is_ever_imported_or_looked_up(monkeypatch: pytest.MonkeyPatch, file: Any) -> None:
    """Even for the names that are known: what stands for them is a function of the reader's own."""
    path = file(dumped(tensor(storage())))

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("something of the pickle's was called")

    for owner, name in ((torch._utils, "_rebuild_tensor_v2"), (torch.storage, "_load_from_bytes"), (torch, "load")):
        monkeypatch.setattr(owner, name, never)
    monkeypatch.setattr(pickle, "Unpickler", never)
    monkeypatch.setattr(builtins, "__import__", never)
    found = load(path)
    monkeypatch.undo()
    assert torch.equal(found["G_ema"], torch.zeros(2))


def test_honest_containers_and_tensors_come_back() -> None:
    value = {"a": [1, 2.5, None, True, "é", b"x", (1,), (1, 2, 3, 4), -(2**70)], "o": collections.OrderedDict(k=3)}
    known = {"collections.OrderedDict": lambda arguments: {}}
    for protocol in (2, 3, 4, 5):
        given = {key: item for key, item in value.items()}
        if protocol == 2:
            given["a"] = [item for item in value["a"] if not isinstance(item, bytes)]
        found = Reader(known).read(io.BytesIO(pickle.dumps(given, protocol)))
        assert found == {"a": given["a"], "o": {"k": 3}}
    assert Reader({"a.b": lambda arguments: arguments}).read(io.BytesIO(b"\x80\x02ca\nb\n.")) == Name("a.b")


def test_tensors_of_all_kinds_come_back(file: Callable[[bytes], Path]) -> None:
    g = torch.Generator().manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(3, 4, generator=g))
    odd = torch.randn(4, 6, generator=g).T[1:5:2]
    honest = [parameter, odd, odd.half(), torch.arange(5), torch.tensor(2.0), torch.zeros(0)]
    for protocol in (3, 4):
        found = load(file(dumped(honest, protocol)))["G_ema"]
        assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found, honest, strict=True))


def test_a_pickle_without_a_network_is_named(file: Callable[[bytes], Path], tmp_path: Path) -> None:
    for value in (torch.zeros(2), "text"):
        with pytest.raises(WeightsError, match="no G_ema"):
            convert(file(dumped(value)), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
