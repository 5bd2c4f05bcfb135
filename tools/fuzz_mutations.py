"""Mutations of slides and annotations: what copying, disks and other programs do to files."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tifffile

# (the file's bytes, random numbers) -> the changed bytes
Mutation = Callable[[bytes, random.Random], bytes]
BYTES_OF_TAG = 12  # an entry of a classic TIFF's directory
# Values that break assumptions: none, one, the largest, and those around signs and tiles.
ODD_NUMBERS = (0, 1, 2, 3, 255, 256, 257, 32_767, 65_535, 2**31 - 1, 2**31, 2**32 - 1)


def cut(content: bytes, rng: random.Random) -> bytes:
    """An interrupted copy."""
    return content[: rng.randrange(len(content))]


def flip_bytes(content: bytes, rng: random.Random) -> bytes:
    """Some wrong bytes anywhere."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 4, 64, 1024])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def blank_block(content: bytes, rng: random.Random) -> bytes:
    """A block that the disk lost."""
    size = min(rng.choice([512, 4096, 65_536]), len(content) // 2)
    start = rng.randrange(len(content) - size)
    return content[:start] + bytes(size) + content[start + size :]


def swap_blocks(content: bytes, rng: random.Random) -> bytes:
    """Two blocks in the wrong order."""
    size = min(rng.choice([512, 4096, 65_536]), len(content) // 3)
    first = rng.randrange(len(content) - 2 * size)
    second = rng.randrange(first + size, len(content) - size + 1)
    changed = bytearray(content)
    changed[first : first + size] = content[second : second + size]
    changed[second : second + size] = content[first : first + size]
    return bytes(changed)


def append(content: bytes, rng: random.Random) -> bytes:
    """Bytes after the end, which change nothing."""
    return content + rng.randbytes(rng.choice([1, 1000]))


def tag_mutation(slide: Path) -> Mutation:
    """A wrong number in a directory of a TIFF slide: a tag's code, type, count or value."""
    with tifffile.TiffFile(slide) as tiff:
        entries = [tag.offset for page in tiff.pages for tag in page.tags.values()]
        order = tiff.byteorder

    def mutate(content: bytes, rng: random.Random) -> bytes:
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 5])):
            start = rng.choice(entries)
            place, form = rng.choice([(0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I")])
            number = rng.choice([*ODD_NUMBERS, rng.randrange(2**32)])
            struct.pack_into(order + form, changed, start + place, number % 2 ** (8 * _size(form)))
        return bytes(changed)

    return mutate


def description_mutation(slide: Path) -> Mutation:
    """A wrong character in the description, which holds um/px and magnification."""
    with tifffile.TiffFile(slide) as tiff:
        tags = [page.tags.get("ImageDescription") for page in tiff.pages]
    places = [(tag.valueoffset, tag.count) for tag in tags if tag is not None and tag.count > 4]

    def mutate(content: bytes, rng: random.Random) -> bytes:
        changed = bytearray(content)
        start, count = rng.choice(places)
        for _ in range(rng.choice([1, 3, 20])):
            changed[start + rng.randrange(count)] = rng.choice(b"0123456789.,-|= MPA\0\xff")
        return bytes(changed)

    return mutate


def scale_mutation(slide: Path) -> Mutation:
    """A wrong digit of the um/px or the magnification in an Aperio description."""
    content = slide.read_bytes()
    found = re.finditer(rb"(?:MPP|AppMag) = ([0-9.]+)", content)
    places = [place for match in found for place in range(match.start(1), match.end(1))]

    def mutate(content: bytes, rng: random.Random) -> bytes:
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 4])):
            if places:
                changed[rng.choice(places)] = rng.choice(b"0123456789.,- ")
        return bytes(changed)

    return mutate


def slide_mutations(slide: Path) -> dict[str, Mutation]:
    return {
        "cut": cut,
        "bytes": flip_bytes,
        "blank block": blank_block,
        "swapped blocks": swap_blocks,
        "appended": append,
        "tag": tag_mutation(slide),
        "description": description_mutation(slide),
        "scale": scale_mutation(slide),
    }


def change_json(content: bytes, rng: random.Random) -> bytes:
    """A document whose parts have other types, are missing, or stand twice."""
    document = json.loads(content)
    for _ in range(rng.choice([1, 1, 3])):
        parent, key = rng.choice(list(_places(document)))
        way = rng.choice(["delete", "replace", "twice"])
        if way == "delete":
            del parent[key]
        elif way == "replace":
            odd = [None, True, -1, 1e308, "", "Tumor", [], {}, [[]], [1, 2], {"type": "Feature"}]
            parent[key] = rng.choice(odd)
        elif isinstance(parent, list):
            parent.insert(key, parent[key])
        if not document:
            break
    return json.dumps(document).encode()


ANNOTATION_MUTATIONS: dict[str, Mutation] = {
    "cut": cut,
    "bytes": flip_bytes,
    "JSON": change_json,
    "JSON again": lambda content, rng: change_json(change_json(content, rng) or b"[]", rng),
}


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    keys: list[Any] = []
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = list(range(len(document)))
    found = [(document, key) for key in keys]
    for key in keys:
        found += _places(document[key])
    return found


def _size(form: str) -> int:
    return struct.calcsize(form)
