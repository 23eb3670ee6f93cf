#!/usr/bin/env bash
# Tests load and probes with common tools.
#
#   clients_cli.sh GUIDE      a file with the guide of a running demo
#
# Needs grpcurl, ghz, grpc-health-probe and jq.
set -euo pipefail

here=$(realpath "$(dirname "$0")")
readonly here
readonly service=faceliveness.v1.FaceLivenessService
readonly method=$service/GetLivenessResult
readonly proto=$here/../../proto
readonly file=faceliveness/v1/face_liveness_service.proto
address=$(grep -om1 '127\.0\.0\.1:[0-9]*' "$1")
readonly address
admin=$(grep -o 'http://127\.0\.0\.1:[0-9]*/$' "$1" | grep -o '127[0-9.:]*')
readonly admin

source "$here/../check.sh"

live='{"session_id":"facade00-0000-4000-8000-000000000001","min_confidence":80}'
readonly live

# Without reflection, which can be disabled.
by_file() {
    local response
    response=$(grpcurl -plaintext -import-path "$proto" -proto "$file" -d "$live" "$address" "$method") || return
    [[ $(jq -r .verdict <<<"$response") == VERDICT_LIVE ]] || { echo "${response:0:600}" && return 1; }
}

load() {
    local report
    report=$(ghz --insecure --import-paths "$proto" --proto "$proto/$file" --call "$method" --data "$live" \
        --total 2000 --concurrency 20 --format json "$address") || return
    jq -e '.statusCodeDistribution == {"OK": 2000} and .errorDistribution == {}' <<<"$report" >/dev/null ||
        { jq '{statusCodeDistribution, errorDistribution}' <<<"$report" && return 1; }
}

# unknown PORT: the probe exits 3 when the call fails.
unknown() {
    local code=0
    grpc-health-probe -addr "$1" -service liveness || code=$?
    ((code == 3))
}

check "grpcurl calls by the file, without reflection" by_file
check "ghz: 2,000 calls, 20 at a time, and none fails" load
for port in "$address" "$admin"; do
    for name in "" $service; do
        check "grpc-health-probe: '$name' is serving on the $([[ $port == "$admin" ]] && echo admin || echo main) port" \
            grpc-health-probe -addr "$port" -service "$name"
    done
done
check "grpc-health-probe: an unknown service is not serving" unknown "$address"

echo "$passed passed, $failed failed"
((failed == 0))
