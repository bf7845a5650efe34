"""Cheap checks between the stages: a broken run ends with a sentence instead of black frames."""

import mlx.core as mx
from ltx_core import LTXError

ADVICE = {
    "encode prompt": "the text encoder or the text connectors are damaged or belong to another model; check "
    "the Gemma folder and the checkpoint",
    "decode video": "the latents were sound, so the video decoder failed; decode with dtype float32, or get "
    "the checkpoint again",
    "decode audio": "the latents were sound, so the audio decoder or the vocoder failed; get the checkpoint "
    "again",
}
DENOISING_ADVICE = (
    "try dtype float32, another seed, less guidance, or images and LoRAs taken away one by one; if nothing "
    "helps, the checkpoint is damaged"
)


class BrokenSignalError(LTXError):
    """A stage produced NaN, infinity, or the same number everywhere."""


def check_signal(stage: str, what: str, array: mx.array, *, may_be_constant: bool = False) -> None:
    """Raise BrokenSignalError if an array is broken; costs one pass over it.

    Args:
        stage: that made it, as in events.
        what: the array's name for people.
        may_be_constant: for signals that are rightly constant at times, such as black frames or silence.
    """
    values = array.astype(mx.float32)
    finite = mx.isfinite(values)
    count, low, high = (value.item() for value in (mx.sum(~finite), mx.min(values), mx.max(values)))
    advice = ADVICE.get(stage, DENOISING_ADVICE)
    if count:
        raise BrokenSignalError(
            f"{stage}: {count} of {array.size} values of the {what} are NaN or infinite; {advice}"
        )
    if not may_be_constant and array.size > 1 and low == high:
        raise BrokenSignalError(f"{stage}: the {what} has collapsed to {low:g} everywhere; {advice}")
