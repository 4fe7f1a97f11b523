"""Read pictures that people upload: any common format, upright, opaque, of bounded size.

`read` takes the bytes of a file and gives back its pixels, or raises `PictureError` with one
sentence that names the file.  Nothing else escapes it, whatever the bytes are.  `square` and
`resize` then make what a network sees.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from threading import Lock

import numpy as np
from PIL import Image

MAX_BYTES = 40 * 2**20
MAX_PIXELS = 64_000_000  # decoded, 4 bytes a pixel, and once more while it becomes RGB: 600 MB at most, freed at once
KEPT_SIDE = 2048  # the longer side of what is kept
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # Pillow's names; its other decoders are never asked
_KINDS = "JPEG, PNG, WebP, GIF or BMP"
_one = Lock()  # decodes at a time: of a class that drops its pictures in together


class PictureError(ValueError):
    """A file that is no picture we can read.  The message is made to be shown."""


@dataclass(frozen=True)
class Picture:
    """`pixels`: uint8 (height, width, 3), upright, over white, its longer side at most `KEPT_SIDE`.

    `width` and `height` are those of the file, upright; `notes` say what was changed.
    """

    name: str
    pixels: np.ndarray
    width: int
    height: int
    notes: tuple[str, ...] = ()


def read(data: bytes, name: str) -> Picture:
    """The picture in `data`, the content of the file called `name`; raises `PictureError`."""
    name = _plain(name)
    if not data:
        raise PictureError(f"{name} is empty: choose a {_KINDS} picture.")
    if len(data) > MAX_BYTES:
        raise PictureError(f"{name} is too large: at most {MAX_BYTES // 2**20} MB are read; save it smaller.")
    if _is_heif(data):
        raise PictureError(
            f"{name} is a HEIC or AVIF picture, which cannot be read here: save or send it as JPEG and try again."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of sizes; both are handled here
            with _one, Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return _convert(image, name)
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(f"{name} has too many pixels; at most {MAX_PIXELS // 10**6} million are read.") from None
    except Image.UnidentifiedImageError:
        raise PictureError(f"{name} is not a picture that can be read here: choose a {_KINDS} file.") from None
    except MemoryError:
        raise PictureError(f"{name} needs more memory than there is: save it smaller.") from None
    except Exception:  # Pillow's decoders raise almost anything on broken files: SyntaxError, struct.error, ...
        raise PictureError(f"{name} is broken or cut short: save it again as JPEG or PNG.") from None


def _convert(image: Image.Image, name: str) -> Picture:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name} has {width} x {height} pixels; at most {MAX_PIXELS // 10**6} million are read: save it smaller."
        )
    notes = []
    if image.format in ("GIF", "WEBP", "PNG") and getattr(image, "is_animated", False):
        notes.append("first frame")
    orientation = _orientation(image)
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (KEPT_SIDE, KEPT_SIDE))  # decode at a half or a quarter where that is enough
    image.load()
    image = _to_rgb(image)
    image.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.BOX)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
        notes.append("turned upright")
        if orientation >= 5:
            width, height = height, width
    return Picture(name, np.asarray(image), width, height, tuple(notes))


_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or the metadata are broken."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16-bit grey: Pillow's own conversion would clip at 255
        values = np.asarray(image)
        grey = np.empty(values.shape, np.uint8)
        for row, line in enumerate(values):
            grey[row] = (np.clip(line.astype(np.float64), 0, 65535) / 257).round()
        image = Image.fromarray(grey)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")  # palettes, grey, 1 bit, CMYK


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in (
        b"heic",
        b"heix",
        b"hevc",
        b"heim",
        b"heis",
        b"mif1",
        b"msf1",
        b"avif",
    )


def _plain(name: str) -> str:
    """The last part of a file name, printable and short, so that a sentence can hold it."""
    name = "".join(c for c in name.replace("\\", "/").rsplit("/", 1)[-1] if c.isprintable()) or "The file"
    return name if len(name) <= 60 else name[:40] + "…" + name[-19:]


# --- What a network sees ---------------------------------------------------------------------


@dataclass(frozen=True)
class Crop:
    """A square of a picture: its centre as fractions of width and height, and its side as a
    fraction of the shorter side.  The square is moved, not cut, where it would leave the picture."""

    x: float = 0.5
    y: float = 0.5
    size: float = 1.0

    def box(self, width: int, height: int) -> tuple[int, int, int]:
        """Left, top and side in pixels of a picture of `width` times `height`."""
        side = min(max(round(self.size * min(width, height)), 1), min(width, height))
        left = round(self.x * width - side / 2)
        top = round(self.y * height - side / 2)
        return min(max(left, 0), width - side), min(max(top, 0), height - side), side


def square(pixels: np.ndarray, crop: Crop | None = None) -> np.ndarray:
    """The square `crop` of uint8 (height, width, 3) pixels; the centred one, as large as it fits, by default."""
    left, top, side = (crop or Crop()).box(pixels.shape[1], pixels.shape[0])
    return pixels[top : top + side, left : left + side]


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Square uint8 pixels at `size` times `size`: the mean of each area when shrinking, bicubic when growing.

    A picture that has the size already, or is an enlargement by a whole factor, comes out exactly.
    """
    if pixels.shape[:2] == (size, size):
        return pixels
    how = Image.Resampling.BOX if min(pixels.shape[:2]) >= size else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize((size, size), how))
