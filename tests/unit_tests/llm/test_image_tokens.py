"""Images count as OpenAI's guide says, by tiles or by patches; of one that cannot be read, the most."""

from __future__ import annotations

import base64
import struct

import pytest
from pydantic import ValidationError

from shared.llm.image_tokens import ImageTokens, PromptImage, read_image_size
from shared.llm.packaged_models import packaged_models

TILES = ImageTokens(base=85, tile=170)
PATCHES = ImageTokens(patches=1_536, factor=1.62)


def png(width: int, height: int) -> str:
    """Write the beginning of a PNG as a `data:` URL."""
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height)
    return "data:image/png;base64," + base64.b64encode(head + bytes(40)).decode()


def jpeg_size(width: int, height: int) -> bytes:
    """Write the segment of a JPEG that has its size."""
    return b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + bytes(10)


def jpeg_of(*segments: bytes) -> str:
    """Write the segments of a JPEG, and the beginning of its scan."""
    content = b"\xff\xd8" + b"".join(segments) + b"\xff\xda" + bytes(40)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def jpeg(width: int, height: int) -> str:
    """Write the beginning of a JPEG, with a segment of its camera's before its size."""
    camera = b"\xff\xe1" + struct.pack(">H", 1_000) + bytes(998)
    return jpeg_of(camera, jpeg_size(width, height))


def gif(width: int, height: int, frame: tuple[int, int] = (1, 1)) -> str:
    """Write the beginning of a GIF, with a table of two colours and a comment before its first frame."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    comment = b"\x21\xfe\x02hi\x00"
    content = screen + comment + b"\x2c" + struct.pack("<HHHHB", 0, 0, *frame, 0)
    return "data:image/gif;base64," + base64.b64encode(content).decode()


@pytest.mark.parametrize("write", [png, jpeg, gif])
def test_the_size_of_an_image_in_the_prompt_is_read(write: object) -> None:
    assert callable(write)
    assert read_image_size(write(1_024, 640)) == (1_024, 640)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x.png",
        "data:image/png;base64,",
        "data:image/png;base64,!!!!",
        "data:image/png,x",
        "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8" + b"\xff\xe1\x00\x00" * 50).decode(),
        "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff").decode(),
        png(0, 10),
        png(1, 1)[:40],
    ],
)
def test_an_image_that_cannot_be_read_has_no_size(url: str) -> None:
    assert read_image_size(url) is None


@pytest.mark.parametrize(
    "url",
    [
        gif(1, 1, (2_048, 768)),
        jpeg_of(jpeg_size(1, 1), jpeg_size(2_048, 768)),
        # Filled up markers, which one who does not know them takes for a segment up to the small size.
        jpeg_of(b"\xff" + jpeg_size(2_048, 768), jpeg_size(1, 1)),
    ],
)
def test_an_image_that_is_read_in_two_ways_counts_as_the_larger(url: str) -> None:
    assert read_image_size(url) == (2_048, 768)


@pytest.mark.parametrize("odd", [b"\xff\x01", b"\xff\xd0", b"\x00"])
def test_a_jpeg_that_viewers_may_read_differently_has_no_size(odd: bytes) -> None:
    assert read_image_size(jpeg_of(odd, jpeg_size(1, 1))) is None


@pytest.mark.parametrize(
    ("size", "detail", "tokens"),
    [
        ((1_024, 1_024), "high", 765),  # the guide's own examples
        ((2_048, 4_096), "high", 1_105),
        ((2_048, 4_096), "low", 85),
        ((512, 512), None, 255),
        ((513, 512), "auto", 425),
        (None, "high", 1_445),
        (None, "low", 85),
        ((100_000, 1), "high", 85 + 4 * 170),
    ],
)
def test_tiles_are_counted_as_the_guide_does(
    size: tuple[int, int] | None, detail: str | None, tokens: int
) -> None:
    assert TILES.count(PromptImage(detail, size)) == tokens


@pytest.mark.parametrize(
    ("size", "tokens"), [((1_024, 1_024), 1_659), ((32, 33), 4), ((9_000, 9_000), 2_489), (None, 2_489)]
)
def test_patches_are_counted_up_to_their_limit(size: tuple[int, int] | None, tokens: int) -> None:
    assert PATCHES.count(PromptImage("low", size)) == tokens


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"base": 1},
        {"patches": 1},
        {"base": 1, "factor": 1.0},
        {"base": 1, "tile": 1, "patches": 1, "factor": 1},
    ],
)
def test_a_formula_is_one_of_both(said: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        ImageTokens.model_validate(said)


def test_every_packaged_formula_is_one() -> None:
    formulas = {name: one.images for name, one in packaged_models().items() if one.images is not None}

    assert formulas["gpt-4o"] == TILES
    assert "o3-mini" not in formulas
    assert "text-embedding-3-small" not in formulas
