"""Validates events, one a line of JSON, against their schema: by a validator that the library has no part in.

    python tests/validate_events.py docs/events.schema.json RUN.jsonl ..
    python tests/validate_events.py --cut docs/events.schema.json CRASHED.jsonl

Each file is what one run wrote: the first line has its plan, and the last one is its end, unless it was cut off. Needs
the packages `jsonschema` and `rfc3339-validator`. Says of each line what is wrong with it, and ends with 1 where
anything is.
"""

import json
import sys

from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

BEGINS = ("run_start", "run_resume")


def validator(path):
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    if validator_for(schema) is not Draft202012Validator:
        raise SystemExit(f"{path} is not a schema of 2020-12")
    Draft202012Validator.check_schema(schema)
    formats = Draft202012Validator.FORMAT_CHECKER
    # Without its package a format is passed over and nobody is told.
    if "date-time" not in formats.checkers:
        raise SystemExit("times would not be checked: install rfc3339-validator")
    return Draft202012Validator(schema, format_checker=formats)


def events_of(path, validator, faults):
    """The events of a file, each held against the schema."""
    events = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}:{number}"
            if not line.endswith("\n"):
                faults.append(f"{place}: the line has no end")
            try:
                event = json.loads(line)
            except ValueError as error:
                faults.append(f"{place}: no JSON: {error}")
                continue
            for error in validator.iter_errors(event):
                faults.append(f"{place}: {error.json_path}: {error.message}")
            events.append((place, event))
    return events


def check_course(path, events, is_cut, faults):
    """Whether the plan comes first, the end last, and every run in order."""
    if not events:
        faults.append(f"{path}: no event")
        return
    place, first = events[0]
    if first.get("type") not in BEGINS or not first.get("plan"):
        faults.append(f"{place}: a run begins with its plan, and this is {first.get('type')}")
    place, last = events[-1]
    if not is_cut and (last.get("type") != "run_end" or last.get("run") != first.get("run")):
        faults.append(f"{place}: a run ends with its end, and this is {last.get('type')} of {last.get('run')}")
    seen = {}
    for place, event in events:
        run, seq = event.get("run"), event.get("seq")
        if run in seen and seq != seen[run] + 1:
            faults.append(f"{place}: {seq} comes after {seen[run]}")
        seen[run] = seq


def main():
    arguments = sys.argv[1:]
    is_cut = arguments[:1] == ["--cut"]
    schema, *files = arguments[is_cut:]
    if not files:
        raise SystemExit(__doc__)
    checker, faults, count = validator(schema), [], 0
    for path in files:
        events = events_of(path, checker, faults)
        check_course(path, events, is_cut, faults)
        count += len(events)
    for fault in faults:
        print(fault)
    print(f"{count} events of {len(files)} runs, {len(faults)} faults")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
