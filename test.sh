#!/usr/bin/env bash
# Runs the given make targets as stages, says how long each took, and ends with
# the number of tests that passed and failed. A stage that fails does not keep
# the later ones from running, so that one run shows all there is to mend. A
# skipped test counts as a failure.
set -u
cd "$(dirname "$0")"
log=${WORK:-.work}/log
mkdir -p "$log"
rm -f "$log"/test-*.txt
failed=()
for stage in "$@"; do
	begin=$SECONDS
	echo "== $stage"
	make --no-print-directory "$stage" TESTFLAGS=-v 2>&1 | tee "$log/$stage.txt" |
		grep --line-buffered -Ev '^(=== (RUN|PAUSE|CONT|NAME)|\s+--- PASS)'
	[ "${PIPESTATUS[0]}" -eq 0 ] || failed+=("$stage")
	echo "== $stage took $((SECONDS - begin)) s"
done

count() { cat "$log"/test-*.txt | grep -cE "^\s*--- $1"; }
passed=$(count PASS) lost=$(count FAIL)
if [ "$(count SKIP)" -gt 0 ]; then
	grep -hE '^\s*--- SKIP' "$log"/test-*.txt
	failed+=("skipped tests")
fi
if [ ${#failed[@]} -gt 0 ]; then
	echo "failed: ${failed[*]}"
	[ "$lost" -gt 0 ] || lost=${#failed[@]}
fi
echo "$passed passed, $lost failed"
[ ${#failed[@]} -eq 0 ]
