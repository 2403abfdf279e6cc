"""Evaluation of networks: exact errors, the paper's protocols, weights of any project."""
