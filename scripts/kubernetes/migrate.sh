# A hub of another image, whose volume holds a Bolt file that it has locked, gives way to this one.
# shellcheck shell=bash

# Usage: old_hub POD_SECURITY_CONTEXT CONTAINER_SECURITY_CONTEXT
old_hub() {
    kubectl --namespace "$ns" apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: mercure}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: mercure}
spec:
  selector: {matchLabels: {app: mercure}}
  template:
    metadata: {labels: {app: mercure, app.kubernetes.io/component: hub}}
    spec:
      terminationGracePeriodSeconds: 5
      securityContext: $1
      containers:
        - name: petasos
          image: $LOAD_IMAGE
          imagePullPolicy: IfNotPresent
          args: [hold, /mercure.db, /data/mercure.db]
          securityContext: $2
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: mercure}}]
YAML
    kubectl --namespace "$ns" rollout status deployment/mercure --timeout 60s >/dev/null || fail "the old hub does not start"
    # The lock is what the new hub meets.
    kubectl --namespace "$ns" logs deployment/mercure | grep locked >/dev/null || fail "the old hub holds no lock"
}

# Compares the history with the list that belongs to the file, and goes on from its first event. Sets $taken.
check_history() {
    local listed id next url token
    listed=$(gzip --decompress --stdout crates/petasos-hub/testdata/bolt/reference-0.24.2.jsonl.gz | ids)
    taken=0
    for _ in $(seq 60); do
        in_hub history export 2>/dev/null | ids >"$work/taken" || true
        taken=$(grep --count . "$work/taken" || true)
        [ "$taken" -gt 0 ] && break
        sleep 1
    done
    [ "$taken" -gt 0 ] || fail "nothing was taken over"
    python3 scripts/kubernetes/overlap.py "$work/taken" <<<"$listed" || fail "the history is not the one of the old hub"
    id=$(sed -n 1p "$work/taken")
    next=$(sed -n 2p "$work/taken")
    url=http://localhost:8080
    token=$(in_hub token --subscribe '*' --audience "$url/.well-known/mercure" 2>/dev/null)
    in_hub subscribe --url "$url" --token "$token" --last-event-id "$id" --count 1 --timeout 30s --format json '*' |
        grep --fixed-strings "$next" >/dev/null || fail "the old cursor is not known"
}

ids() { python3 -c 'import json,sys; print("\n".join(json.loads(line)["id"] for line in sys.stdin))'; }

part_migrate() {
    local old
    use_namespace migrate
    say "the image of a Deployment is changed"
    old_hub '{runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000, seccompProfile: {type: RuntimeDefault}}' \
        '{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}'
    # One more, none less: the new pod starts while the old one holds the lock of its file. Its environment is the old hub's.
    kubectl --namespace "$ns" patch deployment mercure --type json --patch "[
        {\"op\": \"replace\", \"path\": \"/spec/template/spec/containers/0/image\", \"value\": \"$IMAGE\"},
        {\"op\": \"remove\", \"path\": \"/spec/template/spec/containers/0/args\"},
        {\"op\": \"add\", \"path\": \"/spec/template/spec/containers/0/env\", \"value\": [
            {\"name\": \"SERVER_NAME\", \"value\": \":8080\"},
            {\"name\": \"MERCURE_TRANSPORT_URL\", \"value\": \"bolt:///data/mercure.db?size=0\"},
            {\"name\": \"MERCURE_PUBLISHER_JWT_KEY\", \"value\": \"a secret of more than 32 bytes for all\"},
            {\"name\": \"MERCURE_SUBSCRIBER_JWT_KEY\", \"value\": \"a secret of more than 32 bytes for all\"}]},
        {\"op\": \"add\", \"path\": \"/spec/template/spec/containers/0/readinessProbe\",
            \"value\": {\"exec\": {\"command\": [\"/petasos\", \"health\"]}, \"periodSeconds\": 2, \"timeoutSeconds\": 5}}]" >/dev/null
    kubectl --namespace "$ns" rollout status deployment/mercure --timeout 2m >/dev/null || fail "the rollout does not finish"
    [ "$(crash_restarts)" = 0 ] || fail "containers crashed"
    check_history
    note "migrate: a Deployment's image changed in place while the old pod held its lock: $taken events, ids and order kept," \
        "an old cursor resumes, 0 crash restarts"
    leave_namespace

    use_namespace chart
    # On local volumes the group of the files is changed only where no other pod has them mounted.
    say "the chart takes over the claim of a hub that ran as root and has stopped"
    kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=baseline --overwrite >/dev/null
    old_hub '{}' '{}'
    old=$(hub_pods)
    kubectl --namespace "$ns" delete deployment mercure >/dev/null
    await_gone "$old"
    install_hub --set transportUrl='bolt:///data/mercure.db?size=0' --set persistence.existingClaim=mercure
    check_history
    expect "helm test" helm test hub --namespace "$ns" --timeout 1m
    note "migrate: the chart on the claim of a hub that ran as root: $taken events"
    leave_namespace
}
