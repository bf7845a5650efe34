"""Classical measurements on clips (numpy, no networks): what a generated clip really shows and sounds like.

Everything here answers out of the world's vocabulary without being told what was asked for.
"""

from ltx_pocket.world.detectors.measure import Clip, Seen, bounce_sync, listen, look, psnr
from ltx_pocket.world.detectors.movement import Track
from ltx_pocket.world.detectors.sound import Heard
from ltx_pocket.world.detectors.style import is_neon

__all__ = ["Clip", "Heard", "Seen", "Track", "bounce_sync", "is_neon", "listen", "look", "psnr"]
