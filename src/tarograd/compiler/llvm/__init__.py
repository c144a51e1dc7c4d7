"""Machine code through LLVM: what the kernels of a plan look like in its language."""
