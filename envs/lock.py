"""Copies the versions of requirements.txt into the conda environments beside it, for `make lock`.

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


def main() -> None:
    lock = (ENVS / "requirements.txt").read_text(encoding="utf-8")
    versions = {match["name"]: match["version"] for match in PIN.finditer(lock)}
    for path in sorted(ENVS.glob("*.yaml")):
        path.write_text(in_step(path.read_text(encoding="utf-8"), versions), encoding="utf-8")


if __name__ == "__main__":
    main()
