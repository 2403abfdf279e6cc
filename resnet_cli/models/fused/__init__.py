"""The blocks of section 4.2 as a few Triton kernels for GPUs, imported only where they are used."""
