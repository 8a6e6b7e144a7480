"""Whether anything that CI uses has a known vulnerability: ``python .ci/audit.py``.

pip-audit asks PyPI. Where that cannot be reached, or knows nothing of a package, this says so and
does not fail: nothing was found, because nothing could be looked up.
"""

import json
import subprocess
import sys

LOCK = "requirements/lock.txt"


def main() -> int:
    command = ["-m", "pip_audit", "-r", LOCK, "--no-deps", "--disable-pip", "-f", "json"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"NOT AUDITED: the data cannot be had.\n{done.stderr.strip()[-300:]}")
        return 0
    skipped = [item["name"] for item in found if "skip_reason" in item]
    vulnerable = [item for item in found if item.get("vulns")]
    for item in vulnerable:
        for about in item["vulns"]:
            fixed = ", ".join(about["fix_versions"]) or "no version"
            print(f"{item['name']} {item['version']}: {about['id']}, fixed in {fixed}")
    if skipped:
        print(f"NOT AUDITED, for there is no data: {', '.join(skipped)}")
    print(f"{len(found) - len(skipped)} audited, {len(vulnerable)} vulnerable")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
