"""Checks that no crate the library is built from asks for a newer compiler than the library says it needs.

    python3 tests/msrv.py 1.89
"""

import json
import subprocess
import sys


def version(text):
    parts = [int(part) for part in text.split(".")]
    return tuple(parts + [0] * (3 - len(parts)))


def built_from(metadata, name):
    """The packages that `name` needs to be built, itself included."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    start = next(package["id"] for package in metadata["packages"] if package["name"] == name)
    found, waiting = set(), [start]
    while waiting:
        current = waiting.pop()
        if current in found:
            continue
        found.add(current)
        for dependency in nodes[current]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return [package for package in metadata["packages"] if package["id"] in found]


def main():
    limit = sys.argv[1]
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    packages = built_from(metadata, "step-machine")
    newer = [p for p in packages if p["rust_version"] and version(p["rust_version"]) > version(limit)]
    for package in newer:
        print(f"{package['name']} {package['version']} needs rustc {package['rust_version']}, the library says {limit}")
    if newer:
        raise SystemExit(1)
    stated = sum(1 for package in packages if package["rust_version"])
    print(f"{len(packages)} crates, {stated} state a rust-version, none above {limit}")


if __name__ == "__main__":
    main()
