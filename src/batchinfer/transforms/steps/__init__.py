"""The steps that a pipeline file may name, a file for each kind; `known_steps` lists them."""
