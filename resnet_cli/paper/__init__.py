"""The published numbers, and tables and figures that set ours beside them."""
