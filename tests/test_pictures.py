"""Reading uploads: every common kind comes out upright and opaque, everything else is one sentence."""

import io
import random
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from training.pictures import KEPT_SIDE, MAX_BYTES, Crop, PictureError, read, resize, square


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """Red top left, green top right, blue below: the corners tell which way is up."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 5, 5)
    pixels[: height // 2, width // 2 :] = (5, 250, 5)
    pixels[height // 2 :] = (5, 5, 250)
    return Image.fromarray(pixels)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def assert_scene(pixels: np.ndarray) -> None:
    height, width = pixels.shape[:2]
    for y, x, channel in ((height // 4, width // 4, 0), (height // 4, 3 * width // 4, 1), (3 * height // 4, 9, 2)):
        assert pixels[y, x].argmax() == channel
        assert pixels[y, x].max() > 180 and np.sort(pixels[y, x])[1] < 90


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_common_formats(kind):
    picture = read(encode(scene(), kind), f"a.{kind.lower()}")
    assert picture.pixels.dtype == np.uint8 and picture.pixels.shape == (40, 60, 3)
    assert (picture.width, picture.height) == (60, 40)
    assert_scene(picture.pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = scene().transpose(stored[orientation]) if orientation in stored else scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read(encode(image, "JPEG", exif=exif, quality=95), "turned.jpg")
    assert picture.pixels.shape == (40, 60, 3) and (picture.width, picture.height) == (60, 40)
    assert_scene(picture.pixels)


def test_transparency_lies_over_white():
    rgba = scene().convert("RGBA")
    rgba.putalpha(Image.fromarray(np.repeat([[0], [255]], 20, axis=0).repeat(60, axis=1).astype(np.uint8)))
    pixels = read(encode(rgba, "PNG"), "logo.png").pixels
    assert (pixels[:20] == 255).all() and pixels[30, 30].argmax() == 2
    palette = scene().quantize(8)
    hidden = palette.getpixel((0, 0))
    assert (read(encode(palette, "PNG", transparency=hidden), "p.png").pixels[5, 5] == 255).all()
    assert (read(encode(palette, "GIF", transparency=hidden), "p.gif").pixels[5, 5] == 255).all()
    half = Image.new("LA", (8, 8), (0, 128))
    assert abs(int(read(encode(half, "PNG"), "la.png").pixels[0, 0, 0]) - 127) <= 1


def test_grey_16_bit_one_bit_and_cmyk():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(8, axis=0)
    pixels = read(encode(Image.fromarray(ramp), "PNG"), "deep.png").pixels
    assert pixels[0, 0, 0] == 0 and pixels[0, -1, 0] == 255 and abs(int(pixels[0, 32, 0]) - 129) <= 2
    grey = read(encode(scene().convert("L"), "JPEG"), "grey.jpg").pixels
    assert grey.shape == (40, 60, 3) and (grey[..., 0] == grey[..., 2]).all()
    assert set(np.unique(read(encode(scene().convert("1"), "PNG"), "bits.png").pixels)) <= {0, 255}
    assert_scene(read(encode(scene().convert("CMYK"), "JPEG", quality=95), "print.jpg").pixels)


def test_first_frame_of_an_animation():
    frames = [scene(), Image.new("RGB", (60, 40), "white")]
    picture = read(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]), "moving.gif")
    assert_scene(picture.pixels)
    assert "first frame" in picture.notes


def test_twelve_megapixels_turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = scene(4000, 3000).transpose(Image.Transpose.ROTATE_90)
    picture = read(encode(photo, "JPEG", exif=exif), "phone.jpg")
    assert max(picture.pixels.shape) == KEPT_SIDE and (picture.width, picture.height) == (4000, 3000)
    assert_scene(picture.pixels)
    assert "turned upright" in picture.notes


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has hardly any data: a decompression bomb."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, I am a text file", "not a picture"),
        (b"%PDF-1.7\n" + bytes(100), "not a picture"),
        (encode(scene(), "TIFF"), "not a picture"),
        (encode(scene(), "JPEG")[:400], "broken"),
        (encode(scene(300, 200), "PNG")[:200], "broken"),
        (bytes([0, 0, 0, 24]) + b"ftypheic" + bytes(200), "HEIC"),
        (bytes([0, 0, 0, 24]) + b"ftypavif" + bytes(200), "AVIF"),
        (png_header(9000, 9000), "at most 64 million"),
        (png_header(60000, 60000), "at most 64 million"),
        (bytes(41 * 2**20), "at most 40 MB"),
    ],
    ids=["empty", "text", "pdf", "tiff", "cut jpeg", "cut png", "heic", "avif", "bomb", "larger bomb", "large file"],
)
def test_refused_in_one_sentence(data, says):
    with pytest.raises(PictureError) as caught:
        read(data, "../holiday\n/IMG 1.jpg")
    message = str(caught.value)
    assert message.startswith("IMG 1.jpg ") and says in message
    assert message.count("\n") == 0 and message.endswith(".")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP"]), st.integers(0, 2**32 - 1))
def test_no_damage_gets_through_as_anything_but_a_picture_or_a_sentence(kind, seed):
    rng = random.Random(seed)
    data = bytearray(encode(scene(), kind))
    for _ in range(rng.randint(1, 12)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    data = data[: rng.randint(1, len(data))] if rng.random() < 0.3 else data
    try:
        picture = read(bytes(data), "x")
    except PictureError:
        return
    assert picture.pixels.ndim == 3 and picture.pixels.shape[2] == 3


def test_crop_stays_inside_and_is_square():
    pixels = np.asarray(scene(60, 40))
    assert Crop().box(60, 40) == (10, 0, 40)
    assert Crop(1.0, 1.0, 0.5).box(60, 40) == (40, 20, 20)
    assert square(pixels).shape == (40, 40, 3)
    assert square(pixels, Crop(0, 0, 0.25)).shape == (10, 10, 3)
    assert (square(pixels, Crop(0, 0, 0.25)) == pixels[:10, :10]).all()
    assert Crop(0.5, 0.5, 0.0).box(60, 40)[2] == 1


def test_resize_gives_back_an_enlarged_picture_exactly():
    small = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert (resize(small, 32) == small).all()
    assert (resize(small.repeat(7, axis=0).repeat(7, axis=1), 32) == small).all()
    assert resize(small, 224).shape == (224, 224, 3)
    assert resize(np.zeros((1, 1, 3), np.uint8), 32).shape == (32, 32, 3)


def test_the_app_takes_uploads_as_large_as_are_read():
    config = tomllib.loads((Path(__file__).parent.parent / ".streamlit" / "config.toml").read_text())
    assert config["server"]["maxUploadSize"] * 2**20 == MAX_BYTES
