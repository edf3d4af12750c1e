"""Looks up whether a pinned version of a dependency has a known vulnerability.

Run as a script by ``make audit``. It needs PyPI's list of vulnerabilities: where a network or a mirror has none, it
says so and is no failure, since nothing was found out.
"""

import json
import subprocess
import sys
from pathlib import Path

PINNED = Path(__file__).parent.parent / "constraints.txt"
COMMAND = ("pip_audit", "--requirement", PINNED, "--disable-pip", "--no-deps", "--format", "json", "--timeout", "10")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def main() -> int:
    done = subprocess.run([sys.executable, "-m", *COMMAND], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        say(f"not audited: pip-audit cannot look up vulnerabilities here ({reason[:200]})")
        return 0
    known = [one for one in packages if "vulns" in one]
    skipped = len(packages) - len(known)
    if not known:
        say(f"not audited: the package index here knows no vulnerabilities of any of {skipped} packages")
        return 0
    for one in known:
        for found in one["vulns"]:
            mended = ", ".join(found["fix_versions"]) or "no version"
            say(f"{one['name']} {one['version']}: {found['id']}, mended in {mended}")
    say(f"{len(known)} pinned packages audited, {skipped} unknown to the index")
    return int(any(one["vulns"] for one in known))


if __name__ == "__main__":
    sys.exit(main())
