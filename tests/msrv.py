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
    # Metadata alone would not do: its features are those that all members of the workspace together ask for.
    command = ["cargo", "tree", "--locked", "--package", name, "--all-features", "--target", "all"]
    command += ["--edges", "normal,build", "--prefix", "none", "--no-dedupe", "--format", "{p}"]
    tree = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {tuple(line.split()[:2]) for line in tree.splitlines()}
    return [package for package in metadata["packages"] if (package["name"], f"v{package['version']}") in found]


def main():
    limit = sys.argv[1]
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
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
