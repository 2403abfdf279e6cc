"""Where runs train: in this process, side by side, on several devices, as jobs of a cluster.

start.py chooses; display.py shows how far the runs of a sweep are.
"""
