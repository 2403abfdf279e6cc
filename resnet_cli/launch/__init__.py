"""Where runs train: in this process, side by side on this machine, on several devices, as jobs
of a cluster.
"""
