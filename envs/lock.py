"""Brings what is made from requirements.txt into step with it, for `make lock`.

The conda environments get its versions; requirements-cpu.txt is the lock without torch,
torchvision and what serves CUDA, for those who install torch's CPU build.

Standard library only: it runs in the small environment that holds uv and nothing else.
"""

import re
import sys
from pathlib import Path

ENVS = Path(__file__).parent
# "torch==2.11.0 ; sys_platform == 'linux' \" in the lock, "  - torch==2.11.0" in an environment.
PIN = re.compile(
    r"^(?P<lead>\s+- )?(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;]+)", re.MULTILINE
)

# A requirement with its hashes and origins: everything up to the next line that is not indented.
BLOCK = re.compile(r"^[a-z0-9][^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE)
OF_CUDA = re.compile(r"(?:torch|torchvision|triton|cuda-[a-z-]+|nvidia-(?!ml-py)[a-z0-9-]+)==")


def in_step(environment: str, versions: dict[str, str]) -> str:
    """The text of an environment file, with every pip package at its version in the lock."""

    def pin(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in versions:
            sys.exit(
                f"{name} is in envs/*.yaml but not in envs/requirements.txt: correct its name, "
                "or add it to pyproject.toml."
            )
        return f"{match['lead']}{name}=={versions[name]}"

    return PIN.sub(pin, environment)


def without_cuda(lock: str) -> str:
    """The lock but for torch, torchvision and the packages of CUDA that torch asks for."""
    return BLOCK.sub(lambda block: "" if OF_CUDA.match(block[0]) else block[0], lock)


def main() -> None:
    lock = (ENVS / "requirements.txt").read_text(encoding="utf-8")
    versions = {match["name"]: match["version"] for match in PIN.finditer(lock)}
    for path in sorted(ENVS.glob("*.yaml")):
        path.write_text(in_step(path.read_text(encoding="utf-8"), versions), encoding="utf-8")
    (ENVS / "requirements-cpu.txt").write_text(without_cuda(lock), encoding="utf-8")


if __name__ == "__main__":
    main()
