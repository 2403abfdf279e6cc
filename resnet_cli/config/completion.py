"""TAB in a shell: the keys of the command line, and the words each may be set to.

Ours and not Hydra's, which knows the files of conf/ but no enums, and takes ten times as long.
"""

from resnet_cli.config.keys import known_keys, values_of
from resnet_cli.runtime.errors import UserError, did_you_mean

# Both shells call it like this; where readline ends words at `=`, it replaces what stands behind.
_BASH = """\
_resnet_train() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" \\
        COMP_WORDBREAKS="$COMP_WORDBREAKS" resnet-train --shell-completion query 2>/dev/null))
    if [[ ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _resnet_train resnet-train
"""
SCRIPTS = {
    "bash": _BASH,
    "zsh": "autoload -U +X compinit && compinit\n"
    "autoload -U +X bashcompinit && bashcompinit\n" + _BASH,
    "fish": "complete -c resnet-train -a "
    "'(COMP_LINE=(commandline -cp) resnet-train --shell-completion query 2>/dev/null)'\n",
}
FLAGS = ("--shell-completion", "-sc")
INSTALL = 'eval "$(resnet-train --shell-completion install=bash)"'


def answer(request: str, environment: dict[str, str], *, flags: list[str]) -> str:
    """What `--shell-completion REQUEST` prints: a script for a shell, or candidates a line.

    Raises UserError for a request there is not.
    """
    verb, _, shell = request.partition("=")
    if verb == "install" and shell in SCRIPTS:
        return SCRIPTS[shell]
    if verb == "query":
        line = environment.get("COMP_LINE", "")
        before = line[: int(environment.get("COMP_POINT") or len(line))]
        breaks = "=" in environment.get("COMP_WORDBREAKS", "")
        return "".join(f"{one}\n" for one in candidates(before, flags=flags, breaks=breaks))
    if verb == "install" and shell:
        raise UserError(f"--shell-completion {request}{did_you_mean(shell, SCRIPTS)}")
    raise UserError(f"--shell-completion {request}: expected install=bash, as in {INSTALL}")


def candidates(line: str, *, flags: list[str], breaks: bool = False) -> list[str]:
    """What may stand in place of the last word of `line`, which ends at the cursor.

    `breaks`: the shell takes what stands behind an `=` for a word of its own.
    """
    word = line.rpartition(" ")[2]
    if word.startswith("-"):
        return [flag for flag in flags if flag.startswith(word)]
    key, equals, value = word.partition("=")
    if not equals:
        return [f"{name}=" for name in known_keys() if name.startswith(word)]
    *others, last = value.split(",")  # a sweep: seed=0,1
    start = ",".join([*others, ""])
    before = start if breaks else f"{key}={start}"
    return [f"{before}{one}" for one in values_of(key) if one.startswith(last)]
