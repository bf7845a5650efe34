"""Whether a model is distilled, that is made for few steps without guidance, and what follows from it.

No official file states it: in metadata, config and tensors the two kinds are alike. The published ones have
it in their names (`ltx-2.3-22b-dev`, `ltx-2.3-22b-distilled-1.1`); of a checkpoint with any other name it is
not known.
"""

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_core import ConfigError, MultiModalGuiderParams

from ltx_pipelines.config import Guidance

if TYPE_CHECKING:
    from ltx_pipelines.models import ModelSource

PUBLISHED = re.compile(r"ltx-2.*-(dev|distilled)\b")


class ModelWarning(UserWarning):
    """What was asked for does not suit the model, and is done all the same."""


def is_distilled(checkpoint: Path) -> bool | None:
    """What the name of a checkpoint says, or of a folder the names of its files, or the scheduler that a
    diffusers repository has; None: nothing, or two things."""
    paths = [checkpoint, *checkpoint.glob("*.safetensors"), *checkpoint.glob("*/*.safetensors")]
    names = [path.name.lower() for path in paths if "lora" not in path.name.lower()]
    kinds = {match[1] for name in names if (match := PUBLISHED.match(name))}
    if len(kinds) == 1:
        return kinds == {"distilled"}
    try:
        scheduler = json.loads(
            (checkpoint / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8")
        )
        # A distilled model's sigmas are used as they are.
        return scheduler["use_dynamic_shifting"] is False
    except (OSError, ValueError, KeyError, TypeError):
        return None


def require_distilled(models: "ModelSource") -> None:
    """Raise ConfigError if the models are known not to be distilled."""
    if models.distilled is False:
        raise ConfigError(
            f"{models.name} is not distilled, and this pipeline runs the distilled schedule; add the "
            "distilled LoRA, take the distilled checkpoint, or choose a guided pipeline such as one-stage"
        )


def warn_of_guidance(models: "ModelSource", *guidance: Guidance) -> None:
    """A ModelWarning if the models are known to be distilled and any guidance is not neutral."""
    if models.distilled and not all(map(_is_neutral, guidance)):
        warnings.warn(
            f"{models.name} is distilled, so that it needs no guidance and looks overdone with it; choose "
            "the distilled pipeline, or take the dev checkpoint",
            ModelWarning,
            stacklevel=2,
        )


def _is_neutral(guidance: Guidance) -> bool:
    if isinstance(guidance, MultiModalGuiderParams):
        levels = [guidance]
    else:
        levels = [params for _, params in guidance.params_by_sigma]
    return all((params.cfg_scale, params.stg_scale, params.modality_scale) == (1, 0, 1) for params in levels)
