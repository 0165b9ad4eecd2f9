# Moving in: a hub of another image, whose volume holds a Bolt file that it has locked, gives way to this one. And moving on,
# from the volume to an engine.
# shellcheck shell=bash

# A hub of another image. Usage: old_hub POD_SECURITY_CONTEXT CONTAINER_SECURITY_CONTEXT
old_hub() {
    cat <<YAML
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
}

await_old_hub() {
    kubectl --namespace "$ns" rollout status deployment/mercure --timeout 60s >/dev/null || fail "the old hub does not start"
    # The lock is what the new hub meets.
    kubectl --namespace "$ns" logs deployment/mercure | grep locked >/dev/null || fail "the old hub holds no lock"
}

# Compares the history with the list that belongs to the file, and goes on from its first event. Sets $taken.
check_history() {
    local listed
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
    goes_on_after "$(sed -n 1p "$work/taken")" "$(sed -n 2p "$work/taken")"
}

# The hub from within its pod, and a token of it. Usage: own_token publish|subscribe
hub_url=http://localhost:8080
own_token() { in_hub token "--$1" '*' --audience "$hub_url/.well-known/mercure" 2>/dev/null; }

# Whether a client that had the event of the first id gets that of the second next.
goes_on_after() {
    in_hub subscribe --url "$hub_url" --token "$(own_token subscribe)" --last-event-id "$1" --count 1 --timeout 30s \
        --format json '*' | grep --fixed-strings "$2" >/dev/null || fail "the old cursor is not known"
}

ids() { python3 -c 'import json,sys; print("\n".join(json.loads(line)["id"] for line in sys.stdin))'; }

part_migrate() {
    local old
    use_namespace migrate
    say "the image of a Deployment is changed"
    old_hub '{runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000, seccompProfile: {type: RuntimeDefault}}' \
        '{allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}' | kubectl --namespace "$ns" apply --filename - >/dev/null
    await_old_hub
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
    say "the chart takes over the release of a hub that ran as root and has stopped"
    kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=baseline --overwrite >/dev/null
    mkdir -p "$work/old/templates"
    printf 'apiVersion: v2\nname: mercure\nversion: 1.0.0\n' >"$work/old/Chart.yaml"
    old_hub '{}' '{}' >"$work/old/templates/all.yaml"
    expect "installing the old hub" helm install hub "$work/old" --namespace "$ns"
    await_old_hub
    old=$(hub_pods)
    local values=(--values scripts/kubernetes/keys.yaml --set transportUrl='bolt:///data/mercure.db?size=0' --set persistence.existingClaim=mercure)
    refuses_here "kubectl annotate pvc mercure" upgrade "${values[@]}"
    kubectl --namespace "$ns" annotate persistentvolumeclaim mercure helm.sh/resource-policy=keep >/dev/null
    kubectl --namespace "$ns" scale deployment mercure --replicas 0 >/dev/null
    await_gone "$old"
    expect "helm upgrade of the old release" release upgrade "$CHART" "${values[@]}" "${STOP[@]}" --wait --timeout 2m
    check_history
    expect "helm test" helm test hub --namespace "$ns" --timeout 1m
    note "migrate: the chart as an upgrade of the release of a hub that ran as root, on its claim: $taken events"
    leave_namespace
}

part_move() {
    local url old before after
    engine_url redis
    use_namespace move
    say "from the volume to an engine"
    install_hub --set persistence.size=2Gi
    printf '%s\n' one two three |
        kubectl --namespace "$ns" exec --stdin deploy/hub-petasos -- /petasos publish --url "$hub_url" \
            --token "$(own_token publish)" --topic moved --lines >"$work/output" 2>&1 || fail "publishing: $(cat "$work/output")"
    in_hub history export 2>/dev/null >"$work/history.jsonl"
    before=$(ids <"$work/history.jsonl")
    [ "$(wc -l <<<"$before")" -ge 3 ] || fail "there is no history before the move"
    expect "history import" kubectl --namespace "$ns" exec --stdin deploy/hub-petasos -- /petasos history import \
        --transport-url "$url" - <"$work/history.jsonl"
    old=$(hub_pods)
    # The new values do not speak of the volume.
    expect "helm upgrade to the engine" release upgrade "$CHART" --reset-then-reuse-values --set "transportUrl=$url" \
        --set persistence.size=1Gi --set updateStrategy.type=Recreate --wait --timeout 2m
    await_gone "$old"
    after=$(in_hub history export 2>/dev/null | ids)
    [ "$after" = "$before" ] || fail "the history is another one on the engine"
    goes_on_after "$(sed -n 1p <<<"$before")" "$(sed -n 2p <<<"$before")"
    kubectl --namespace "$ns" get persistentvolumeclaim hub-petasos >/dev/null || fail "the claim was deleted"
    expect "more replicas" release upgrade "$CHART" --reset-then-reuse-values --set updateStrategy.type=null --set replicaCount=2 \
        --wait --timeout 2m
    expect "helm test" helm test hub --namespace "$ns" --timeout 1m
    say "and back to the volume"
    expect "helm upgrade back to the volume" release upgrade "$CHART" --reset-then-reuse-values --set transportUrl= \
        --set persistence.size=2Gi --set replicaCount=1 --wait --timeout 2m
    expect_soon "the history on the volume" bash -c '[ "$1" = "$(kubectl --namespace "$2" exec deploy/hub-petasos -- \
        /petasos history export 2>/dev/null | python3 -c "import json,sys; print(json.loads(sys.stdin.readline())[\"id\"])")" ]' \
        - "$(sed -n 1p <<<"$before")" "$ns"
    expect "helm rollback to the engine" helm rollback hub --namespace "$ns" --wait --timeout 2m
    kubectl --namespace "$ns" get persistentvolumeclaim hub-petasos >/dev/null || fail "the claim was deleted"
    note "move: from the volume to Redis by export and import, ids and order kept, a cursor goes on, the claim stays, then" \
        "2 replicas, then back to the volume and its history, and a rollback"
    leave_namespace
}
