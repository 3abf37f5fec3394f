"""`wrk`, as the API's client: one thread of it asks faster than Python can answer."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from benchmarks.publish_load import COUNTER
from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SCRIPT = """
local bodies, keys, named = {}, {}, false
local n, counter = 0, %(first)d

function init(args)
  for line in io.lines("%(requests)s") do
    local tab = line:find("\\t")
    keys[#keys + 1] = line:sub(1, tab - 1)
    bodies[#bodies + 1] = line:sub(tab + 1)
  end
  named = bodies[1]:find("%(counter)s", 1, true) ~= nil
end

function request()
  n = n %% #bodies + 1
  counter = counter + 1
  local body = bodies[n]
  if named then
    body = body:gsub("%(counter)s", string.format("%%012d", counter))
  end
  local headers = {
    ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. keys[n]
  }
  return wrk.format("POST", nil, headers, body)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\n{"requests":%%d,"errors":%%d,"seconds":%%f,"p50_s":%%f,"p99_s":%%f}\\n',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""


def has_wrk() -> bool:
    """Return whether it is installed."""
    return shutil.which("wrk") is not None


def run_wrk(
    url: str,
    requests: Path,
    *,
    env: Mapping[str, str],
    connections: int,
    seconds: float,
    first: int,
) -> dict[str, Any]:
    """Send requests for so many seconds."""
    script = requests.with_suffix(".lua")
    names = {"requests": requests, "counter": COUNTER, "first": first}
    script.write_text(_SCRIPT % names)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", "-s", str(script), url]
    run = subprocess.run(  # noqa: S603 - the words are ours
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise HooksealError(
            "bench_process_ended", f"wrk ended with {run.returncode}: {run.stderr or run.stdout}"
        )
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures
