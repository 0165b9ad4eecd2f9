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

# The process of a container, where this machine shows it and lets it be killed: its cgroup bears the container's name, which no
# other has.
process_of() {
    local container directory
    container=$(kubectl --namespace "$ns" get pod "$1" --output jsonpath='{.status.containerStatuses[0].containerID}')
    container=${container##*/}
    [ -n "$container" ] || return 1
    for directory in /proc/[0-9]*; do
        grep --quiet --fixed-strings "$container" "$directory/cgroup" 2>/dev/null || continue
        kill -0 "${directory#/proc/}" 2>/dev/null && { basename "$directory"; return; }
    done
    return 1
}

part_kill() {
    use_namespace kill
    install_hub
    local round pod process
    pod=$(hub_pods)
    # The image has nothing that could do it from within.
    if ! process=$(process_of "$pod"); then
        leave_out "the process of $pod is none that can be killed from here: run it as root, on the node"
        leave_namespace
        return
    fi
    start_load
    for round in $(seq "$KILLS"); do
        process=$(process_of "$pod") || fail "the process of $pod is gone"
        say "kill -9 $round of $KILLS"
        kill -9 "$process"
        more_load 200
    done
    # Nobody else is there meanwhile: what cannot be avoided is that publishers meet a closed port until it is back.
    stop_load "$KILLS × kill -9 of the only process (refusals only until it is back)" \
        refused unanswered unconnected cuts refused_connections unanswered_connections
    leave_namespace
}

# Sets $kubelet to the process that is the kubelet of a node of this cluster, or $obstacle to why there is none. Kubelets of
# other clusters may be visible as well, those of nodes in containers among them: one that was started again from here would be
# in the wrong namespaces, with the files of this machine.
find_kubelet() {
    local directory word words=() found=() node
    kubelet="" obstacle=""
    for directory in /proc/[0-9]*; do
        { IFS= read -r -d '' word <"$directory/cmdline"; } 2>/dev/null || continue
        [ "${word##*/}" = kubelet ] || continue
        [ "$(readlink "$directory/ns/mnt" "$directory/ns/pid" 2>/dev/null)" = "$(readlink /proc/self/ns/mnt /proc/self/ns/pid)" ] ||
            continue
        found+=("${directory#/proc/}")
    done
    if [ "${#found[@]}" -ne 1 ]; then
        obstacle="the namespaces of this process have ${#found[@]} kubelets, not one"
        return
    fi
    mapfile -d '' words <"/proc/${found[0]}/cmdline"
    # It takes the name of the machine in small letters.
    node=$(uname -n | tr '[:upper:]' '[:lower:]')
    local at
    for at in "${!words[@]}"; do
        case "${words[at]}" in
            --hostname-override=*) node=${words[at]#*=} ;;
            --hostname-override) node=${words[at + 1]:-} ;;
        esac
    done
    # Another cluster may have a node of this name, but not on a kernel that was started at this boot.
    if kubectl get nodes --output jsonpath='{range .items[*]}{.metadata.name} {.status.nodeInfo.bootID}{"\n"}{end}' |
        grep --line-regexp --fixed-strings "$node $(</proc/sys/kernel/random/boot_id)" >/dev/null; then
        kubelet=${found[0]}
    else
        obstacle="the kubelet of this machine is not that of a node of this cluster ($node)"
    fi
}

restart_kubelet() {
    if [ -n "${RESTART_KUBELET:-}" ]; then
        expect "$RESTART_KUBELET" bash -c "$RESTART_KUBELET"
        return
    fi
    find_kubelet
    [ -n "$kubelet" ] || fail "$obstacle any more"
    local words place service=""
    mapfile -d '' words <"/proc/$kubelet/cmdline"
    place=$(readlink "/proc/$kubelet/cwd")
    if grep --quiet '/kubelet\.service$' "/proc/$kubelet/cgroup"; then service=yes; fi
    kill -9 "$kubelet"
    sleep 3
    if [ -n "$service" ]; then
        # It may be waiting before it starts it again by itself.
        expect "systemctl start kubelet" systemctl start kubelet
        return
    fi
    (cd "$place" && exec setsid "${words[@]}" >>"$work/kubelet.log" 2>&1) &
    # The shell would tell of its end, which is wanted.
    disown
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
    if [ -z "${RESTART_KUBELET:-}" ]; then
        find_kubelet
        [ -n "$kubelet" ] || { leave_out "$obstacle: set RESTART_KUBELET to a command that restarts the hub's"; return; }
    fi
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
