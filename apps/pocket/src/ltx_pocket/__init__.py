"""A small LTX-2, trained on a procedural world, that ships with the project."""
