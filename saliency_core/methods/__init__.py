"""The saliency methods: what each computes, and one entry per method in the registry."""
