"""Networks: what they are, where their weights come from, which of their layers have maps."""
