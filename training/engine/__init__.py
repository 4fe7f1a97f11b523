"""One training step of a network on a batch: the pictures changed, the network built and computed, its weights moved."""
