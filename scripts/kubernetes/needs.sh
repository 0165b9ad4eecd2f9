# What scripts/test-kubernetes needs on the machine where it runs. Written so that any bash can read it, since that is the first
# thing that it looks at.
# shellcheck shell=bash

# The one that the tests have built, else one of the system.
nats_server() {
    local program=${CARGO_TARGET_DIR:-target}/test-servers/nats-server
    if [ -x "$program" ]; then echo "$program"; else PATH=$PATH:/usr/sbin command -v nats-server; fi
}

# The newest that is installed.
postgres_programs() { find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort --version-sort | tail -1; }

# Fails, and names all that is missing at once. Usage: check_needs PART …
check_needs() {
    local missing=() program part
    [ "$((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1]))" -ge 404 ] || missing+=("bash 4.4 (this is $BASH_VERSION)")
    for program in od find xargs grep sed; do
        case "$("$program" --version 2>/dev/null)" in
            *"(GNU "* | *uutils*) ;;
            *) missing+=("$program of GNU (coreutils, findutils, grep, sed)") ;;
        esac
    done
    for program in kubectl helm python3 awk; do command -v "$program" >/dev/null || missing+=("$program"); done
    if [ -n "${CLUSTER_DIR:-}" ] && ! command -v flock >/dev/null; then missing+=("flock"); fi
    for part in "$@"; do
        case "$part" in
            manifests) command -v kubeconform >/dev/null || missing+=("kubeconform for manifests") ;;
            migrate) command -v gzip >/dev/null || missing+=("gzip for migrate") ;;
            redis | move)
                [ -n "${REDIS_URL:-}" ] || command -v redis-server >/dev/null || missing+=("redis-server for redis, or REDIS_URL")
                ;;
            nats) [ -n "${NATS_URL:-}" ] || nats_server >/dev/null || missing+=("nats-server for nats, or NATS_URL") ;;
            postgres)
                [ -n "${POSTGRES_URL:-}" ] || [ -n "$(postgres_programs)" ] ||
                    missing+=("the programs of a PostgreSQL server for postgres, or POSTGRES_URL")
                [ -n "${POSTGRES_URL:-}" ] || [ "$(id -u)" != 0 ] || command -v setpriv >/dev/null ||
                    missing+=("setpriv for postgres")
                ;;
        esac
        case "$part" in
            redis | nats | postgres | move)
                program=$(echo "${part/move/redis}_URL" | tr '[:lower:]' '[:upper:]')
                [ -n "${!program:-}" ] || { command -v ip && command -v ss; } >/dev/null ||
                    missing+=("ip and ss for $part, or $program")
                ;;
        esac
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    {
        echo "FAILED: this is missing here:"
        printf '  %s\n' "${missing[@]}"
    } >&2
    return 1
}
