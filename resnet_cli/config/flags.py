"""Hydra's own flags, which Hydra answers: `--cfg job`, `--info`, `--hydra-help`."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from resnet_cli.config.tree import (
    compose_tree,
    first_line,
    hydra_ready,
    parse_overrides,
    validate_words,
)
from resnet_cli.runtime.conf import CONF_DIR
from resnet_cli.runtime.errors import UserError


def answer_flags(arguments: list[str]) -> None:
    """Lets Hydra answer its own flags: `--cfg job`, `--info`, `--hydra-help`.

    Raises UserError for flags and overrides that do not fit, which Hydra would tell in its own way.
    """
    overrides = _flags_of(arguments).overrides
    with hydra_ready():
        parsed = parse_overrides(overrides)
        validate_words(parsed)
        if several := [one.input_line for one in parsed if one.is_sweep_override()]:
            raise UserError(f"{several[0]}: one config at a time is shown; give one value")
        compose_tree(overrides)
    sys.argv[1:] = arguments
    main = hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train")
    # `--info | head`: its logging would complain of every line that nobody reads any more
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        with _raising():
            main(lambda _: None)()
        sys.stdout.flush()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(first_line(error)) from error
    except SystemExit as end:  # `--package` that there is not; Hydra has said so
        if end.code:
            raise SystemExit(2) from None
        raise
    finally:
        signal.signal(signal.SIGPIPE, before)


def _flags_of(arguments: list[str]) -> argparse.Namespace:
    """Hydra's flags as it reads them. Raises UserError where it would print its usage."""

    def refuse(message: str) -> NoReturn:
        raise UserError(message)

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args(arguments)


@contextmanager
def _raising() -> Iterator[None]:
    """While open, Hydra raises its errors instead of printing them."""
    name = "HYDRA_FULL_ERROR"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
