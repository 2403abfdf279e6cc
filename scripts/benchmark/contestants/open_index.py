"""Opens a folder of photographs and tells what that took; memory is counted above the imports'."""

import argparse
import json
import os
import time
from pathlib import Path

from resnet_cli.data.imagenet import open_folders
from resnet_cli.runtime.device import peak_memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("caches", help="folder for the index")
    options = parser.parse_args()
    os.environ["XDG_CACHE_HOME"] = options.caches
    before = peak_memory()
    began = time.perf_counter()
    folders = open_folders(options.root)
    seconds = time.perf_counter() - began
    mib = 1024 * (peak_memory() - before)
    files = len(folders.train) + len(folders.val)
    print(json.dumps({"seconds": seconds, "mib": mib, "files": files}))


if __name__ == "__main__":
    main()
