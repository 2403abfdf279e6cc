"""PyTorch's compiler: whether it pays for a run, and how it is asked."""

import logging
import os
import shutil
import sysconfig
from pathlib import Path

import torch

from resnet_cli.runtime.choices import Switch
from resnet_cli.runtime.errors import UserError

# On 2 AMX cores compiling ResNet-20 takes 25 s and saves 30 ms of each 90 ms step: even after about
# 850 iterations.
# Deeper networks are sooner even: their blocks are alike, so ResNet-110 takes 60 s and saves 120
# ms. Twice that, to be sure.
COMPILE_PAYS_AFTER = 2000
# Compiling what tests ResNet-20 takes 10 s and saves 25 us of each image of 41M multiply-adds: even
# after about 1.6e13.
TESTING_PAYS_AFTER = 3e13


def choose_compile(
    choice: Switch, device: torch.device, *, iterations: int, checkpointing: bool = False
) -> tuple[bool, str]:
    """Whether to compile a run of `iterations`, and why.

    These are the schedule's, not what is left: a resumed run decides the same. Raises UserError for
    `on` where it cannot be.
    """
    if choice is Switch.off:
        return False, "compile=off"
    if checkpointing and choice is Switch.on:
        raise UserError(
            "compile=on and activation_checkpointing=true do not go together: the compiler "
            "decides itself "
            "what it keeps"
        )
    if checkpointing:
        return False, "activation_checkpointing=true"
    if choice is Switch.auto and device.type != "cpu":
        return False, "not on CUDA, unless compile=on"
    if choice is Switch.auto and iterations < COMPILE_PAYS_AFTER:
        return False, f"under {COMPILE_PAYS_AFTER} iterations it does not pay"
    missing = missing_for_compiling() if device.type == "cpu" else None
    if missing and choice is Switch.on:
        raise UserError(
            f"compile=on: {missing} is missing, which PyTorch's compiler needs; install it, "
            "or use compile=auto"
        )
    if missing:
        return False, f"{missing} is missing; going on without"
    return True, "compile=on" if choice is Switch.on else "a long run"


def compile_for_testing(choice: Switch, device: torch.device, *, multiply_adds: float) -> bool:
    """Whether to compile what only tests, for so much of it."""
    possible = device.type == "cpu" and missing_for_compiling() is None
    return possible and (
        choice is Switch.on or (choice is Switch.auto and multiply_adds >= TESTING_PAYS_AFTER)
    )


def missing_for_compiling() -> str | None:
    """What PyTorch's CPU compiler lacks on this machine, in words."""
    compilers = (os.environ.get("CXX", ""), "g++", "clang++")
    if not any(shutil.which(name) for name in compilers if name):
        return "a C++ compiler (g++ or clang++)"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python.h (of python3-dev)"
    return None


def start_compiling() -> None:
    """Before a run's first `torch.compile`: forgets what a sweep has compiled in this process;
    on disk it is kept.
    """
    torch.compiler.reset()  # after eight networks of one class it would quietly stop compiling
    # it warns of a missing CUDA nobody asked for
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
