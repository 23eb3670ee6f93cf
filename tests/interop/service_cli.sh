#!/usr/bin/env bash
# Runs what `demo` prints, word for word, and holds the answers against what is printed about them.
#
#   service_cli.sh GUIDE      a file with the guide of a running demo
#
# Needs grpcurl, buf and jq.
set -euo pipefail

guide=$(realpath "$1")
readonly guide
readonly service=faceliveness.v1.FaceLivenessService
address=$(grep -om1 '127\.0\.0\.1:[0-9]*' "$guide")
readonly address

# A pasted line may write a file.
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT

passed=0 failed=0

# keeps SENTENCE COMMAND...: the promise is kept when the command succeeds; what it prints is the reason when not.
keeps() {
    local sentence=$1 reason
    shift
    if reason=$("$@" 2>&1); then
        echo "ok: $sentence"
        passed=$((passed + 1))
    else
        echo "FAILED: $sentence: $reason"
        failed=$((failed + 1))
    fi
}

# For the end of a check: the reason why its promise is not kept.
broken() {
    echo "$1"
    return 1
}

# One printed command a line, its continuation lines joined.
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
        [[ $text == *"$wanted"* ]] || broken "$wanted is not in: ${text:0:600}" || return
    done
}

# pasted COMMAND: it is answered as its session is.
pasted() {
    local command=$1 answer code=0
    answer=$(bash -o pipefail -c "$command" </dev/null 2>&1) || code=$?
    if [[ $command == *00e[0-9]\"* ]]; then
        ((code != 0)) || broken "The call is answered: ${answer:0:600}" || return
        contains "$answer" google.rpc.ErrorInfo '"domain": "face-liveness-facade"'
        return
    fi
    ((code == 0)) || broken "It ends with $code: ${answer:0:600}" || return
    case $command in
        *face.jpg) jpeg face.jpg ;;
        *0001\"*min_confidence*) [[ $(jq -r .verdict <<<"$answer") == VERDICT_LIVE ]] || broken "${answer:0:600}" ;;
        *session_id*) [[ $(jq -r .result.status <<<"$answer") == LIVENESS_STATUS_* ]] || broken "${answer:0:600}" ;;
    esac
}

# A JPEG begins with its start of image and ends with its end of image.
jpeg() {
    local ends
    ends=$(head -c3 "$1" | od -An -tx1)$(tail -c2 "$1" | od -An -tx1)
    [[ $ends == " ff d8 ff ff d9" ]] || broken "$1 begins and ends with$ends"
}

# What a newcomer is to see must not leave the guide unnoticed.
shown() {
    commands | grep -Eq -- "$1" || broken "No command of the guide has $1."
}

denied() {
    local answer code=0
    answer=$(call facade00-0000-4000-8000-0000000000e2) || code=$?
    # 64 and the code of gRPC.
    ((code == 71)) || broken "grpcurl ends with $code, not 71: ${answer:0:600}" || return
    contains "$answer" 'Code: PermissionDenied' google.rpc.ErrorInfo '"reason": "UPSTREAM_ACCESS_DENIED"' \
        '"awsErrorCode": "AccessDeniedException"' '"region": "us-east-1"'
}

call() {
    grpcurl -plaintext "${@:2}" -d "{\"session_id\":\"$1\"}" "$address" "$service/GetLivenessResult" 2>&1
}

# row ID TEXT: the answer for a printed session or error is what the guide says of it.
row() {
    local id=$1 word=${2%%[ ,]*} answer code=0
    # First, since a server may remember an error for a moment.
    if [[ $2 == *DEADLINE_EXCEEDED* ]]; then
        contains "$(call "$id" -max-time 1)" '"reason": "DEADLINE_EXCEEDED"' || return
    fi
    answer=$(call "$id") || code=$?
    case $word in
        SESSION_* | UPSTREAM_*)
            ((code > 64)) || broken "grpcurl ends with $code: ${answer:0:600}" || return
            contains "$answer" "\"reason\": \"$word\"" google.rpc.ErrorInfo
            ;;
        CREATED* | IN_PROGRESS | SUCCEEDED | FAILED | EXPIRED)
            # A session that moves on may be anywhere on its way.
            [[ $2 == CREATED,* ]] && word=
            contains "$answer" "\"status\": \"LIVENESS_STATUS_$word"
            ;;
        a) contains "$answer" '"unrecognizedStatus"' ;;
        *) broken "This test does not know what \"$2\" promises." ;;
    esac
}

reflection() {
    local names
    names=$(grpcurl -plaintext "$address" list) || return 1
    contains "$names" "$service" grpc.health.v1.Health || return
    contains "$(grpcurl -plaintext "$address" describe "$service.GetLivenessResult")" GetLivenessResultRequest
}

health() {
    local answer
    answer=$(grpcurl -plaintext -d "{\"service\":\"$service\"}" "$address" grpc.health.v1.Health/Check) || return 1
    contains "$answer" '"status": "SERVING"'
}

for kind in 'grpcurl .*0001".*min_confidence' '^buf curl' 'face\.jpg$' '00e[0-9]"'; do
    keeps "the guide has a command with $kind" shown "$kind"
done
while IFS= read -r command; do
    keeps "pasted: $command" pasted "$command"
done < <(commands)
keeps "an error prints its details in words" denied
rows=0
while read -r id text; do
    keeps "$id is as printed: $text" row "$id" "$text"
    rows=$((rows + 1))
done < <(grep -E '^ +facade00-' "$guide")
keeps "the guide has rows of sessions" test "$rows" -gt 0
keeps "reflection lists and describes the service" reflection
keeps "the health check is SERVING" health

echo "$passed passed, $failed failed"
((failed == 0))
