"""How strongly appended conditioning and generated tokens attend to each other."""

import mlx.core as mx

from ltx_core.conditioning.item import ConditioningItem
from ltx_core.conditioning.mask_utils import update_attention_mask
from ltx_core.tools import LatentTools
from ltx_core.types import LatentState


class ConditioningItemAttentionStrengthWrapper:
    """Gives the tokens that another item appends an attention strength.

    An item that appends no tokens is left as it is.

    Args:
        conditioning: the item.
        attention_mask: strength in [0, 1] between its tokens and the target's, in both directions: one
            number, or one per appended token, (M,) or (B, M).
    """

    def __init__(self, conditioning: ConditioningItem, attention_mask: float | mx.array) -> None:
        self.conditioning = conditioning
        self.attention_mask = attention_mask

    def apply_to(self, latent_state: LatentState, latent_tools: LatentTools) -> LatentState:
        """The item's state, with an attention mask.

        Raises:
            ConditioningError: if the item or the strengths do not fit the state.
        """
        state = self.conditioning.apply_to(latent_state, latent_tools)
        new_tokens = state.latent.shape[1] - latent_state.latent.shape[1]
        if new_tokens == 0:
            return state
        mask = update_attention_mask(latent_state, self.attention_mask, latent_tools.num_tokens, new_tokens)
        return state.replace(attention_mask=mask)
