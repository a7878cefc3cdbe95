#!/bin/sh
# Let the simulated users of the run live with the service; what was interrupted goes on.
set -eu
: "${MATINEE_SERVICE_DATA_DIR:?}" "${MATINEE_DRIVE_KEY:?}" "${MATINEE_URL:?}"
MATINEE_API_KEY=$(cat "$MATINEE_DRIVE_KEY")
export MATINEE_API_KEY
run=$MATINEE_SERVICE_DATA_DIR/run
resume=
[ -f "$run/drive/stack.npz" ] && resume=--resume
# shellcheck disable=SC2086 # an option or nothing
exec matinee drive "$run" --url "$MATINEE_URL" --speed "${MATINEE_DAYS_PER_SECOND:-0.2}" $resume --json
