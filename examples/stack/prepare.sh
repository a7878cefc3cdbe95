#!/bin/sh
# Make what the services of docker-compose.yml need before their first start: a secret, the run
# whose users will come, its arms as bundles, and API keys. What is there already stays.
set -eu
umask 077
: "${MATINEE_STACK:?}" "${MATINEE_SERVICE_DATA_DIR:?}" "${MATINEE_SECRET_FILE:?}"
: "${MATINEE_SCRAPE_KEY:?}" "${MATINEE_DRIVE_KEY:?}" "${POSTGRES_PASSWORD:?}"

# It becomes part of the database's address, in which other characters have a meaning.
case $POSTGRES_PASSWORD in
  *[!A-Za-z0-9._~-]*)
    echo "POSTGRES_PASSWORD must be made of A-Z a-z 0-9 - . _ ~ alone: choose another one; if this is" \
      "the first start, docker compose down --volumes before the next one" >&2
    exit 1
    ;;
esac

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

# key FILE MODE NAME SCOPE...: the text of a key goes into a file of its own.
key() {
  file=$1 mode=$2 name=$3
  shift 3
  [ -s "$file" ] && return
  for scope in "$@"; do
    set -- "$@" --scope "$scope"
    shift
  done
  matinee keys create "$name" "$@" --data-dir "$MATINEE_SERVICE_DATA_DIR" >"$file.new"
  chmod "$mode" "$file.new"
  mv "$file.new" "$file"
}
# Prometheus is another user, and its folder has nothing else in it.
key "$MATINEE_SCRAPE_KEY" 644 scrape read
key "$MATINEE_DRIVE_KEY" 600 drive decide reward read admin
echo "The service may start."
