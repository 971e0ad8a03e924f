"""Whole processes, start-up included on every side: CPU seconds (children too), wall time, peak memory; and the bootstrap
bound of a ratio of CPU seconds."""

import os
import random
import statistics
import subprocess
import sys
import time
from collections import namedtuple

Sample = namedtuple("Sample", "cpu wall peak")


def run(command, cwd=None):
    """Runs a command to its end. Peak memory is that of its largest process."""
    start = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{said.decode(errors='replace')}")
    return Sample(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss)


def alternate(rounds, *sides):
    """Samples of each side, in turns whose order changes; one round before them warms the caches and is not counted.

    A side is a function of the round's number.
    """
    samples = [[] for _ in sides]
    for round_ in range(rounds + 1):
        order = list(range(len(sides)))
        for at in order if round_ % 2 else reversed(order):
            sample = sides[at](round_)
            if round_:
                samples[at].append(sample)
    return samples


def median(samples, field):
    return statistics.median(getattr(sample, field) for sample in samples)


def bound(ours, theirs, field):
    """The central 95 % of the ratio of means, over 10,000 resamplings; seeded, so that a report is repeatable."""
    draw = random.Random(1)
    ours = [getattr(sample, field) for sample in ours]
    theirs = [getattr(sample, field) for sample in theirs]
    mean = lambda values: sum(draw.choices(values, k=len(values))) / len(values)
    ratios = sorted(mean(ours) / mean(theirs) for _ in range(10_000))
    return ratios[250], ratios[9_749]


def heading(title):
    print(f"\n{title}\n{'':<34}{'CPU':>10}{'wall':>10}{'peak':>9}   ratio (95 % bound)")


def line(name, samples, ours=None, field="cpu", want=None):
    """One side; its ratio to ours is how many times as much it takes."""
    text = f"{name:<34}{median(samples, 'cpu'):>8.3f} s{median(samples, 'wall'):>8.3f} s{median(samples, 'peak') / 1024:>6.0f} MB"
    if ours is not None:
        low, high = bound(samples, ours, field)
        text += f"   {median(samples, field) / median(ours, field):.2f}× of our {field} ({low:.2f} to {high:.2f})"
        if want is not None:
            text += f", wanted ≥ {want}×: {'yes' if low >= want else 'no'}"
    print(text, flush=True)
