"""`ltx pocket evaluate`: the whole measurement."""

import json
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from ltx_core import ConfigError
from ltx_core.device import backend, resolve_dtype
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ltx_pocket import configs
from ltx_pocket.evaluate.autoencoders import measure_sound, measure_video
from ltx_pocket.evaluate.judge import cases
from ltx_pocket.evaluate.makers import PipelineName, Size, make_maker, open_models
from ltx_pocket.evaluate.parts import measure_images, measure_prompts
from ltx_pocket.evaluate.sheet import ContactSheet
from ltx_pocket.evaluate.tables import autoencoders_table, clips_table, mistakes_line
from ltx_pocket.pack import WEIGHTS
from ltx_pocket.train.data import held_out
