"""Reads checkpoint files, whoever wrote them: tensors by name, wherever in the file they lie. Runs no pickled code."""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from unveil.harness.assets import torch_pickle
from unveil.harness.words.errors import WeightsError, listed
from unveil.harness.words.finite import SHOWN as FEW

EXPECTED = "a .safetensors file, or a .pt or .pth file with a state dict and no pickled code"
LONGEST_HEADER = 100_000_000  # bytes of a safetensors header, by its specification
DEEPEST = 16  # tables in tables that are looked into
LOOK = 512  # bytes by which a file is recognised
AGAIN = "copy or download it again"

SIGNS = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file that it stands for", "run `git lfs pull`"),
    (rb"\s*<(!doctype|html|head|body|\?xml|error)", "a web page, not weights", f"{AGAIN}, and see what the page says"),
    (rb"\s*[{\[]\s*[\"{\[]", "JSON text, not weights", "name the weight file itself; an index only lists such files"),
    (rb"\x89HDF", "an HDF5 file, as Keras writes them", "name a file that torch or safetensors wrote"),
    (rb"GGUF", "a GGUF file of a language model", "name the weights of an image classifier"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "a compressed archive", "unpack it first"),
    (rb".{257}ustar", "a tar archive", "unpack it first"),
    (rb"\x93NUMPY", "one NumPy array", "name a file with all tensors of the model by name"),
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        path: The file.
        groups: Tensors by name, by where they lie in the file: ``""`` for a plain state dict, ``"state_dict"`` for one
            under that key. Whatever is no tensor, and what belongs to an optimiser, is not among them.
    """

    path: Path
    groups: Mapping[str, Mapping[str, Tensor]]


def read(path: Path) -> Checkpoint:
    """The tensors in a checkpoint. What a file is, its content says and not its ending.

    Nothing in it is executed, and what it makes of the memory and of the time is bounded by its size.

    Raises:
        WeightsError: If the file is missing, damaged or something else; says what it is.
    """
    start = _start(path)
    for sign, what, todo in SIGNS:
        if re.match(sign, start, re.IGNORECASE | re.DOTALL):
            raise WeightsError(f"{path} is {what}", EXPECTED, todo)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= LONGEST_HEADER:
        return Checkpoint(path, {"": _safetensors(path)})
    if start.startswith(b"PK"):
        _require_torch_archive(path)
    elif not start.startswith(b"\x80"):
        raise WeightsError(f"{path} cannot be read as weights: its content is no known format", EXPECTED, AGAIN)
    found = _unpickled(path)
    if isinstance(found, Mapping) and {"state", "param_groups"} <= found.keys():
        raise WeightsError(f"{path} is the state of an optimiser, and of no model", EXPECTED, "name the model's file")
    groups = dict(_groups(found))
    if not groups:
        keys = f" with the keys {', '.join(map(str, list(found)[:5]))}" if isinstance(found, Mapping) and found else ""
        raise WeightsError(
            f"{path} holds {'an empty' if found == {} else 'a'} {type(found).__name__}{keys}, and no tensors by name",
            "tensors by name, as model.state_dict() gives them",
            "save the state dict alone: torch.save(model.state_dict(), ...)",
        )
    _require_dense(path, groups)
    return Checkpoint(path, groups)


def _require_dense(path: Path, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Refuses tensors that nothing can be computed with: sparse ones, ones without numbers, ones that repeat few."""
    size = path.stat().st_size
    odd = [
        f"{name} is {why}"
        for tensors in groups.values()
        for name, value in tensors.items()
        if (why := _not_dense(value, size))
    ]
    if odd:
        raise WeightsError(
            f"{path} holds tensors that are no dense numbers: {listed(odd, FEW)}",
            "dense tensors",
            "save tensor.to_dense()",
        )


def _not_dense(value: Tensor, size: int) -> str:
    """What is wrong with a tensor in a file of that many bytes; empty if nothing."""
    if value.is_meta:
        return "without numbers (meta)"
    if value.is_nested or value.layout is not torch.strided:
        return "nested" if value.is_nested else str(value.layout)
    return "larger than the file" if value.numel() * value.element_size() > size else ""


def require_file(path: Path) -> None:
    """Refuses pipes and devices, which may have no end.

    Raises:
        WeightsError: If it is there, and neither a file nor a folder.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise WeightsError(f"{path} is no file, but a device or a pipe", EXPECTED, "name a file")


def _start(path: Path) -> bytes:
    require_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(LOOK)
    except FileNotFoundError:
        raise WeightsError(f"{path} cannot be read as weights: no such file", EXPECTED, "correct the path") from None
    except IsADirectoryError:
        inside = sorted(p.name for p in path.iterdir() if p.suffix in (".safetensors", ".pt", ".pth", ".bin"))
        hint = f"name the file in it: {', '.join(inside[:3])}" if inside else "name a file"
        raise WeightsError(f"{path} is a folder", EXPECTED, hint) from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read as weights: {error}", EXPECTED, "check the file") from error
    if not start:
        raise WeightsError(f"{path} is empty", EXPECTED, AGAIN)
    return start


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(safetensors.torch.load_file(path))
    except Exception as error:  # a damaged file can raise whatever its bytes happen to mean
        raise _damaged(path, error) from error


def _require_torch_archive(path: Path) -> None:
    """Refuses zip archives of anything but what torch.save wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise _damaged(path, "the end of the archive is missing") from error
    except Exception as error:  # whatever a damaged table of contents makes of it
        raise _damaged(path, error) from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            f"{path} is a TorchScript archive: weights together with a program, which is not run here",
            EXPECTED,
            f"where you trust it: torch.save(torch.jit.load({path.name!r}).state_dict(), 'state.pt')",
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise WeightsError(
            f"{path} is a zip archive of other files ({', '.join(names[:3])})", EXPECTED, "name the weight file itself"
        )
    if (whole := torch_pickle.unpacked(path)) > (size := path.stat().st_size):
        raise WeightsError(
            f"{path} unpacks to {whole:,} bytes, and has {size:,}: torch compresses nothing", EXPECTED, "do not open it"
        )


def _unpickled(path: Path) -> Any:
    try:
        torch_pickle.require_harmless(path)
        with path.open("rb") as file:  # given the path, torch would go by its ending
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # as above
        classes = [name for name in _classes(path) if not _harmless(name)]
        if not classes:
            raise _damaged(path, error) from error
        classes.sort(key=lambda name: name.startswith("torch."))  # what is the user's own tells most
        modules = any(name.startswith("torch.nn.modules.") for name in classes)
        what = "is a wholly pickled model" if modules else "holds Python objects besides tensors"
        inner = f"torch.load({path.name!r}, weights_only=False)"
        state = f"{inner}.state_dict()" if modules else f"{inner}['state_dict']"
        raise WeightsError(
            f"{path} {what} ({', '.join(classes[:3])}): opening it can run any code, so it was not opened",
            EXPECTED,
            f"where you trust it: torch.save({state}, 'state.pt'), and name that file",
        ) from error


def _harmless(name: str) -> bool:
    """Whether state dicts ask for it, too: containers, tensors, their kinds and places."""
    return bool(re.fullmatch(r"collections\.\w+|torch\.\w+|torch\.(_utils|storage|nn\.parameter)\.\w+", name))


def _classes(path: Path) -> list[str]:
    """Names that a pickle asks for, without following them; as far as it can be read."""
    found: dict[str, None] = {}
    try:
        stream = torch_pickle.stream(path)
        while stream.read(1):  # torch's older format is several pickles in a row
            stream.seek(stream.tell() - 1)
            texts: list[str] = []
            for code, argument, _ in pickletools.genops(stream):
                if code.name == "GLOBAL":
                    found[str(argument).replace(" ", ".")] = None
                elif code.name == "STACK_GLOBAL":
                    found[".".join(texts[-2:])] = None
                elif isinstance(argument, str):
                    texts.append(argument)
    except Exception:  # noqa: S110 (the storages behind the last pickle, or damage: what was found tells enough)
        pass
    return list(found)


def _groups(found: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Everything in which tensors have names, once: a file may hold itself, or one table in many places."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), found)]
    while waiting:
        place, value = waiting.pop()
        if id(value) in seen or len(place) > DEEPEST:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            if tensors := {str(name): one for name, one in value.items() if isinstance(one, Tensor)}:
                yield ".".join(place), tensors
            inner = list(value.items())
        else:
            inner = list(enumerate(value)) if isinstance(value, list | tuple) else []
        waiting += [((*place, str(name)), one) for name, one in reversed(inner) if "optim" not in str(name).lower()]


def _damaged(path: Path, error: Exception | str) -> WeightsError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    size = path.stat().st_size
    return WeightsError(
        f"{path} cannot be read as weights: it is cut short or damaged ({size:,} bytes; {reason})", EXPECTED, AGAIN
    )
