"""Follows the pickle in a torch checkpoint before torch reads it.

torch runs no code that a pickle names (``weights_only=True``). Yet a few bytes can make it work for hours or take all
memory: it calls `bytearray` with any length, and hashes a tuple that holds another one twice, which holds another one
twice, and so on. What cannot be followed here is refused, and so never reaches torch.
"""

from __future__ import annotations

import io
import mmap
import re
import zipfile
from pathlib import Path
from typing import IO, Any, cast

from unveil.harness.assets.inert_pickle import Name, Reader, refused

MOST_INSTRUCTIONS = 10_000_000  # a state dict has ten thousand; lists of losses may be longer
MOST_PARTS = 1_000_000  # of a tuple, and of those in it, each as often as it is there
DEEPEST = 100  # tuples in tuples
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PICKLES = 5  # magic number, version, kind of machine, the object, names of the storages
CALLED = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter"
    r"|torch\.(Size|device)|torch\.serialization\._get_layout|collections\.(OrderedDict|Counter)"
    r"|(builtins|__builtin__)\.(set|complex)|_codecs\.encode"
)
PLAIN = (str, int, float, bytes, type(None), Name)


def require_harmless(path: Path) -> None:
    """Refuses a checkpoint that would keep torch busy, or fill the memory.

    Args:
        path: What torch.save may have written, in its zip format or the older one.

    Raises:
        WeightsError: If its pickle is damaged, or asks for what no weights need.
        OSError: If it cannot be read.
    """
    content = stream(path)
    if isinstance(content, io.BytesIO):
        _Follower().read(content)
    elif _Follower().read(content) == LEGACY_MAGIC:
        for _ in range(LEGACY_PICKLES - 1):
            _Follower().read(content)


def stream(path: Path) -> IO[bytes]:
    """The pickle in a zip archive; a file of the older format, which begins with some.

    By the first bytes, as torch tells the formats apart: what looks like the one from its end may be the other.

    Raises:
        OSError, zipfile.BadZipFile: If it cannot be read.
        ValueError: If there are several pickles, of which torch and this might take different ones.
    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            # mapped, since only its beginning is looked at; a file in all that is asked of it here
            return cast(IO[bytes], mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    with zipfile.ZipFile(path) as archive:
        (entry,) = (one for one in archive.infolist() if one.filename.endswith("data.pkl"))
        return io.BytesIO(archive.read(entry))


def unpacked(path: Path) -> int:
    """Bytes that a zip archive unpacks to. torch.save compresses nothing and no two files overlap; in bombs they do.

    Raises:
        OSError, zipfile.BadZipFile: If it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


class _Thing:
    """What a call would have made."""


class _Follower(Reader):
    """Keeps containers and texts, and builds nothing else."""

    def __init__(self) -> None:
        super().__init__({}, persistent=lambda _: _Thing(), most=MOST_INSTRUCTIONS)
        self._sizes: dict[int, tuple[int, int]] = {}  # parts and depth of each tuple, by its id
        self._tuples: list[tuple[Any, ...]] = []  # all of them, so that no id is given twice

    def _do(self, name: str, argument: Any) -> None:
        super()._do(name, argument)
        if name.startswith("TUPLE"):
            self._weigh(self._stack[-1])

    def _weigh(self, made: tuple[Any, ...]) -> None:
        inner = [self._sizes[id(one)] for one in made if type(one) is tuple and one]
        parts, depth = len(made) + sum(p for p, _ in inner), 1 + max((d for _, d in inner), default=0)
        if parts > MOST_PARTS or depth > DEEPEST:
            raise refused(f"it nests tuples {depth} deep, with {parts} parts")
        self._sizes[id(made)] = parts, depth
        self._tuples.append(made)

    def _name(self, module: Any, name: Any) -> None:
        self._stack.append(Name(f"{module}.{name}"))

    def _worth(self, name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ARG002 (weighed when they were made)
        if not CALLED.fullmatch(name):
            raise refused(f"it calls {name[:200]!r}, which no weights need")
        return {} if name.startswith("collections.") else _Thing()

    def _set_state(self, state: Any) -> None:
        """Sets nothing: torch does so for tables and parameters only."""

    def _fill(self, items: list[Any]) -> None:
        into = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            flat = type(key) is tuple and all(type(part) in PLAIN for part in key)
            if not flat and type(key) not in (*PLAIN, bool):
                raise refused(f"a table has a key of type {type(key).__name__}")
            into[key] = value
