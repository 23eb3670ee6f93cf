#!/usr/bin/env bash
# Runs the commands that `demo` prints, and compares the responses with the printed descriptions.
#
#   service_cli.sh GUIDE      a file with the guide of a running demo
#
# Needs grpcurl, buf and jq.
set -euo pipefail

source "$(dirname "$0")/../check.sh"
guide=$(realpath "$1")
readonly guide
readonly service=faceliveness.v1.FaceLivenessService
address=$(grep -om1 '127\.0\.0\.1:[0-9]*' "$guide")
readonly address

# A command may write a file.
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

# Fails a check with this reason.
failure() {
    echo "$1"
    return 1
}

# Prints one command per line, with continuation lines joined.
commands() {
    awk '/^  (grpcurl|buf|curl) / || joined != "" {
        sub(/^ +/, joined == "" ? "" : " ")
        joined = joined $0
        if (!sub(/ *\\$/, "", joined)) { print joined; joined = "" }
    }' "$guide"
}

# contains TEXT WANTED...
contains() {
    local text=$1 wanted
    shift
    for wanted in "$@"; do
        [[ $text == *"$wanted"* ]] || failure "$wanted is not in: ${text:0:600}" || return
    done
}

# run_printed COMMAND: runs a command, and checks its response against its session.
run_printed() {
    local command=$1 response code=0
    response=$(bash -o pipefail -c "$command" </dev/null 2>&1) || code=$?
    if [[ $command == *00e[0-9]\"* ]]; then
        ((code != 0)) || failure "The call succeeds: ${response:0:600}" || return
        contains "$response" google.rpc.ErrorInfo '"domain": "face-liveness-facade"'
        return
    fi
    ((code == 0)) || failure "It ends with $code: ${response:0:600}" || return
    case $command in
        *face.jpg) jpeg face.jpg ;;
        # The session is pending, so only the wait makes it final.
        *'"wait":"50s"'*) [[ $(jq -r .verdict <<<"$response") == VERDICT_LIVE ]] || failure "${response:0:600}" ;;
        *0001\"*min_confidence*) [[ $(jq -r .verdict <<<"$response") == VERDICT_LIVE ]] || failure "${response:0:600}" ;;
        *session_id*) [[ $(jq -r .result.status <<<"$response") == LIVENESS_STATUS_* ]] || failure "${response:0:600}" ;;
    esac
}

# Checks the first and last bytes of a JPEG.
jpeg() {
    local ends
    ends=$(head -c3 "$1" | od -An -tx1)$(tail -c2 "$1" | od -An -tx1)
    [[ $ends == " ff d8 ff ff d9" ]] || failure "$1 begins and ends with$ends"
}

# Checks that the guide has a command that matches.
has_command() {
    commands | grep -Eq -- "$1" || failure "No command of the guide has $1."
}

second_waits() {
    local second
    second=$(commands | sed -n 2p)
    contains "$second" grpcurl '"wait":"50s"' 000000000003
}

denied() {
    local response code=0
    response=$(call facade00-0000-4000-8000-0000000000e2) || code=$?
    # 64 plus the gRPC code.
    ((code == 71)) || failure "grpcurl ends with $code, not 71: ${response:0:600}" || return
    contains "$response" 'Code: PermissionDenied' google.rpc.ErrorInfo '"reason": "UPSTREAM_ACCESS_DENIED"' \
        '"awsErrorCode": "AccessDeniedException"' '"region": "us-east-1"'
}

call() {
    grpcurl -plaintext "${@:2}" -d "{\"session_id\":\"$1\"}" "$address" "$service/GetLivenessResult" 2>&1
}

# row ID TEXT: checks that the response for a session or error matches its description in the guide.
row() {
    local id=$1 word=${2%%[ ,]*} response code=0
    # First, since the server caches errors for a moment.
    if [[ $2 == *DEADLINE_EXCEEDED* ]]; then
        contains "$(call "$id" -max-time 1)" '"reason": "DEADLINE_EXCEEDED"' || return
    fi
    response=$(call "$id") || code=$?
    case $word in
        SESSION_* | UPSTREAM_*)
            ((code > 64)) || failure "grpcurl ends with $code: ${response:0:600}" || return
            contains "$response" "\"reason\": \"$word\"" google.rpc.ErrorInfo
            ;;
        CREATED* | IN_PROGRESS | SUCCEEDED | FAILED | EXPIRED)
            # A session whose status changes may have any of them.
            [[ $2 == CREATED,* ]] && word=
            contains "$response" "\"status\": \"LIVENESS_STATUS_$word"
            ;;
        a) contains "$response" '"unrecognizedStatus"' ;;
        *) failure "This test does not know the description \"$2\"." ;;
    esac
}

reflection() {
    local names
    names=$(grpcurl -plaintext "$address" list) || return 1
    contains "$names" "$service" grpc.health.v1.Health || return
    contains "$(grpcurl -plaintext "$address" describe "$service.GetLivenessResult")" GetLivenessResultRequest
}

health() {
    local response
    response=$(grpcurl -plaintext -d "{\"service\":\"$service\"}" "$address" grpc.health.v1.Health/Check) || return 1
    contains "$response" '"status": "SERVING"'
}

for kind in 'grpcurl .*0001".*min_confidence' '^buf curl' 'face\.jpg$' '00e[0-9]"'; do
    check "the guide has a command with $kind" has_command "$kind"
done
check "the second command waits for a pending session" second_waits
while IFS= read -r command; do
    check "runs as printed: $command" run_printed "$command"
done < <(commands)
check "an error prints its details in words" denied
rows=0
while read -r id text; do
    check "$id is as printed: $text" row "$id" "$text"
    rows=$((rows + 1))
done < <(grep -E '^ +facade00-' "$guide")
check "the guide has rows of sessions" test "$rows" -gt 0
check "reflection lists and describes the service" reflection
check "the health check is SERVING" health

echo "$passed passed, $failed failed"
((failed == 0))
