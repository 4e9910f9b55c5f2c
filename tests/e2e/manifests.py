"""Checks Kubernetes manifests strictly by their schemas, and prints those that are valid as JSON."""

import json
import sys

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator import v1

valid = []
for manifest in yaml.safe_load_all(sys.stdin):
    if manifest["kind"] == "ServiceMonitor":
        read = v1.ServiceMonitor.model_validate(manifest)
        known = read.model_dump(by_alias=True, exclude_unset=True, mode="json")
        if known != manifest:
            sys.exit(f"of {json.dumps(manifest)}\nthis is known: {json.dumps(known)}")
    else:
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    valid.append(manifest)
print(json.dumps(valid))
