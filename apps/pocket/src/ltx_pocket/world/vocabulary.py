"""The words of the little world, and the numbers behind them.

The position of a word in its tuple is its index in a packed scene, so a trained model
and a saved evaluation depend on the order: append, never reorder.
"""

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white")
SIZES = ("small", "medium", "big")
MOTIONS = ("still", "right", "left", "up", "down", "bounce", "circle", "grow", "shrink", "spin")
BACKGROUNDS = ("black", "white", "grey", "blue", "green", "sky", "night", "sea", "grid", "rain")
SOUNDS = ("silence", "low", "middle", "high", "rising", "falling", "pulse", "noise")

# sRGB in [0, 1], far enough apart to stay distinct after shading and a small autoencoder.
COLOUR_RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.10, 0.12),
    "orange": (1.00, 0.50, 0.06),
    "yellow": (1.00, 0.88, 0.14),
    "green": (0.14, 0.72, 0.22),
    "cyan": (0.10, 0.82, 0.86),
    "blue": (0.14, 0.30, 0.95),
    "purple": (0.56, 0.18, 0.80),
    "pink": (1.00, 0.48, 0.74),
    "white": (0.98, 0.98, 0.98),
}

# Radius of the circle around a thing, in units of the picture's shorter side.
SIZE_RADIUS: dict[str, float] = {"small": 0.12, "medium": 0.17, "big": 0.235}

# Turning these changes nothing that an eye could see.
ROUND_SHAPES = ("circle", "ring")

# Hertz. All of them, and all notes of the sweeps, are multiples of HERTZ_STEP: a vocoder makes sound from a
# spectrogram with a frame every 10 ms, without phases, so what is steady can only repeat every 10 ms.
HERTZ_STEP = 100.0
TONE_HERTZ: dict[str, float] = {"low": 200.0, "middle": 500.0, "high": 1200.0}
# Where the sweeps begin, and their octaves a second.
SWEEP_HERTZ: dict[str, float] = {"rising": 300.0, "falling": 1000.0}
SWEEP_OCTAVES: dict[str, float] = {"rising": 0.75, "falling": -0.75}
PULSE_HERTZ = 300.0
