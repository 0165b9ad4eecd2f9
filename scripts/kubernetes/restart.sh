# One hub on one volume, and everything that may happen to its pod.
# shellcheck shell=bash

restart_hub() {
    kubectl --namespace "$ns" rollout restart "$1/hub-petasos" >/dev/null
    kubectl --namespace "$ns" rollout status "$1/hub-petasos" --timeout 2m >/dev/null || fail "the rollout does not finish"
}

part_rollout() {
    use_namespace rollout
    install_hub
    start_load
    local round old crashes
    for round in $(seq "$ROLLOUTS"); do
        old=$(hub_pods)
        say "rollout $round of $ROLLOUTS"
        restart_hub deployment
        await_gone "$old"
        more_load 50
    done
    crashes=$(crash_restarts)
    [ "$crashes" = 0 ] || fail "containers crashed $crashes times"
    stop_load "$ROLLOUTS × rollout restart, one replica, one ReadWriteOnce volume, 0 crash restarts"
    leave_namespace
}

part_delete() {
    use_namespace delete
    install_hub
    start_load
    local round old
    for round in $(seq "$DELETES"); do
        old=$(hub_pods)
        say "delete $round of $DELETES"
        kubectl --namespace "$ns" delete pod "$old" --wait=false >/dev/null
        await_gone "$old"
        more_load 50
    done
    [ "$(crash_restarts)" = 0 ] || fail "containers crashed"
    stop_load "$DELETES × kubectl delete pod"
    leave_namespace
}

# The process of a container, as this machine sees it: its cgroup bears the container's name.
process_of() {
    local container directory
    container=$(kubectl --namespace "$ns" get pod "$1" --output jsonpath='{.status.containerStatuses[0].containerID}')
    container=${container##*/}
    for directory in /proc/[0-9]*; do
        grep --quiet --fixed-strings "$container" "$directory/cgroup" 2>/dev/null && { basename "$directory"; return; }
    done
    fail "the process of $1 is not on this machine"
}

part_kill() {
    use_namespace kill
    install_hub
    start_load
    local round pod process
    pod=$(hub_pods)
    for round in $(seq "$KILLS"); do
        process=$(process_of "$pod")
        say "kill -9 $round of $KILLS"
        kill -9 "$process"
        more_load 200
    done
    # Nobody else is there meanwhile: what cannot be avoided is that publishers meet a closed port until it is back.
    stop_load "$KILLS × kill -9 of the only process (refusals only until it is back)" \
        refused unanswered unconnected cuts refused_connections unanswered_connections
    leave_namespace
}

restart_kubelet() {
    if [ -n "${RESTART_KUBELET:-}" ]; then
        expect "$RESTART_KUBELET" bash -c "$RESTART_KUBELET"
        return
    fi
    local directory process=""
    for directory in /proc/[0-9]*; do
        # The first word of its command line.
        [ "$(basename "$(head -z -n 1 "$directory/cmdline" 2>/dev/null | tr -d '\0')")" = kubelet ] && process=${directory#/proc/}
    done
    [ -n "$process" ] || fail "the kubelet is no process of this machine: set RESTART_KUBELET"
    local words place
    mapfile -d '' words <"/proc/$process/cmdline"
    place=$(readlink "/proc/$process/cwd")
    kill -9 "$process"
    sleep 3
    if command -v systemctl >/dev/null && systemctl is-active --quiet kubelet 2>/dev/null; then return; fi
    (cd "$place" && exec setsid "${words[@]}" >>"$work/kubelet.log" 2>&1) &
}

# A kubelet that has just begun does not know its pods yet.
await_kubelet() {
    for _ in $(seq 120); do
        in_load status >/dev/null 2>&1 && return
        sleep 0.5
    done
    fail "the kubelet does not come back: $(tail -3 "$work/kubelet.log" 2>/dev/null)"
}

part_kubelet() {
    use_namespace kubelet
    install_hub
    start_load
    local old
    say "the kubelet is killed and started again"
    restart_kubelet
    await_kubelet
    more_load 300
    say "and in the middle of a rollout"
    old=$(hub_pods)
    kubectl --namespace "$ns" rollout restart deployment/hub-petasos >/dev/null
    restart_kubelet
    await_kubelet
    kubectl --namespace "$ns" rollout status deployment/hub-petasos --timeout 2m >/dev/null || fail "the rollout does not finish"
    await_gone "$old"
    more_load 50
    [ "$(crash_restarts)" = 0 ] || fail "containers crashed"
    # Up to 1.34 a kubelet that starts takes pods for not ready until it has asked them (KEP-4781), which takes the only one
    # out of its Service for a moment. Its streams go on, and no publish that has a connection notices.
    local minor forgiven=()
    minor=$(kubectl version --output json | python3 -c 'import json,re,sys; print(re.match(r"\d+", json.load(sys.stdin)["serverVersion"]["minor"])[0])')
    [ "$minor" -ge 35 ] || forgiven=(unconnected refused_connections)
    stop_load "kubelet killed and started again, once at rest and once in a rollout" "${forgiven[@]}"
    leave_namespace
}

part_statefulset() {
    use_namespace stateful
    install_hub --set controller=StatefulSet
    start_load
    say "a StatefulSet is restarted: there is a gap, and nothing else"
    restart_hub statefulset
    more_load 100
    stop_load "rollout restart of a StatefulSet (its pod stops before the new one starts)" \
        refused unanswered unconnected cuts refused_connections unanswered_connections
    leave_namespace
}
