"""Count a photo over REST: count_rest.py URL MODEL PHOTO TIMEOUT_SECONDS; exit code 0 if a number came back."""

import base64
import json
import math
import sys
import time
import urllib.error
import urllib.request

url, model, photo, timeout_seconds = sys.argv[1:]
with open(photo, "rb") as file:
    data = [base64.b64encode(file.read()).decode()]
body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": data}]}
request = urllib.request.Request(
    f"{url}/v2/models/{model}/infer", json.dumps(body).encode(), {"Content-Type": "application/json"}
)
deadline = time.monotonic() + float(timeout_seconds)
while True:
    try:
        with urllib.request.urlopen(request, timeout=max(1, deadline - time.monotonic())) as reply:
            outputs = {output["name"]: output["data"] for output in json.load(reply)["outputs"]}
        break
    except (urllib.error.URLError, TimeoutError) as err:
        refused = isinstance(err, urllib.error.HTTPError) and err.code < 500
        if refused or time.monotonic() > deadline:
            sys.exit(f"REST {request.full_url}: {err} {err.read().decode() if hasattr(err, 'read') else ''}")
        time.sleep(1)
(count,) = outputs["count"]
if not math.isfinite(count) or count < 0:
    sys.exit(f"REST {request.full_url}: expected a number of people, got {count}")
print(f"REST: {count:.1f} people, scene {outputs['scene'][0]}")
