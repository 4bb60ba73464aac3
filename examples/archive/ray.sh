#!/bin/bash
# A Ray cluster of this machine alone, with two workers, an archive on it, and its end. On several machines run the
# first command on the head, `ray start --address HEAD:6379` on the others, and alta where it reaches the head.
set -euo pipefail
: "${SOURCE:=studies}" "${ENGINE:=chest.alta}" "${ARCHIVE:=studies.lance}" "${PORT:=6379}" "${CLIENT_PORT:=10001}"
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token
# With --block it ends its own processes when it is ended; `ray stop` would end those of other clusters, too.
ray start --head --block --disable-usage-stats --include-dashboard=false --node-ip-address=127.0.0.1 --num-cpus=2 \
  --port="$PORT" --ray-client-server-port="$CLIENT_PORT" >/dev/null &
head=$!
trap 'kill "$head" 2>/dev/null || true; wait "$head" || true' EXIT
until (exec 3<>"/dev/tcp/127.0.0.1/$CLIENT_PORT") 2>/dev/null; do
  kill -0 "$head" 2>/dev/null  # else it has ended, and so does this
  sleep 0.5
done
code=0
alta embed "$SOURCE" --engine "$ENGINE" --out "$ARCHIVE" --on "ray://127.0.0.1:$CLIENT_PORT" --workers 2 ${MORE:-} || code=$?
exit "$code"
