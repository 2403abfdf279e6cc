"""The machine beneath everything: devices, processes, signals, files, errors, the console.

Leaves that anything may import.
"""
