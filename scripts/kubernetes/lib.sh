# What all parts of scripts/test-kubernetes share: settings, messages, namespaces, releases.
# shellcheck shell=bash

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
IMAGE=${IMAGE:-ghcr.io/petasos/petasos:$version}
LOAD_IMAGE=${LOAD_IMAGE:-ghcr.io/petasos/cluster-load:test}
ROLLOUTS=${ROLLOUTS:-5}
DELETES=${DELETES:-5}
KILLS=${KILLS:-2}
PRESTOP=${PRESTOP:-10}
DELAY=${DELAY:-5}
DRAIN=${DRAIN:-10}
CHART=charts/petasos
PREVIOUS=charts/previous/petasos-0.1.0.tgz
STOP=(--set "shutdown.preStopSeconds=$PRESTOP" --set "shutdown.delaySeconds=$DELAY" --set "shutdown.drainSeconds=$DRAIN")
# A stop takes no longer than this and what the grace period adds.
STOP_TIMEOUT=$((PRESTOP + DELAY + DRAIN + 30))s

work=$(mktemp -d)
# Where the processes of one run meet, and what its namespaces are labelled with.
shared=${RUN_DIRECTORY:-$work}
# What this process has made in the cluster, as kubectl names it (namespace/…), and has not removed yet.
declare -A made=()
servers=()

# So many random bytes, as hexadecimal digits.
random() { od --address-radix=n --format=x1 --read-bytes "$1" /dev/urandom | tr -d ' \n'; }
[ -e "$shared/run" ] || random 4 >"$shared/run"
run=$(<"$shared/run")

say() { printf '== %s\n' "$*"; }

fail() {
    local thing namespace
    printf 'FAILED: %s\n' "$*" >&2
    for thing in "${!made[@]}"; do
        [[ $thing = namespace/* ]] || continue
        namespace=${thing#namespace/}
        # The end of what there is to know; a cluster of this test is gone in a moment.
        kubectl --namespace "$namespace" get pods --output wide 2>/dev/null || true
        kubectl --namespace "$namespace" get events --sort-by=.lastTimestamp 2>/dev/null | tail -15 || true
        kubectl --namespace "$namespace" logs --selector app.kubernetes.io/component=hub --tail 15 --prefix 2>/dev/null || true
    done >&2
    exit 1
}

clean_up() {
    local thing server
    for thing in "${!made[@]}"; do kubectl delete "$thing" --wait=false >/dev/null 2>&1 || true; done
    # Only processes that this script has started. PostgreSQL does not wait for its clients then.
    for server in "${servers[@]}"; do kill -INT "$server" 2>/dev/null && wait "$server" || true; done
    rm -rf "$work"
}
trap clean_up EXIT

# Fails with a message unless a command succeeds.
expect() {
    local what=$1
    shift
    "$@" >"$work/output" 2>&1 || { tail -30 "$work/output" >&2; fail "$what"; }
}

# As expect, for what takes nodes a moment to learn.
expect_soon() {
    local what=$1
    shift
    for _ in $(seq 20); do
        "$@" >"$work/output" 2>&1 && return
        sleep 1
    done
    tail -30 "$work/output" >&2
    fail "$what"
}

# What is remembered of a part for the table at the end.
note() {
    printf '%s\n' "$*" >>"$shared/$part.results"
    say "$*"
}

# The end of a part that cannot be done here. Whoever asked for it by its name, or for all of it without exception, is not
# served by a run that did something else.
leave_out() {
    [ -z "${STRICT:-}" ] || [ "$STRICT" = 0 ] || fail "$part: $*"
    [ ! -e "$shared/by-name" ] || fail "$part: $*"
    note "$part: left out, $*"
}

# Usage: summary PART …
summary() {
    local results=() verdict="all of it held"
    mapfile -t results < <(for part in "$@"; do cat "$shared/$part.results"; done)
    if printf '%s\n' "${results[@]}" | grep --quiet '^[a-z]*: left out, '; then verdict="NOT ALL OF IT WAS DONE, the rest held"; fi
    say "$verdict:"
    printf '   %s\n' "${results[@]}"
}

# Begins a part: a namespace that takes only pods as restricted as they can be. Sets $ns.
use_namespace() {
    # Not the number of this process, which several have where each runs in a container of its own.
    ns=petasos-$1-$run-$(random 2)
    kubectl create namespace "$ns" >/dev/null || fail "the namespace $ns cannot be made"
    # Not before: one that was there already is somebody else's, and stays.
    made[namespace/$ns]=1
    kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=restricted \
        pod-security.kubernetes.io/warn=restricted "petasos-test=$run" >/dev/null
    free_volumes
}

# Ends it. The cluster takes ten seconds and more until all of it is gone, which nobody waits for before the end of the run.
leave_namespace() {
    # Nobody looks any more, so that pods need not take their time: without their controllers, which would make new ones, and
    # without the garbage collector, which would let them stop slowly. The cluster looks at a deleted namespace after 5 s, and, if
    # it has pods then, again after half of what these might take to stop, however soon they do.
    kubectl --namespace "$ns" delete deployments,statefulsets,replicasets --all --cascade=orphan >/dev/null
    kubectl --namespace "$ns" delete pods --all --grace-period 1 --wait=false >/dev/null
    # Gone with the last pod.
    kubectl --namespace "$ns" delete persistentvolumeclaims --all --wait=false >/dev/null
    kubectl delete namespace "$ns" --wait=false >/dev/null
    unset "made[namespace/$ns]"
}

# Waits until nothing is left of this run.
await_namespaces() {
    local namespace
    for namespace in $(kubectl get namespaces --selector "petasos-test=$run" --output name); do
        kubectl wait --for=delete "$namespace" --timeout 2m >/dev/null 2>&1 || fail "$namespace does not go away"
    done
    free_volumes
}

# A volume that is kept after its claim has gone is free when somebody has looked through it; here the test does, as far as
# volumes are files of this machine, and only with its own. One process at a time: a volume that is free is soon in use.
free_volumes() {
    [ -n "${CLUSTER_DIR:-}" ] || return 0
    local volume phase claimant lock
    exec {lock}>"$shared/volumes.lock"
    flock "$lock"
    while read -r volume phase claimant; do
        [[ $phase = Released && $claimant = petasos-*-$run-* && -d $CLUSTER_DIR/pv/${volume#pv} ]] || continue
        find "$CLUSTER_DIR/pv/${volume#pv}" -mindepth 1 -delete
        kubectl patch pv "$volume" --type json --patch '[{"op":"remove","path":"/spec/claimRef"}]' >/dev/null
    done < <(kubectl get pv \
        --output jsonpath='{range .items[*]}{.metadata.name} {.status.phase} {.spec.claimRef.namespace}{"\n"}{end}')
    exec {lock}>&-
}

# helm with the image under test. Names the release hub.
release() {
    local verb=$1 chart=$2
    shift 2
    helm "$verb" hub "$chart" --namespace "$ns" --set "image.repository=${IMAGE%:*}" --set "image.tag=${IMAGE##*:}" "$@"
}

# Installs a hub that the load can use.
install_hub() {
    expect "helm install does not come to an end" release install "$CHART" --values scripts/kubernetes/keys.yaml \
        "${STOP[@]}" --wait --timeout 2m "$@"
}

# The names of the pods of the hub that are not about to go.
hub_pods() {
    kubectl --namespace "$ns" get pods --selector app.kubernetes.io/component=hub --output json | python3 -c '
import json, sys
for pod in json.load(sys.stdin)["items"]:
    if "deletionTimestamp" not in pod["metadata"]: print(pod["metadata"]["name"])'
}

# How often containers of the hub were started again, and whether the kubelet had to wait with one.
crash_restarts() {
    local restarts backoffs
    restarts=$(kubectl --namespace "$ns" get pods --selector app.kubernetes.io/component=hub \
        --output jsonpath='{range .items[*]}{.status.containerStatuses[0].restartCount}{"\n"}{end}' | awk '{ n += $1 } END { print n + 0 }')
    backoffs=$(kubectl --namespace "$ns" get events --field-selector reason=BackOff --output name | wc -l)
    echo $((restarts + backoffs))
}

# Waits for pods to be gone, those that were there before a rollout.
await_gone() {
    local pod
    for pod in "$@"; do
        kubectl --namespace "$ns" wait --for=delete "pod/$pod" --timeout "$STOP_TIMEOUT" >/dev/null 2>&1 ||
            fail "pod $pod does not stop"
    done
}

# Runs petasos in a pod of the hub.
in_hub() { kubectl --namespace "$ns" exec "$(hub_pods | sed -n 1p)" --container petasos -- /petasos "$@"; }
