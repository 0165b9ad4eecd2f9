# The load, a pod beside the hub, and the judgement of what it counted.
# shellcheck shell=bash

# Starts it and returns when all subscribers are there.
start_load() {
    local address
    address=$(kubectl --namespace "$ns" get service hub-petasos --output jsonpath='{.spec.clusterIP}:{.spec.ports[0].port}')
    kubectl --namespace "$ns" apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata:
  name: load
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 0
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: load
      image: $LOAD_IMAGE
      imagePullPolicy: IfNotPresent
      args: [run]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      env:
        - {name: HUB, value: "$address"}
        - {name: RATE, value: "${RATE:-50}"}
        - {name: SUBSCRIBERS, value: "${SUBSCRIBERS:-20}"}
        - {name: PUBLISHERS, value: "${PUBLISHERS:-10}"}
      readinessProbe:
        exec: {command: [/cluster-load, status]}
        periodSeconds: 1
YAML
    kubectl --namespace "$ns" wait --for=condition=Ready pod/load --timeout 60s >/dev/null ||
        { kubectl --namespace "$ns" logs load >&2; fail "the load does not start"; }
    more_load 100
}

in_load() { kubectl --namespace "$ns" exec load -- /cluster-load "$@"; }

# Waits for so many further updates.
more_load() {
    timeout 120 kubectl --namespace "$ns" exec load -- /cluster-load more "$1" >/dev/null ||
        { kubectl --namespace "$ns" logs load --tail 20 >&2; fail "updates do not go on"; }
}

# Ends the load and judges it. Usage: stop_load TITLE [figures that need not be zero …]
stop_load() {
    local title=$1 line
    shift
    in_load stop >"$work/report.json" || { kubectl --namespace "$ns" logs load --tail 40 >&2; fail "$title: the load failed"; }
    kubectl --namespace "$ns" delete pod load --wait=false >/dev/null
    line=$(python3 scripts/kubernetes/judge.py "$work/report.json" "$@") || fail "$title: $line"
    note "$title: $line"
}
