"""How fast and how frugal this project is, measured beside the usual PyTorch code.

`__main__` reads the command line and runs the parts of the plans that were asked for (`training`,
`imagenet`, `seeds` and others) within a time limit. `plan` says what a part is and when time is up,
`turns` interleaves the contestants, `limits` measures what the machine can do at best, `report`
writes what was found. Whatever is timed lives in `contestants`, each in a process of its own.
"""
