"""Direct preference optimisation of a language model with a low-rank adapter."""
