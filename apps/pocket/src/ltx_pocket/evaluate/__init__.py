"""How good the pocket model is, by classical detectors: `ltx pocket evaluate`."""
