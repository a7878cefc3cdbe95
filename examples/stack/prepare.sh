#!/bin/sh
# Make what the services of docker-compose.yml need before their first start: a secret, the run
# whose users will come, its arms as bundles, and API keys. What is there already stays.
set -eu
umask 077
: "${MATINEE_STACK:?}" "${MATINEE_SERVICE_DATA_DIR:?}" "${MATINEE_SECRET_FILE:?}" "${MATINEE_KEYS:?}"

if [ ! -s "$MATINEE_SECRET_FILE" ]; then
  python -c 'import secrets; print(secrets.token_hex(32))' >"$MATINEE_SECRET_FILE.new"
  mv "$MATINEE_SECRET_FILE.new" "$MATINEE_SECRET_FILE"
fi

run=$MATINEE_SERVICE_DATA_DIR/run
[ -f "$run/results.json" ] ||
  matinee simulate --config "$MATINEE_STACK/run.yaml" --out "$run" --overwrite --quiet >/dev/null
for arm in mf_order lin_ucb; do
  [ -f "$MATINEE_SERVICE_DATA_DIR/bundles/$arm/bundle.json" ] ||
    matinee deploy "$run:$arm" --to "$MATINEE_SERVICE_DATA_DIR" --first-day
done

# key NAME SCOPE...: the text of a key goes into a file of its own, which other users may read.
key() {
  name=$1
  shift
  [ -s "$MATINEE_KEYS/$name" ] && return
  for scope in "$@"; do
    set -- "$@" --scope "$scope"
    shift
  done
  matinee keys create "$name" "$@" --data-dir "$MATINEE_SERVICE_DATA_DIR" >"$MATINEE_KEYS/$name.new"
  chmod 644 "$MATINEE_KEYS/$name.new"
  mv "$MATINEE_KEYS/$name.new" "$MATINEE_KEYS/$name"
}
key scrape read
key drive decide reward read admin
echo "The service may start."
