"""Tar and zip archives, configs and checkpoints: valid ones, and what an attacker would send."""

from __future__ import annotations

import functools
import gzip
import io
import json
import random
import tarfile
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from tests.stress.fuzzing import bombs, pictures
from tests.stress.fuzzing.mutations import spoiled, spoiled_json, text_of

NAME = "facades"  # of the data set in a tar
PHOTOS, LABELS = "leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"
_ESCAPES = [
    "../canary.txt", "/tmp/tfpix2pix-fuzz-outside", f"{NAME}/../../canary.txt", f"{NAME}\\..\\..\\x", "C:x",
    f"{NAME}/train/../../../x", "~/x", f"{NAME}/train/\0x", "." * 300 + "/x", f"{NAME}/train/" + "d/" * 200 + "x", "",
]  # fmt: skip
_KINDS = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]


def tar(rng: random.Random) -> bytes:
    """Returns a `NAME.tar.gz`: a good one, one with a member that has no business there, or one that is spoiled."""
    picture = pictures.valid("jpeg")[0]
    members = [(f"{NAME}/train/{number}.jpg", picture) for number in range(3)]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])) as out:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
        if rng.random() < 0.5:
            info = tarfile.TarInfo(rng.choice([*_ESCAPES, f"{NAME}/train/link"]))
            if rng.random() < 0.5:
                info.type, info.linkname = rng.choice(_KINDS), rng.choice(["../../canary.txt", "/etc/passwd", "0.jpg"])
            out.addfile(info)
    plain = stream.getvalue()
    way = rng.randrange(8)
    if way == 0:
        plain = spoiled(plain, rng, [plain], 2)
    if way == 1:
        return gzip.compress(plain[: -2 * tarfile.BLOCKSIZE]) + _bomb_members(rng)
    packed = gzip.compress(plain, 1)
    return spoiled(packed, rng, [packed, *pictures.valid("png")]) if way in (2, 3, 4) else packed


@functools.cache
def _packed_zeros() -> bytes:
    return gzip.compress(bytes(32 * 2**20), 9)


def _bomb_members(rng: random.Random) -> bytes:
    """Returns the compressed end of a tar: a member, or a member's name, of 512 MB; or 100,000 members."""
    info = tarfile.TarInfo(f"{NAME}/train/9.jpg")
    way = rng.randrange(4)
    if way == 0:
        return gzip.compress(info.tobuf() * 100_000 + bytes(1024))
    info.size = 2**29 if way < 3 else 2**50
    info.type = {1: tarfile.REGTYPE, 2: tarfile.GNUTYPE_LONGNAME, 3: tarfile.REGTYPE}[way]
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT)) + _packed_zeros() * 16 + gzip.compress(bytes(1024))


def cityscapes(rng: random.Random) -> dict[str, bytes]:
    """Returns the two zips of a data set of one pair, one of them spoiled."""
    files: dict[str, bytes] = {}
    wrong = rng.choice([PHOTOS, LABELS])
    for zip_name, folder, ending, mode in ((PHOTOS, "leftImg8bit", "", "RGB"), (LABELS, "gtFine", "_labelIds", "L")):
        name = f"{folder}/train/ulm/ulm_000001_000019_{folder}{ending}.png"
        picture = pictures.saved(Image.new(mode, (32, 16), 7), "PNG")
        members = {name: picture}
        way = rng.randrange(8) if zip_name == wrong else -1
        if way == 0:
            members[name] = spoiled(picture, rng, [picture], 2)
        elif way == 1:
            members[name] = rng.choice([*bombs.bombs("png"), bytes(200 * 2**20)])
        elif way == 2:
            members |= dict.fromkeys([*_ESCAPES[:7], f"{folder}/train/../ulm/../../x.png"], picture)
        data = zipped(members, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
        files[zip_name] = spoiled(data, rng, [data]) if way > 2 else data
    return files


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Returns a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def config(good: str, rng: random.Random) -> bytes:
    """Returns a JSON file whose values, names or bytes are wrong."""
    value = json.loads(good)
    for _ in range(rng.choice([1, 1, 2, 5])):
        value = spoiled_json(value, rng)
    data = text_of(value, rng)
    return spoiled(data, rng, [data]) if rng.random() < 0.3 else data


def checkpoint(good: bytes, rng: random.Random) -> bytes:
    """Returns a checkpoint that is spoiled, or sound as an archive but with something else in it."""
    if rng.random() < 0.5:
        return spoiled(good, rng, [good, *pictures.valid("npy")], rng.choice([1, 2]))
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    way = rng.randrange(7)
    if way == 0:
        del members[name]
    elif way == 1:
        members[rng.choice(["../canary.txt", "x.npy", "/tmp/x.npy", "a/kernel"])] = members[name]
    elif way == 2:
        members["step.json"] = text_of(rng.choice([None, [], {}, "7", 7.5, -1, 10**30, True, float("nan")]), rng)
    elif way == 3:
        members[name] = rng.choice([*bombs.bombs("npy"), *pictures.valid("npy")])
    elif way == 4:
        values = np.ones((3, 4)) * rng.choice([1, float("nan")])
        members[name] = pictures.npy(values.astype(rng.choice(["<f4", ">f4", "<f8", "<i4", "<c8", "<U3", "|b1"])))
    elif way == 5:
        members[name] = spoiled(members[name], rng, [good])
    return zipped(members, zipfile.ZIP_DEFLATED if way == 6 else zipfile.ZIP_STORED)


def keras(good: bytes, rng: random.Random) -> bytes:
    """Returns a `.keras` file that is spoiled, or sound as an archive but with another config or other weights."""
    if rng.random() < 0.4:
        return spoiled(good, rng, [good], rng.choice([1, 2]))
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    way = rng.randrange(5)
    if way == 0:
        members["config.json"] = _with_lambda(members["config.json"])
    elif way == 1:
        members[rng.choice(["../canary.txt", "assets/../../canary.txt", "/tmp/x"])] = b"x"
    elif way == 2:
        members[name] = spoiled(members[name], rng, [good], 2)
    elif way == 3:
        members["model.weights.h5"] = rng.choice([b"", bytes(2**24), members["config.json"]])
    else:
        value: Any = json.loads(members["config.json"])
        for _ in range(rng.choice([1, 3])):
            value = spoiled_json(value, rng)
        members["config.json"] = text_of(value, rng)
    return zipped(members, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))


def _with_lambda(data: bytes) -> bytes:
    """Returns a model's config in which a layer is replaced by code; safe mode refuses it before it looks at it."""
    value = json.loads(data)
    layer = value["config"]["layers"][1]
    layer["class_name"], layer["config"] = "Lambda", {"name": layer["config"]["name"], "function": _code()}
    return json.dumps(value).encode()


def _code() -> Any:
    import base64
    import marshal

    def payload(x: Any) -> Any:
        open("executed", "w").close()  # noqa: PTH123
        return x

    code = base64.b64encode(marshal.dumps(payload.__code__)).decode()
    return {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}
