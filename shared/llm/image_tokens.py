"""Tokens of images in prompts, by the formulas of OpenAI's guide "Images and vision"."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.validation import refuse_value

LOW = "low"
"""The detail in which an image is looked at as a whole, and not tile by tile."""

_LONGEST_SIDE = 2_048
_SHORTEST_SIDE = 768
_TILE = 512
_PATCH = 32
_MOST_TILES = 8
"""Of an image of 768 by 2,048 pixels, the largest that is looked at in tiles."""

_HEADER_CHARACTERS = 256 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_MARKER = 0xFF
_JPEG_SCAN = 0xDA
_JPEG_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})
_GIF_TABLE = 0x80
_GIF_EXTENSION = 0x21
_GIF_FRAME = 0x2C

type ImageSize = tuple[int, int]
"""Width and height in pixels."""


class ImageTokens(BaseModel):
    """Tokens that a model counts for an image: by tiles of 512 pixels, or by patches of 32.

    Attributes:
        base: Those of any image, and all of one in low detail, for a model that counts tiles.
        tile: Those of each tile; without it, the model counts patches.
        patches: The most patches of an image; a larger one is scaled down to them.
        factor: The tokens of each patch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base: int | None = Field(None, ge=0, le=100_000)
    tile: int | None = Field(None, ge=1, le=100_000)
    patches: int | None = Field(None, ge=1, le=100_000)
    factor: float | None = Field(None, ge=0.01, le=1_000)

    @model_validator(mode="after")
    def _has_one_formula(self) -> Self:
        tiles, patches = (self.base, self.tile), (self.patches, self.factor)
        given = [one for one in (tiles, patches) if None not in one]
        if len(given) != 1 or [*tiles, *patches].count(None) != len(tiles):
            raise refuse_value("either base and tile, or patches and factor are needed")
        return self

    def count(self, image: PromptImage) -> int:
        """Return the tokens of an image: of one whose size is not known, the most that there can be."""
        if self.base is not None and self.tile is not None:
            if image.detail == LOW:
                return self.base
            return self.base + self.tile * (_MOST_TILES if image.size is None else _tiles(*image.size))
        most = self.patches or 0
        patches = most if image.size is None else min(most, _patches(*image.size))
        return math.ceil(patches * (self.factor or 0.0))


@dataclass(frozen=True, slots=True)
class PromptImage:
    """Image in a prompt.

    Attributes:
        detail: The detail in which it is to be looked at, where that is said.
        size: Its size, where it is in the prompt itself and can be read.
    """

    detail: str | None = None
    size: ImageSize | None = None


def read_image_size(url: str) -> ImageSize | None:
    """Read an image's size out of a `data:` URL; None of any other, and of an image that is not readable."""
    if not url.startswith("data:"):
        return None
    encoded = url.partition(",")[2][:_HEADER_CHARACTERS]
    try:
        content = base64.b64decode(encoded[: len(encoded) // 4 * 4], validate=True)
        size = _size_of(content)
    except (binascii.Error, struct.error, IndexError, ValueError):
        return None
    return size if size is not None and min(size) > 0 else None


def _size_of(content: bytes) -> ImageSize | None:
    """Read a size as the widest of viewers does: of what they read differently, the most counts."""
    if content.startswith(_PNG) and content[12:16] == b"IHDR":
        width, height = struct.unpack_from(">II", content, 16)
        return width, height
    if content[:6] in {b"GIF87a", b"GIF89a"}:
        return _size_of_gif(content)
    if content.startswith(_JPEG):
        return _size_of_jpeg(content)
    return None


def _size_of_gif(content: bytes) -> ImageSize | None:
    """Return the size of the screen, or of the first frame where that is larger."""
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    place = 13 + (3 << (flags & 7) + 1 if flags & _GIF_TABLE else 0)
    while content[place] == _GIF_EXTENSION:
        place += 2
        while content[place]:
            place += 1 + content[place]
        place += 1
    if content[place] != _GIF_FRAME:
        return None
    left, top, wide, high = struct.unpack_from("<HHHH", content, place + 1)
    return max(width, left + wide), max(height, top + high)


def _size_of_jpeg(content: bytes) -> ImageSize | None:
    """Walk over the segments of a JPEG to its scan, and return the largest size that one of them has."""
    place, size = 2, (0, 0)
    while content[place] == _JPEG_MARKER:
        kind = content[place + 1]
        if kind == _JPEG_SCAN:
            return size
        if kind in _JPEG_WITHOUT_LENGTH:
            return None
        if kind == _JPEG_MARKER:  # a marker may be filled up with these
            place += 1
            continue
        (length,) = struct.unpack_from(">H", content, place + 2)
        if kind in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", content, place + 5)
            size = max(size[0], width), max(size[1], height)
        place += 2 + max(length, 2)
    return None


def _tiles(width: int, height: int) -> int:
    """Count the tiles of an image that was fit into 2,048 pixels, and its shorter side into 768."""
    scale = min(1.0, _LONGEST_SIDE / max(width, height), _SHORTEST_SIDE / min(width, height))
    tiles = math.ceil(width * scale / _TILE) * math.ceil(height * scale / _TILE)
    return min(tiles, _MOST_TILES)


def _patches(width: int, height: int) -> int:
    return math.ceil(width / _PATCH) * math.ceil(height / _PATCH)
