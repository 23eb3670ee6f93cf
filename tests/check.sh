# Sourced by test scripts. Counts checks in `passed` and `failed`.
# shellcheck shell=bash disable=SC2034
passed=0 failed=0

# check SENTENCE COMMAND...: runs the command; on failure its output is the reason.
check() {
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
