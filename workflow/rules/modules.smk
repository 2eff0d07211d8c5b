"""Building blocks: modules, parameters, custom layers, checkpoints, placement."""
