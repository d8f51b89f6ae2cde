"""A picture of one frame, for people to recognise a study by; never for diagnosis.

Pixels from outside are hostile until shown otherwise: `render` decodes them in a child with little memory and time.
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import uuid
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from reconciliation.dicom.child import ENVIRONMENT, ROOT

MIDDLE = -1  # as a frame number
MEMORY, SECONDS = 1536 << 20, 20  # bytes of address space, seconds of processor time of a child
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
CANNOT = "This image cannot be displayed"
TOLD = 3  # exit status of a child that says why on standard output


class NoPicture(Exception):
    """str() is a sentence for the place where the picture would be."""


def render(path: Path, target: Path, *, frame: int = 0, width: int = 512, timeout: float = 30) -> str:
    """Write a JPEG of one frame (from 0, or MIDDLE) that fits a square of `width` pixels; "" or a sentence why not."""
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    command = [sys.executable, "-m", "reconciliation.dicom.render", str(path.resolve()), str(part.resolve())]
    command += [f"--frame={frame}", f"--width={width}"]
    try:
        child = subprocess.run(
            command,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
        if child.returncode == 0:
            part.replace(target)
            return ""
        told = child.stdout.decode(errors="replace").strip() if child.returncode == TOLD else ""
        return told or f"{CANNOT}: its pixels are damaged, or need too much memory or time."
    except subprocess.TimeoutExpired:
        return f"{CANNOT}: decoding it takes too long."
    finally:
        part.unlink(missing_ok=True)


def picture(path: Path, *, frame: int = 0, width: int = 512) -> bytes:
    """The same in this process and without limits, as bytes. Raises NoPicture, or what a decoder raises."""
    ds = dcmread(path, force=True, defer_size=1024)
    if not any(keyword in ds for keyword in PIXELS):
        raise NoPicture("This object has no pixels.")
    frame = _frame(ds, frame)
    stored = _thinned(pixel_array(_decodable(path, ds), index=frame), width)
    image = Image.fromarray(_colour(stored, ds) if _is_colour(ds, stored) else _grey(stored, _display(ds, frame)))
    image.thumbnail((width, width))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def _frame(ds: Dataset, frame: int) -> int:
    frames = max(1, int(ds.get("NumberOfFrames") or 1))
    return frames // 2 if frame == MIDDLE else min(max(frame, 0), frames - 1)


def _decodable(path: Path, ds: Dataset) -> Path | Dataset:
    """The file itself, of which only one frame is read; all of it where it is deflated, or does not name its syntax."""
    syntax = ds.file_meta.get("TransferSyntaxUID")
    if syntax and syntax != DeflatedExplicitVRLittleEndian:
        return path
    implicit, little = ds.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    whole = dcmread(path, force=True)
    whole.file_meta.TransferSyntaxUID = syntax or (ImplicitVRLittleEndian if implicit else explicit)
    return whole


def _thinned(stored: np.ndarray, width: int) -> np.ndarray:
    """Fewer pixels before the arithmetic; still four times as many as the picture has, for a smooth reduction."""
    step = max(1, max(stored.shape[:2]) // (4 * width))
    return stored[::step, ::step]


def _is_colour(ds: Dataset, stored: np.ndarray) -> bool:
    return stored.ndim == 3 or ds.get("PhotometricInterpretation") == "PALETTE COLOR"


def _colour(stored: np.ndarray, ds: Dataset) -> np.ndarray:
    """RGB in bytes (pydicom has turned YBR into it already)."""
    palette = ds.get("PhotometricInterpretation") == "PALETTE COLOR"
    rgb = apply_color_lut(stored, ds)[..., :3] if palette else stored[..., :3]
    bits = rgb.dtype.itemsize * 8 if palette else int(ds.BitsStored)
    if bits > 8 and (not palette or rgb.max(initial=0) > 0xFF):  # some palettes of 16 bits hold values of 8
        rgb = rgb >> (bits - 8)
    return np.ascontiguousarray(np.clip(rgb, 0, 0xFF).astype(np.uint8))


def _grey(stored: np.ndarray, ds: Dataset) -> np.ndarray:
    """Modality LUT, then VOI LUT or window, in bytes (PS3.3 C.11.1, C.11.2); the background of padding stays black."""
    padding = _padding(stored, ds)
    values = apply_modality_lut(stored, ds)
    if ds.get("VOILUTSequence"):
        shown = _stretched(apply_voi(values, ds).astype(np.float32), padding=None)
    else:
        values = values.astype(np.float32)
        shown = _windowed(values, ds) if _has_window(ds) else _stretched(values, padding)
    shown = np.nan_to_num(np.clip(shown, 0, 1))
    if ds.get("PhotometricInterpretation") == "MONOCHROME1":
        shown = 1 - shown
    shown[padding] = 0
    return (shown * 0xFF).round().astype(np.uint8)


def _padding(stored: np.ndarray, ds: Dataset) -> np.ndarray:
    """Where the image is only filled up (PS3.3 C.7.5.1.1.2): stored values, one or a range, its limits included."""
    value = ds.get("PixelPaddingValue")
    if value is None or stored.dtype.kind == "f":
        return np.zeros(stored.shape, bool)
    limit = ds.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if limit is None else limit)))
    return (stored >= low) & (stored <= high)


def _has_window(ds: Dataset) -> bool:
    return _first(ds, "WindowCenter") is not None and (_first(ds, "WindowWidth") or 0) > 0


def _windowed(values: np.ndarray, ds: Dataset) -> np.ndarray:
    """The first window, as 0 to 1 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    centre, width = _first(ds, "WindowCenter"), _first(ds, "WindowWidth")
    function = ds.get("VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -80, 80)))
    if function == "LINEAR":
        centre, width = centre - 0.5, max(width - 1, 1e-6)
    return (values - centre) / width + 0.5


def _stretched(values: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    """All that the image holds, as 0 to 1; a few outliers are cut off where there is no window to go by."""
    inside = values[np.isfinite(values) if padding is None else np.isfinite(values) & ~padding]
    if not inside.size:
        return np.zeros_like(values)
    low, high = np.percentile(inside, (0.5, 99.5)) if padding is not None else (inside.min(), inside.max())
    if low == high:
        low, high = inside.min(), inside.max()
    return (values - low) / (high - low if high > low else 1)


def _first(ds: Dataset, keyword: str) -> float | None:
    value = ds.get(keyword)
    values = value if isinstance(value, list) or hasattr(value, "__iter__") else [value]
    return next((float(each) for each in values if each is not None), None)


def _display(ds: Dataset, frame: int) -> Dataset:
    """What tells how to show a frame; of an enhanced object, from its functional groups (PS3.3 C.7.6.16)."""
    shared = (ds.get("SharedFunctionalGroupsSequence") or [])[:1]
    single = (ds.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    for group in (*shared, *single):
        for keyword in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(keyword) or []:
                ds.update(item)
    return ds


def main() -> int:
    """The child: limits first, then the pixels."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frame", type=int, default=0)
    parser.add_argument("--width", type=int, default=512)
    asked = parser.parse_args()
    try:
        asked.out.write_bytes(picture(asked.path, frame=asked.frame, width=asked.width))
    except NoPicture as problem:
        sys.stdout.write(str(problem))
        return TOLD
    except MemoryError:
        sys.stdout.write(f"{CANNOT}: decoding it takes too much memory.")
        return TOLD
    except Exception as problem:  # a decoder may raise anything, and this is the door of the child
        reason = (str(problem).splitlines() or [type(problem).__name__])[0][:200].rstrip(".:")
        sys.stdout.write(f"{CANNOT}: {reason}.")
        return TOLD
    return 0


if __name__ == "__main__":
    sys.exit(main())
