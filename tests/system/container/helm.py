"""Lints and renders charts/scimitar with Helm's own SDK, and prints what came of it as one line of JSON.

    helm.py CHART RELEASE VALUES      {"lint": […], "documents": [{…}, …], "notes": "…"} or {"refused": "…"}
    helm.py CHART                     {"version": "…", "package": "…"}: packs it, into the working folder

VALUES is a file of YAML.
"""

import json
import sys

import helm_python as helm
import yaml


def rendered(path, release, values):
    given = helm.values_from_yaml(open(values).read())
    try:
        with helm.Chart.load(path) as chart:
            chart.validate_schema(given)
            files = chart.render(given, name=release, namespace="identity")
    except helm.HelmError as error:
        return {"refused": str(error)}
    found = helm.lint(path, given, strict=True, kube_version="1.34.0")
    notes = [text for name, text in files.items() if name.endswith("NOTES.txt")]
    manifests = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    documents = [one for text in manifests for one in yaml.safe_load_all(text) if one]
    return {
        "lint": found["errors"] + [one for one in found["messages"] if one["severity"] > 1],
        "documents": documents,
        "notes": "".join(notes),
    }


def main(path, release=None, values=None):
    if release is None:
        package = helm.package(path, destination=".")
        return {"version": helm.helm_sdk_version(), "package": str(package)}
    return rendered(path, release, values)


print(json.dumps(main(*sys.argv[1:])))
