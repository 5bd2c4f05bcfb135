"""Runs all steps of h2g on generated slides, and summarises the results.

The steps are: cohort, training, evaluation, prediction, export, prediction with the exported
networks, a table and an image. Each step is an h2g command, which is printed before it runs. A
rerun skips finished steps. `make demo` calls this script.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import demo_summary


def commands(out: Path, seed: int) -> dict[str, list[str]]:
    cohort, run, bundle = out / "cohort", out / "run", out / "bundle"
    table = str(cohort / "cohort.csv")
    test = [table, "--split", "test", "--out"]
    recipe = ["--recipe", "demo", "--set", f"seed={seed}"]
    return {
        "phantom": ["phantom", str(cohort), "--seed", str(seed)],
        "train": ["train", table, *recipe, "--out", str(run)],
        "evaluate": ["evaluate", str(run), "--split", "test"],
        "predict": ["predict", str(run), *test, str(out / "predictions")],
        "export": ["export", str(run), "--format", "openvino", "--format", "fast"]
        + ["--out", str(bundle)],
        "predict_openvino": ["predict", str(bundle), *test, str(out / "predictions_openvino")],
    }


def run_step(arguments: list[str]) -> float:
    """Runs one h2g command and returns its seconds; exits with its code if it fails."""
    print(f"\n$ h2g {shlex.join(arguments)}", flush=True)
    start = time.perf_counter()
    h2g = Path(sys.executable).with_name("h2g")
    code = subprocess.run([str(h2g), *arguments]).returncode
    if code:
        sys.exit(code)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--seed", type=int, default=0, help="seed of the cohort and the training")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    timings_file = out / "timings.json"
    timings = json.loads(timings_file.read_text()) if timings_file.exists() else {}
    for step, command in commands(out, arguments.seed).items():
        seconds = run_step(command)
        # A rerun skips finished work, so the longest time is the one of the work itself.
        timings[step] = max(round(seconds, 1), timings.get(step, 0.0))
        timings_file.write_text(json.dumps(timings, indent=2) + "\n")
    demo_summary.summarise(out, timings)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
