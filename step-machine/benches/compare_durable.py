#!/usr/bin/env python3
"""The SQLite journal beside other durable workflows: steps a second, and how often each syncs.

Runs have 100 steps that do nothing. `durable` has our runner and bare SQLite; `durable-peers` has the peers, in a
program of its own, since they build another version of SQLite. The programs are called in turn, one sample a call, each
with an empty store in a folder of the same disk and after a run that does not count. What is printed are medians. A
contender that exceeds the time limit has no figure there, and is not asked for more runs at once; nor is one that would
exceed it at the speed it had with fewer. No figure is extrapolated.

    python3 step-machine/benches/compare_durable.py [--samples 5] [--runs 1,10,100,1000] [--limit 30] [--only cano]

Where `strace` is installed, `--syncs` counts the calls that wait for the disk, in turns that are not timed.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile

BENCHES = pathlib.Path(__file__).resolve().parent
ROOT = BENCHES.parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
STEPS = 100
SYNCS = ["fsync", "fdatasync", "msync", "sync_file_range"]

# What stands in the table, the program, its arguments.
CONTENDERS = [
    ("bare rusqlite, one commit a step", "ours", ["turn", "bare"]),
    ("runner, SqliteJournal", "ours", ["turn", "runner"]),
    ("cano, redb", "peers", ["cano"]),
    ("apalis-workflow, SQLite, one connection, FULL", "peers", ["apalis-one-full"]),
    ("apalis-workflow, SQLite, one connection", "peers", ["apalis-one"]),
    ("apalis-workflow, SQLite, as its examples", "peers", ["apalis"]),
    ("duroxide, SQLite, polls every 10 ms", "peers", ["duroxide-ten-ms"]),
    ("duroxide, SQLite, its defaults", "peers", ["duroxide"]),
]


def build(folder):
    """The program of a package; cargo says where it is."""
    command = ["cargo", "build", "--locked", "--profile", "bench", "--target-dir", str(TARGET)]
    command += ["--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    messages = (json.loads(line) for line in done.stdout.splitlines())
    return [message["executable"] for message in messages if message.get("executable")][-1]


def seconds(command, options, before=()):
    """What the samples of one call took; nothing if it took too long."""
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        command = [*before, command[0], "--dir", folder, *command[1:]]
        # Without the logs of those that log each step; in a group of its own, so that what strace started ends with it.
        quiet = dict(os.environ, RUST_LOG="off")
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet, start_new_session=True) as turn:
            try:
                printed, _ = turn.communicate(timeout=options.limit)
            except subprocess.TimeoutExpired:
                os.killpg(turn.pid, signal.SIGKILL)
                return None
    if turn.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: failed")
    return [float(line) for line in printed.splitlines()]


def speeds(commands, runs, options):
    """Steps a second by contender, samples taken in turn."""
    found = {name: [] for name in commands}
    for number in range(options.samples):
        for name in list(found):
            took = seconds([*commands[name], "--runs", str(runs)], options)
            if took is None:
                print(f"{name}: no sample {number + 1} of {runs} runs in {options.limit:g} s", file=sys.stderr)
                del found[name]
            else:
                found[name].append(runs * STEPS / took[0])
    return found


def syncs(command, runs, options):
    """Calls a step: what three samples have more than one."""
    counts = []
    for samples in (1, 3):
        with tempfile.NamedTemporaryFile("r", suffix=".strace") as trace:
            before = ["strace", "-f", "--seccomp-bpf", "-e", f"trace={','.join(SYNCS)}", "-o", trace.name]
            if seconds([*command, "--runs", str(runs), "--samples", str(samples)], options, before) is None:
                return None
            counts.append(len(re.findall(rf" (?:{'|'.join(SYNCS)})\(", trace.read())))
    return (counts[1] - counts[0]) / (2 * runs * STEPS)


def row(name, cells):
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--runs", default="1,10,100,1000", help="how many go at once, by columns")
    parser.add_argument("--limit", type=float, default=30, help="seconds that a call may take")
    parser.add_argument("--only", default="", help="contenders whose name this expression finds")
    parser.add_argument("--dir", default=str(TARGET), help="a folder of the disk to measure")
    parser.add_argument("--syncs", action="store_true", help="count instead how often each waits for the disk")
    options = parser.parse_args()
    columns = [int(text) for text in options.runs.split(",")]
    programs = {"ours": build(BENCHES / "durable"), "peers": build(BENCHES / "durable-peers")}
    chosen = [one for one in CONTENDERS if re.search(options.only, one[0])]
    commands = {name: [programs[program], *arguments] for name, program, arguments in chosen}
    table = {name: [] for name in commands}
    speed = dict.fromkeys(commands, float("inf"))
    for runs in columns:
        if options.syncs:
            for name, command in commands.items():
                count = syncs(command, runs, options)
                table[name].append("not counted" if count is None else f"{count:.2f}")
            continue
        able = {name: command for name, command in commands.items() if runs * STEPS / options.limit < speed[name]}
        found = speeds(able, runs, options)
        reference = found.get(next(iter(commands)))
        for name, cells in table.items():
            if name in found:
                speed[name] = statistics.median(found[name])
                cells.append(f"{speed[name]:,.0f} ({min(found[name]):,.0f} to {max(found[name]):,.0f})")
                if reference:
                    cells[-1] += f", {statistics.median(a / b for a, b in zip(found[name], reference)):.2g}×"
            else:
                speed[name] = 0
                cells.append("not measured")
    what = f"steps a second, medians of {options.samples} samples (lowest to highest), ratio to the first row"
    print(f"{'syncs a step' if options.syncs else what}; load {os.getloadavg()[0]:.1f}\n")
    row("", [f"{runs} run" + ("s at once" if runs > 1 else "") for runs in columns])
    row("---", ["---"] * len(columns))
    for name, cells in table.items():
        row(name, cells)


if __name__ == "__main__":
    main()
