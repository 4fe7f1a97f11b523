"""Training steps: which pictures a batch has and how they are changed, the network built and computed, its weights moved."""
