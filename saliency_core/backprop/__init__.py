"""One forward and one backward pass: activations, gradients, other backward rules, variants of a network."""
