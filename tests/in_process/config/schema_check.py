"""Judges documents by a JSON Schema: {"schema", "cases": [{"name", "fits", "document" | "toml"}]}
on standard input; what is judged otherwise than "fits" says is printed, a line each."""

import json
import sys
import tomllib

from jsonschema import Draft202012Validator

asked = json.load(sys.stdin)
Draft202012Validator.check_schema(asked["schema"])
validator = Draft202012Validator(asked["schema"])
for case in asked["cases"]:
    document = tomllib.loads(case["toml"]) if "toml" in case else case["document"]
    # JSON has no dates: editors hand them to a schema as text.
    document = json.loads(json.dumps(document, default=lambda date: date.isoformat()))
    faults = [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(document)]
    if case["fits"] and faults:
        print(f"{case['name']}: refused: {faults[0]}")
    if not case["fits"] and not faults:
        print(f"{case['name']}: not refused")
print(f"{len(asked['cases'])} judged")
