# Several replicas on an engine that they share.
# shellcheck shell=bash

# Where pods reach this machine: an address of the node that is one of ours.
own_address() {
    local address
    for address in $(kubectl get nodes --output jsonpath='{.items[*].status.addresses[?(@.type=="InternalIP")].address}'); do
        ip -oneline address show | grep --fixed-strings " $address/" >/dev/null && { echo "$address"; return; }
    done
    fail "pods cannot reach this machine: set ${1^^}_URL"
}

# Runs a server beside the cluster until the test ends, and returns when it listens there.
# Usage: serve_beside NAME ADDRESS PORT COMMAND …
serve_beside() {
    local name=$1 address=$2 port=$3 server
    shift 3
    "$@" >"$work/$name.log" 2>&1 &
    server=$!
    servers+=("$server")
    for _ in $(seq 150); do
        # Not somebody else, who may have taken the port meanwhile.
        ss --no-header --listening --tcp --numeric --processes "src $address and sport = :$port" |
            grep "pid=$server," >/dev/null && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.2
    done
    tail -5 "$work/$name.log" >&2
    fail "$name does not listen on $address:$port"
}

free_port() { python3 -c 'import socket, sys; s = socket.socket(); s.bind((sys.argv[1], 0)); print(s.getsockname()[1])' "$1"; }

# A server that was given may have logs of others, and of the run before: adds a name to a URL that has none.
# Usage: own_log URL PARAMETER
own_log() {
    local name
    name=petasos_test_$(random 4)
    case "$1" in
        *[?\&]"$2"=*) echo "$1" ;;
        *\?*) echo "$1&$2=$name" ;;
        *) echo "$1?$2=$name" ;;
    esac
}

# Sets $url, and starts the server unless a URL was given. Whoever reaches the node reaches that server: everything in it needs
# a password that is made here, and is written to files that only their owner may read, since all see the words of a command.
engine_url() {
    local engine=$1 variable=${1^^}_URL parameter=prefix address port password
    case "$engine" in
        nats) parameter=stream ;;
        postgres) parameter=schema ;;
    esac
    url=${!variable:-}
    if [ -n "$url" ]; then
        url=$(own_log "$url" "$parameter")
        say "$engine: what remains on the server is in the $parameter ${url##*"$parameter"=}"
        return
    fi
    address=$(own_address "$engine")
    port=$(free_port "$address")
    password=$(random 16)
    "serve_$engine"
}

serve_redis() {
    (umask 077 && cat >"$work/redis.conf") <<CONF
bind $address
port $port
dir $work
requirepass $password
appendonly yes
appendfsync everysec
save ""
CONF
    serve_beside redis "$address" "$port" redis-server "$work/redis.conf"
    url=redis://:$password@$address:$port
}

serve_nats() {
    (umask 077 && cat >"$work/nats.conf") <<CONF
host: "$address"
port: $port
authorization { user: petasos, password: "$password" }
jetstream { store_dir: "$work/nats" }
CONF
    serve_beside nats "$address" "$port" "$(nats_server)" --config "$work/nats.conf"
    url=nats://petasos:$password@$address:$port
}

serve_postgres() {
    local programs data=$work/postgres as=()
    programs=$(postgres_programs)
    # It does not run as root.
    if [ "$(id -u)" = 0 ]; then
        chmod 711 "$work"
        install --directory --owner postgres --group postgres --mode 700 "$data"
        as=(setpriv --reuid postgres --regid postgres --clear-groups)
    fi
    expect "initdb" "${as[@]}" "$programs/initdb" --pgdata "$data" --auth reject --username postgres --no-sync
    # Its superuser cannot log in; this role owns its database, and nothing else.
    expect "making a role and its database" "${as[@]}" "$programs/postgres" --single -D "$data" \
        -c password_encryption=scram-sha-256 postgres <<SQL
CREATE ROLE petasos LOGIN PASSWORD '$password'
CREATE DATABASE petasos OWNER petasos
SQL
    echo "host petasos petasos all scram-sha-256" >"$data/pg_hba.conf"
    # What a disk does under the load of other parts is not what is tested here.
    serve_beside postgres "$address" "$port" \
        "${as[@]}" "$programs/postgres" -D "$data" -h "$address" -p "$port" -k '' -c fsync=off
    url=postgres://petasos:$password@$address:$port/petasos
}

scale_hub() {
    kubectl --namespace "$ns" scale deployment/hub-petasos --replicas "$1" >/dev/null
    kubectl --namespace "$ns" rollout status deployment/hub-petasos --timeout 2m >/dev/null || fail "scaling to $1 does not finish"
    for _ in $(seq 240); do
        [ "$(kubectl --namespace "$ns" get pods --selector app.kubernetes.io/component=hub --output name | wc -l)" = "$1" ] && return
        sleep 0.5
    done
    fail "there are not $1 pods"
}

part_engine() {
    local engine=$1 url old
    engine_url "$engine"
    use_namespace "$engine"
    # Not as a word of a command, and whatever characters it has.
    (umask 077 && python3 -c 'import json, sys; json.dump({"transportUrl": sys.stdin.read()}, sys.stdout)' >"$work/$engine.json") \
        < <(printf '%s' "$url")
    install_hub --values "$work/$engine.json" --set replicaCount=3
    expect "helm test" helm test hub --namespace "$ns" --timeout 1m
    start_load
    say "$engine: rollout of 3 replicas"
    mapfile -t old < <(hub_pods)
    restart_hub deployment
    await_gone "${old[@]}"
    more_load 50
    local count
    for count in 5 2; do
        say "$engine: scaled to $count"
        scale_hub "$count"
        more_load 100
    done
    [ "$(crash_restarts)" = 0 ] || fail "containers crashed"
    stop_load "$engine: rollout of 3 replicas, then 3 → 5 → 2"
    leave_namespace
}
