"""What of a model is in memory, and when."""

from collections.abc import Sequence
from enum import Enum

# What is read from disk while a network runs, under `Memory.LOW`: lists of blocks, and large parts that are
# called once for a prompt.
STREAMED: dict[str, dict[str, Sequence[str]]] = {
    "transformer": {"blocks": ["transformer_blocks"]},
    "transformer_video": {"blocks": ["transformer_blocks"]},
    "transformer_audio": {"blocks": ["transformer_blocks"]},
    "text_encoder": {"blocks": ["layers"], "parts": ["embed_tokens"]},
    "embeddings_processor": {
        "blocks": [f"{name}_embeddings_connector.transformer_1d_blocks" for name in ("video", "audio")],
        "parts": ["text_embedding_projection"],
    },
}
# Freed memory that MLX keeps for later under `Memory.LOW`: about a block's.
LOW_CACHE_LIMIT = 2**30


class Memory(Enum):
    """What stays resident between the stages of a run.

    FREE: one network at a time; it is dropped when its stage is over and read again when it is needed again.
    KEEP: everything that was loaded stays, for small models and for many clips in a row.
    LOW: as FREE, and the transformer and the text encoder are read from disk block by block, anew each time
        they run: two blocks are in memory.
    """

    FREE = "free"
    KEEP = "keep"
    LOW = "low"
