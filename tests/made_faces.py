"""Small trees with the true file formats of published data sets, filled with noise in place of faces."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

PARTS = "actors", "actresses"


def ruled(file: Path, width: int, height: int, step: int = 1) -> None:
    """A picture whose red says how far a pixel is from the left, and whose green how far from the top, in steps."""
    across, down = np.meshgrid(np.arange(width) // step, np.arange(height) // step)
    Image.fromarray(np.stack([across, down, 0 * across], 2).astype(np.uint8)).save(file)


def noise(file: Path, seed: int, width: int, height: int) -> None:
    """A picture that is like no other: its blocks are noise of its own."""
    file.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST).save(file)


def celeba(root: Path, counts: tuple[int, ...] = (6, 5, 4, 3, 2), ending: str = "jpg") -> Path:
    """The official lists and aligned pictures; person 11 has ``counts[0]`` pictures, 12 the next, and so on in turn."""
    left, rows = list(counts), []
    while any(left):
        for person, count in enumerate(left):
            if count:
                left[person] -= 1
                rows.append((f"{len(rows) + 1:06d}", person))
    for stem, person in rows:
        noise(root / "img_align_celeba" / f"{stem}.{ending}", 1000 + int(stem) + 100 * person, 178, 218)
    write(root / "identity_CelebA.txt", [f"{stem}.jpg {person + 11}" for stem, person in rows])
    write(root / "list_eval_partition.txt", [f"{stem}.jpg {person % 3}" for stem, person in rows])
    return root


def names_of_celeba(root: Path, people: int) -> Path:
    """The official lists and files of three pictures for each of so many people, for what does not look at pixels."""
    rows = [(f"{3 * person + k + 1:06d}.jpg", person) for person in range(people) for k in range(3)]
    (root / "img_align_celeba").mkdir(parents=True)
    for name, _ in rows:
        (root / "img_align_celeba" / name).write_bytes(name.encode())
    write(root / "identity_CelebA.txt", [f"{name} {person}" for name, person in rows])
    write(root / "list_eval_partition.txt", [f"{name} 0" for name, _ in rows])
    return root


def facescrub(root: Path, people: int = 2, pictures: int = 5) -> Path:
    """Lists, cut faces and whole pictures of so many actors and as many actresses, as the download program leaves."""
    face = 0
    for part in PARTS:
        lines = ["name\timage_id\tface_id\turl\tbbox\tsha256"]
        for person in range(people):
            name = f"{['Ann', 'Bob', 'Cy', 'Dan'][person]} {part.title()}"
            for k in range(pictures):
                face += 1
                stem = f"{name.replace(' ', '_')}_{k}"
                whole = root / part / "images" / name.replace(" ", "_") / f"{stem}.jpeg"
                noise(whole, 5000 + face, 120, 100)
                box = (10, 20, 10 + 64, 20 + 64 + k)
                cut = root / part / "faces" / whole.parent.name / f"{stem}_{face}.jpeg"
                cut.parent.mkdir(parents=True, exist_ok=True)
                Image.open(whole).crop(box).save(cut, quality=100, subsampling=0)
                sha = hashlib.sha256(whole.read_bytes()).hexdigest()
                lines.append(f"{name}\t{k}\t{face}\thttp://gone/{face}.jpg\t{','.join(map(str, box))}\t{sha}")
        write(root / f"facescrub_{part}.txt", lines)
    return root


def ffhq(root: Path, numbers: tuple[int, ...] = (0, 1, 999, 1000, 1001, 69_999), side: int = 128) -> Path:
    """Some thumbnails in their nested folders."""
    for number in numbers:
        kind = "thumbnails" if side == 128 else "images"
        shard = root / f"{kind}{side}x{side}" / f"{number // 1000 * 1000:05d}"
        noise(shard / f"{number:05d}.png", 9000 + number, side, side)
    return root


def lfw(root: Path, counts: tuple[int, ...] = (5, 4, 2, 1)) -> Path:
    """The funneled pictures as scikit-learn caches them, and its three files of pairs."""
    names = [f"{'ABCDEFG'[person]}nn_Smith" for person in range(len(counts))]
    for person, count in enumerate(counts):
        for k in range(1, count + 1):
            at = root / "lfw_home" / "lfw_funneled" / names[person]
            noise(at / f"{names[person]}_{k:04d}.jpg", 40 * person + k, 250, 250)
    pairs = [f"{names[0]}\t1\t2", f"{names[0]}\t3\t{names[1]}\t1"]
    write(root / "lfw_home" / "pairs.txt", ["1\t1", *pairs])
    write(root / "lfw_home" / "pairsDevTrain.txt", ["1", *pairs])
    write(root / "lfw_home" / "pairsDevTest.txt", ["1", *pairs])
    return root


def write(file: Path, lines: list[str]) -> Path:
    """A text file of these lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
