"""Checks Kubernetes manifests strictly by their schemas.

Reads a JSON list of texts. Prints one of results: the manifests of a text, or why one is not valid.
"""

import json
import sys

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1


def check(manifest):
    if manifest["kind"] == "ServiceMonitor":
        read = v1.ServiceMonitor.model_validate(manifest)
        known = read.model_dump(by_alias=True, exclude_unset=True, mode="json")
        if known != manifest:
            raise ValueError(f"of {json.dumps(manifest)}\nthis is known: {json.dumps(known)}")
    else:
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    return manifest


def result(text):
    try:
        return {"valid": [check(manifest) for manifest in yaml.safe_load_all(text)]}
    except Exception as error:
        return {"error": str(error)}


print(json.dumps([result(text) for text in json.load(sys.stdin)]))
