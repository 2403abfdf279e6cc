"""The machine: devices, processes, signals, files, errors and the console.

These modules know nothing of networks or runs; anything may import them.
"""
