"""The tables of the caption grammar. The first entry of each row is the canonical one."""

SHAPE_WORDS: dict[str, tuple[str, ...]] = {
    "circle": ("ball", "circle", "disc", "disk", "dot", "sphere"),
    "square": ("square", "box", "block", "cube"),
    "triangle": ("triangle", "pyramid"),
    "star": ("star", "five-pointed star"),
    "heart": ("heart", "love heart"),
    "ring": ("ring", "hoop", "donut", "doughnut"),
    "cross": ("cross", "plus sign", "plus"),
}

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "bright red", "crimson", "scarlet"),
    "orange": ("orange", "bright orange"),
    "yellow": ("yellow", "golden", "bright yellow"),
    "green": ("green", "bright green"),
    "cyan": ("cyan", "turquoise", "light blue", "teal"),
    "blue": ("blue", "bright blue", "deep blue"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rose", "bright pink"),
    "white": ("white", "bright white"),
}

SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized", "mid-sized"),
    "big": ("big", "large", "huge", "giant"),
}

MOTION_PHRASES: dict[str, tuple[str, ...]] = {
    "still": ("standing still", "resting", "not moving", "that stays still", "sitting still", "motionless"),
    "right": (
        "moving right",
        "moving to the right",
        "sliding right",
        "moves to the right",
        "gliding from left to right",
        "drifting to the right",
        "going right",
        "flying to the right",
    ),
    "left": (
        "moving left",
        "moving to the left",
        "sliding left",
        "moves to the left",
        "gliding from right to left",
        "drifting to the left",
        "going left",
        "flying to the left",
    ),
    "up": ("moving up", "rising", "floating up", "going up", "moves upwards", "flying up", "climbing"),
    "down": ("moving down", "falling", "sinking", "going down", "moves downwards", "dropping", "descending"),
    "bounce": ("bouncing", "that bounces", "bouncing up and down", "jumping", "hopping", "bounces"),
    "circle": (
        "moving in a circle",
        "circling",
        "going round in circles",
        "orbiting",
        "going around",
        "flying in a circle",
    ),
    "grow": ("growing", "getting bigger", "that grows", "getting larger", "expanding", "swelling"),
    "shrink": ("shrinking", "getting smaller", "that shrinks", "contracting", "becoming smaller"),
    "spin": ("spinning", "rotating", "turning", "that spins", "twirling", "turning around"),
}


def _plain(colour: str, *others: str) -> tuple[str, ...]:
    return (f"on a {colour} background", f"on {colour}", f"against a {colour} background", *others)


PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "black": _plain("black", "in the dark", "over a black background"),
    "white": _plain("white", "over a white background", "on a plain white background"),
    "grey": _plain("grey", "on a gray background", "on a plain grey background"),
    "blue": _plain("blue", "on a dark blue background", "over a blue background"),
    "green": _plain("green", "on a dark green background", "over a green background"),
    "sky": (
        "in the sky",
        "in a blue sky",
        "against the sky",
        "in the clear sky",
        "in the air",
        "in daylight",
    ),
    "night": (
        "at night",
        "in the night sky",
        "under the stars",
        "in a starry night",
        "in front of the stars",
        "in space",
        "on a starry sky",
    ),
    "sea": (
        "on the sea",
        "over the sea",
        "at sea",
        "over the ocean",
        "on the water",
        "above the waves",
        "at the seaside",
        "on the ocean",
    ),
    "grid": ("on a grid", "over a grid", "on grid paper", "on squared paper", "against a grid"),
    "rain": ("in the rain", "on a rainy day", "while it rains", "in rainy weather", "while it is raining"),
}

SOUND_PHRASES: dict[str, tuple[str, ...]] = {
    "silence": (
        "in silence",
        "without sound",
        "silently",
        "no sound",
        "with no sound",
        "quiet",
        "silent",
        "muted",
    ),
    "low": (
        "with a low hum",
        "with a low tone",
        "low humming",
        "with a deep tone",
        "with a low note",
        "with a bass tone",
        "deep hum",
    ),
    "middle": (
        "with a middle tone",
        "with a steady tone",
        "with a medium tone",
        "with a mid-pitched note",
        "with a middle note",
    ),
    "high": (
        "with a high tone",
        "with a high note",
        "with a high-pitched tone",
        "high beep",
        "with a high whistle",
        "with a high pitch",
    ),
    "rising": (
        "with a rising tone",
        "with a tone going up",
        "with a rising sound",
        "with a rising whistle",
        "with a sound that rises",
        "with rising pitch",
    ),
    "falling": (
        "with a falling tone",
        "with a tone going down",
        "with a falling sound",
        "with a falling whistle",
        "with a sound that falls",
        "with falling pitch",
    ),
    "pulse": (
        "with a beat on every bounce",
        "with a thump at each bounce",
        "with bouncing sounds",
        "with beats in time",
        "boing boing",
        "with a pulse on each bounce",
        "with thumps",
        "with a beat",
    ),
    "noise": (
        "with a rushing noise",
        "with noise",
        "with the sound of water",
        "with a soft hiss",
        "with a swooshing sound",
        "with white noise",
    ),
}

# Named by where the noise comes from; joined to the row above on those backgrounds.
NOISE_OF_PLACE: dict[str, tuple[str, ...]] = {
    "sea": ("with the sound of waves", "with waves breaking", "with the sound of the sea", "sound of waves"),
    "rain": ("with the sound of rain", "with rain falling", "sound of rain", "with the noise of rain"),
}

OPENINGS: tuple[str, ...] = (
    "a video of",
    "a clip of",
    "there is",
    "video of",
    "show me",
    "an animation of",
    "a short film of",
)
