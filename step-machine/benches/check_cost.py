#!/usr/bin/env python3
"""What a derived enum adds to `cargo check`, against strum + thiserror on an enum of the same size.

For each size and each crate: check once, then many times after a touch, and many times after a line was inserted above
the enum (the honest editing case: every position moves). Times are medians, over those of an empty crate checked in
the same round, so that a busy machine weighs on all alike.

    python3 step-machine/benches/check_cost.py [--rounds 15] [--sizes 10,50,100,200]
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "check-cost"

STEP_MACHINE = f'step-machine = {{ path = "{(ROOT / "step-machine").as_posix()}" }}'
# Without the runner there is no trait of a handler.
MACHINE = STEP_MACHINE.replace(" }", ', default-features = false, features = ["derive"] }')
STRUM = 'strum = { version = "0.28", features = ["derive"] }\nthiserror = "2"'


def plain_steps(size):
    """Every tenth step has rules, as in a real workflow."""
    lines = ["/// A workflow.", "#[derive(step_machine::Workflow, Debug, Clone, Copy, PartialEq, Eq)]", "pub enum Steps {"]
    for number in range(size):
        lines.append(f"    /// Does part {number} of the work")
        if number % 10 == 5:
            lines.append('    #[step(retry(attempts = 3, delay = "2s"), timeout = "5m", weight = 10)]')
        lines.append(f"    Step{number},")
    return "\n".join(lines + ["}", ""])


def handled_steps(size):
    """The same with a handler, whose methods wait for nothing."""
    lines = [
        "use step_machine::StepContext;",
        "pub struct Handler;",
        "impl StepsHandler for Handler {",
        "    type Error = std::io::Error;",
    ]
    for number in range(size):
        lines.append(f"    async fn step{number}(&self, _: &mut StepContext) -> Result<(), Self::Error> {{ Ok(()) }}")
    return plain_steps(size) + "\n".join(lines + ["}", ""])


def strum_enum(size):
    lines = [
        "/// A workflow.",
        "#[derive(strum::EnumIter, strum::Display, strum::EnumString, strum::IntoStaticStr, Debug, Clone, Copy, PartialEq, Eq)]",
        '#[strum(serialize_all = "kebab-case")]',
        "pub enum Steps {",
    ]
    for number in range(size):
        lines += [f"    /// Does part {number} of the work", f"    Step{number},"]
    lines += ["}", "/// What fails.", "#[derive(Debug, thiserror::Error)]", "pub enum Fault {"]
    for number in range(size):
        lines += [f'    #[error("part {number} failed")]', f"    Step{number},"]
    return "\n".join(lines + ["}", ""])


def crate(name, dependencies, source):
    folder = WORK / name
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "Cargo.toml").write_text(
        f'[package]\nname = "{name}"\nversion = "0.0.0"\nedition = "2024"\n\n[dependencies]\n{dependencies}\n\n[workspace]\n'
    )
    (folder / "src" / "lib.rs").write_text(source)
    lock = folder / "Cargo.lock"
    if not lock.exists():
        lock.write_bytes((ROOT / "Cargo.lock").read_bytes())
    return folder


def check(folder):
    environment = dict(os.environ, CARGO_TARGET_DIR=str(WORK / "target"))
    start = time.perf_counter()
    done = subprocess.run(["cargo", "check", "--quiet"], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{folder.name}: cargo check failed\n{done.stderr}")
    return (time.perf_counter() - start) * 1000


def touched(folder, source, number):
    os.utime(folder / "src" / "lib.rs")


def line_inserted(folder, source, number):
    (folder / "src" / "lib.rs").write_text("//\n" * (number + 1) + source)


def measure(crates, change, rounds):
    times = {name: [] for name in crates}
    for number in range(rounds):
        for name, (folder, source) in crates.items():
            change(folder, source, number)
            times[name].append(check(folder))
    base = times.pop("empty")
    return {name: statistics.median(t - b for t, b in zip(found, base)) for name, found in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--sizes", default="10,50,100,200")
    options = parser.parse_args()
    print("Touched / with a line inserted, ms.\n")
    print("| steps | machine alone | with the trait of the handler | with its impl too | strum + thiserror |")
    print("| --- | --- | --- | --- | --- |")
    for size in (int(text) for text in options.sizes.split(",")):
        sources = {
            "empty": ("", "//! Empty.\n"),
            f"machine{size}": (MACHINE, plain_steps(size)),
            f"trait{size}": (STEP_MACHINE, plain_steps(size)),
            f"impl{size}": (STEP_MACHINE, handled_steps(size)),
            f"strum{size}": (STRUM, strum_enum(size)),
        }
        crates = {name: (crate(name, needs, source), source) for name, (needs, source) in sources.items()}
        for folder, _ in crates.values():
            check(folder)
        first = measure(crates, touched, options.rounds)
        second = measure(crates, line_inserted, options.rounds)
        print(f"| {size} | " + " | ".join(f"{first[name]:.0f} / {second[name]:.0f}" for name in first) + " |", flush=True)


if __name__ == "__main__":
    main()
