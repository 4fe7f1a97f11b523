"""Transfer learning: pretrained backbones, features computed once, heads on them, and fine-tuning."""
