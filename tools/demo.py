"""The whole way on generated slides: cohort, training, evaluation, prediction, export, prediction
from what was exported, a table, a picture.

Every step is an h2g command, printed before it runs; run again after an interruption, finished
steps are skipped. What `make demo` calls.
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
    """Runs one h2g command; its seconds. Ends the demo with the command's exit code on failure."""
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
    parser.add_argument("--seed", type=int, default=0, help="of the cohort and of the training")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)

    timings_file = out / "timings.json"
    timings = json.loads(timings_file.read_text()) if timings_file.exists() else {}
    for step, command in commands(out, arguments.seed).items():
        seconds = run_step(command)
        # A rerun skips what is done: the longest time is the one in which the work was done.
        timings[step] = max(round(seconds, 1), timings.get(step, 0.0))
        timings_file.write_text(json.dumps(timings, indent=2) + "\n")
    demo_summary.summarise(out, timings)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
