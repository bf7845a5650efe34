"""Conditioning images: reading, re-compressing and fitting them (spec: pipelines.md, section 4)."""

import io
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import mlx.core as mx
import numpy as np
from ltx_core import ConfigError, LTXError
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ltx_pipelines.resize import normalize_images, resize_and_center_crop


class MediaError(LTXError):
    """An image, a video or a sound cannot be read or written."""


@dataclass(frozen=True, eq=False)
class ImageCondition:
    """An image that the clip shows at one of its frames.

    Attributes:
        image: path of an image file, or uint8 pixels (H, W, 3).
        frame: pixel frame; -1 is the last one.
        strength: 1 keeps the image as it is, lower values let the model change it more.
        crf: H.264 quality (0 to 51, 0 = leave it alone) that the image is re-compressed at before encoding;
            None takes the model's. Without it, images are sharper than anything the model saw in training,
            and it freezes the motion.
    """

    image: str | Path | np.ndarray
    frame: int = 0
    strength: float = 1.0
    crf: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"image strength {self.strength} is not between 0 and 1")
        if self.crf is not None and not 0 <= self.crf <= 51:
            raise ConfigError(f"image crf {self.crf} is not between 0 (none) and 51")
        if isinstance(self.image, np.ndarray) and (
            self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8
        ):
            raise ConfigError(
                f"image pixels must be uint8 (H, W, 3), got {self.image.dtype} {self.image.shape}"
            )

    def resolve_frame(self, num_frames: int) -> int:
        """The pixel frame counted from the start.

        Raises:
            ConfigError: the clip has no such frame.
        """
        frame = self.frame + num_frames if self.frame < 0 else self.frame
        if not 0 <= frame < num_frames:
            raise ConfigError(
                f"image frame {self.frame} is outside the clip; it has frames 0 to {num_frames - 1} "
                "(-1 is the last one)"
            )
        return frame

    def check(self) -> None:
        """Raise MediaError if the image is a file that cannot be read."""
        if not isinstance(self.image, np.ndarray):
            read_image(self.image)

    def describe(self) -> dict[str, Any]:
        """Plain values for records."""
        image = f"array {self.image.shape}" if isinstance(self.image, np.ndarray) else str(self.image)
        return {"image": image, "frame": self.frame, "strength": self.strength, "crf": self.crf}

    def pixels(self, default_crf: int) -> np.ndarray:
        """The image as the encoder should see it before resizing: uint8 (H, W, 3), re-compressed.

        Raises:
            MediaError: the file is missing or is no readable image.
        """
        pixels = self.image if isinstance(self.image, np.ndarray) else read_image(self.image)
        crf = default_crf if self.crf is None else self.crf
        return recompress(pixels, crf) if crf else pixels


def read_image(path: str | Path) -> np.ndarray:
    """RGB pixels of an image file, uint8 (H, W, 3): upright (EXIF), in sRGB (ICC), without alpha.

    Raises:
        MediaError: the file is missing or is no readable image.
    """
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            profile = file.info.get("icc_profile")
            if profile and image.mode in ("RGB", "RGBA"):
                image = _to_srgb(image.convert("RGB"), profile)
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise MediaError(f"the image {path} does not exist; check the path") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow's own message for a file of another kind only repeats the path.
        why = "" if isinstance(error, UnidentifiedImageError) else f" ({error})"
        raise MediaError(f"{path} is not a readable image{why}; use PNG, JPEG or WebP") from None


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Colours as the file's profile means them; a broken profile is ignored, as viewers do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError):
        return image
    return image if converted is None else converted


def recompress(pixels: np.ndarray, crf: int) -> np.ndarray:
    """One H.264 frame at quality `crf` and back; odd sizes lose a row or column. uint8 (H, W, 3).

    Raises:
        MediaError: ffmpeg failed.
    """
    height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
    if min(height, width) < 2:
        return pixels
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    quiet = [ffmpeg, "-v", "error", "-nostdin"]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    encode = ["-s", f"{width}x{height}", "-r", "1", "-i", "-", "-frames:v", "1", "-c:v", "libx264"]
    # Colours and slices as the reference's library makes them: ffmpeg's own choices give other pixels.
    colours = ["-vf", "scale=flags=bilinear,format=yuv420p", "-thread_type", "slice"]
    codec = [*colours, "-crf", str(crf), "-preset", "veryfast", "-f", "h264", "-"]
    frame = np.ascontiguousarray(pixels[:height, :width])
    # -nostdin keeps ffmpeg from reading commands; its input still comes through the pipe.
    coded = _pipe([*quiet, *raw, *encode, *codec], frame.tobytes())
    decoded = _pipe([*quiet, "-f", "h264", "-i", "-", "-frames:v", "1", *raw, "-"], coded)
    if len(decoded) != frame.size:
        raise MediaError("ffmpeg returned no picture for the re-compressed image; crf 0 skips that step")
    return np.frombuffer(decoded, np.uint8).reshape(frame.shape)


def _pipe(command: list[str], data: bytes) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    if done.returncode:
        raise MediaError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def image_tensor(pixels: np.ndarray, height: int, width: int) -> mx.array:
    """Pixels (H, W, 3) fitted to a size and scaled to [-1, 1]: (1, 3, 1, height, width) float32."""
    return mx.array(normalize_images(resize_and_center_crop(pixels, height, width)))
