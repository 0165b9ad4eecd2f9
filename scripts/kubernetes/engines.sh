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

# Runs a server beside the cluster until the test ends.
serve_beside() {
    local log=$1
    shift
    "$@" >"$work/$log.log" 2>&1 &
    servers+=($!)
}

await_port() {
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null && return
        sleep 0.2
    done
    fail "nothing listens on $1:$2: $(tail -3 "$work"/*.log)"
}

# Sets $url, and starts the server unless a URL was given.
engine_url() {
    local engine=$1 variable=${1^^}_URL address binaries
    url=${!variable:-}
    [ -z "$url" ] || return 0
    address=$(own_address "$engine")
    case "$engine" in
        redis)
            serve_beside redis redis-server --bind "$address" --port 16379 --dir "$work" --appendonly yes \
                --appendfsync everysec --protected-mode no --save ''
            await_port "$address" 16379
            url=redis://$address:16379
            ;;
        nats)
            local program=${CARGO_TARGET_DIR:-target}/test-servers/nats-server
            [ -x "$program" ] || program=$(command -v nats-server || echo /usr/sbin/nats-server)
            serve_beside nats "$program" --addr "$address" --port 14222 --jetstream --store_dir "$work/nats"
            await_port "$address" 14222
            url=nats://$address:14222
            ;;
        postgres)
            binaries=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
            chmod 755 "$work"
            install -d -o postgres -g postgres "$work/postgres"
            # It does not run as root.
            local as=(setpriv --reuid postgres --regid postgres --clear-groups)
            expect "initdb" "${as[@]}" "$binaries/initdb" --pgdata "$work/postgres" --auth trust --username petasos --no-sync
            echo "host all all 0.0.0.0/0 trust" >>"$work/postgres/pg_hba.conf"
            # What a disk does under the load of other parts is not what is tested here.
            serve_beside postgres "${as[@]}" "$binaries/postgres" -D "$work/postgres" -h "$address" -p 15432 -k '' -c fsync=off
            await_port "$address" 15432
            url=postgres://petasos@$address:15432/postgres
            ;;
    esac
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
    install_hub --set transportUrl="$url" --set replicaCount=3
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
