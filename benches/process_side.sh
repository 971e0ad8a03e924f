#!/usr/bin/env bash
# Whole-process figures on the example mesh: `check`, server ready, server idle memory.
#   process_side.sh MESHWORK
set -euo pipefail
meshwork=$(realpath "$1")
home=$(mktemp -d)
server=""
cleanup() {
  [ -n "$server" ] && kill "$server" 2>/dev/null
  rm -rf "$home"
}
trap cleanup EXIT
"$meshwork" -q init "$home/acme" --template acme
cd "$home/acme"
python3 - "$meshwork" <<'PY'
import statistics, subprocess, sys, time
times = []
for _ in range(21):
    start = time.perf_counter()
    subprocess.run([sys.argv[1], "check", "-q"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    times.append((time.perf_counter() - start) * 1000)
print(f"check, whole process, example mesh: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms (wanted: ≤ 50 ms)")
PY
"$meshwork" -q apply
start=$(date +%s%N)
"$meshwork" serve --http 127.0.0.1:0 --pg 127.0.0.1:0 >/dev/null 2>&1 &
server=$!
until [ -e .meshwork/server.json ] && curl -fsS "$(python3 -c 'import json; print(json.load(open(".meshwork/server.json"))["http"])')/readyz" >/dev/null 2>&1; do sleep 0.01; done
echo "server ready after $((($(date +%s%N) - start) / 1000000)) ms (wanted: ≤ 1000 ms)"
sleep 3
echo "server idle: $(($(awk '/VmRSS/ {print $2}' /proc/$server/status) / 1024)) MB RSS (wanted: ≤ 200 MB)"
