"""What ``python -m saliency_core`` does."""
