"""Runs in FAST's Python: parses pipelines with a slide as their input, and reads DataHub items.

parse_in_fast.py SLIDE FILE...      prints one JSON document
"""

import json
import os
import sys

import fast

PUBLIC = ("getName", "getDescription")


def main(slide: str, files: list[str]) -> None:
    fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
    told = {file: item(file) if file.endswith(".json") else pipeline(file, slide) for file in files}
    print("JSON", json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # FAST's objects crash when Python takes them down


def pipeline(file: str, slide: str) -> dict:
    parsed = fast.Pipeline(file, {"slide": slide, "out": "nothing"})
    wanted = dict(parsed.getRequiredPipelineInputData())
    image = fast.WholeSlideImageImporter.create(slide).runAndGetOutputData()
    parsed.parse({"WSI": image} if wanted else {}, {}, False)
    return {
        **{name: getattr(parsed, name)() for name in PUBLIC},
        "inputs": wanted,
        "attributes": dict(parsed.getPipelineAttributes()),
        "objects": {
            name: each.getNameOfClass() for name, each in dict(parsed.getProcessObjects()).items()
        },
    }


def item(file: str) -> dict:
    read = fast.DataHubItem.fromJSONFile(file)
    names = ("id", "name", "type", "license", "minFASTVersion", "maxFASTVersion", "description")
    needs = [read.needs[place].id for place in range(len(read.needs))]
    return {**{name: getattr(read, name) for name in names}, "needs": needs}


main(sys.argv[1], sys.argv[2:])
