"""The audio-video diffusion transformer, and the layers that the text connectors share with it."""
