"""The same few pictures in every layout."""

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("n01440764", "n01443537", "n02084071")
TRAIN = {"n01440764": 3, "n01443537": 2, "n02084071": 4}  # images of each class
VAL = {"n01440764": 2, "n01443537": 1, "n02084071": 1}

Files = dict[tuple[str, str, str], bytes]  # split, class, name -> content


def jpeg(seed: int, *, mode: str = "RGB") -> bytes:
    """A small picture of its own."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 20)), int(rng.integers(8, 20)), 3)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def files() -> Files:
    """The pictures, named as ImageNet's; the validation's numbers run across classes, as they
    do there.
    """
    found: Files = {}
    for wnid, count in TRAIN.items():
        for number in range(count):
            # Numbers of different lengths: 10026 comes before 9.
            found["train", wnid, f"{wnid}_{10026 if number == 0 else number}.JPEG"] = jpeg(
                len(found), mode="L" if number == 1 else "RGB"
            )
    order = ["n02084071", "n01440764", "n01443537", "n01440764"]
    for number, wnid in enumerate(order, start=1):
        found["val", wnid, f"ILSVRC2012_val_{number:08}.JPEG"] = jpeg(100 + number)
    return found


def write_folders(root: Path, *, base: str = "") -> Path:
    for (split, wnid, name), content in files().items():
        folder = root / base / split / wnid
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return root


def write_tiny(root: Path) -> Path:
    """As Tiny ImageNet is distributed, the bounding boxes that nobody needs included."""
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for (split, wnid, name), content in files().items():
        folder = root / "train" / wnid / "images" if split == "train" else root / "val" / "images"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        if split == "train":
            (folder.parent / f"{wnid}_boxes.txt").write_text(f"{name}\t0\t0\t62\t62\n")
        else:
            lines.append(f"{name}\t{wnid}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines[::-1]))
    (root / "test" / "images").mkdir(parents=True)
    (root / "test" / "images" / "test_0.JPEG").write_bytes(jpeg(0))
    return root


def write_kaggle(root: Path, *, base: str = "ILSVRC/Data/CLS-LOC") -> Path:
    write_folders(root, base=base)
    rows = []
    for folder in sorted((root / base / "val").iterdir()):
        for path in sorted(folder.iterdir()):
            rows.append((path.stem, f"{folder.name} 1 2 30 40 {folder.name} 5 6 7 8 "))
            path.rename(root / base / "val" / path.name)
        folder.rmdir()
    with (root / "LOC_val_solution.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("ImageId", "PredictionString"), *rows[::-1]])
    return root


def tar_of(members: list[tuple[str, bytes]], *, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def write_official(root: Path) -> Path:
    """The three archives, the class tars and the devkit's IDs in no particular order."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    all_files = files()
    inner = [
        (
            f"{wnid}.tar",
            tar_of(
                [
                    (name, data)
                    for (split, of, name), data in all_files.items()
                    if (split, of) == ("train", wnid)
                ][::-1]
            ),
        )
        for wnid in reversed(CLASSES)
    ]
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of(inner))
    val = sorted(
        (name, wnid, data) for (split, wnid, name), data in all_files.items() if split == "val"
    )
    (root / "ILSVRC2012_img_val.tar").write_bytes(
        tar_of([(name, data) for name, _, data in val][::-1])
    )
    numbers = {"n01443537": 1, "n02084071": 2, "n01440764": 3}
    synsets = np.array(
        [(number, wnid, 0) for wnid, number in numbers.items()] + [(4, "n00000004", 2)],
        dtype=[("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")],
    )
    meta = io.BytesIO()
    savemat(meta, {"synsets": synsets.reshape(-1, 1)})
    truth = "".join(f"{numbers[wnid]}\n" for _, wnid, _ in val).encode()
    folder = "ILSVRC2012_devkit_t12/data"
    devkit = tar_of(
        [
            (f"{folder}/meta.mat", meta.getvalue()),
            (f"{folder}/ILSVRC2012_validation_ground_truth.txt", truth),
        ],
        mode="w:gz",
    )
    (root / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(devkit)
    return root


def write_shards(root: Path, *, in_folders: bool = False, per_shard: int = 4) -> Path:
    """As webdataset writes them; `in_folders`: `train/000000.tar` instead of `train-000000.tar`."""
    (root / "train").mkdir(parents=True) if in_folders else root.mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("".join(f"{wnid}\n" for wnid in CLASSES))
    all_files = files()
    for split in ("train", "val"):
        rows = sorted((wnid, name) for s, wnid, name in all_files if s == split)
        for number, start in enumerate(range(0, len(rows), per_shard)):
            members = []
            for wnid, name in rows[start : start + per_shard]:
                key = name.removesuffix(".JPEG")
                members += [
                    (f"{key}.jpg", all_files[split, wnid, name]),
                    (f"{key}.cls", str(CLASSES.index(wnid)).encode()),
                ]
            path = (
                root / split / f"{number:06}.tar"
                if in_folders
                else root / f"{split}-{number:06}.tar"
            )
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(tar_of(members))
    return root
