# Installing, upgrading and moving in.
# shellcheck shell=bash

part_install() {
    use_namespace install
    say "helm install with nothing set"
    expect "helm install with nothing set" release install "$CHART" --wait --timeout 2m
    say "helm test"
    expect "helm test" helm test hub --namespace "$ns" --timeout 1m
    local user
    user=$(kubectl --namespace "$ns" get pod "$(hub_pods)" --output jsonpath='{.spec.securityContext.runAsUser}')
    [ "$user" = 65532 ] || fail "the pod runs as $user"
    in_hub health || fail "petasos health fails in the pod"
    note "install: with nothing set, in a restricted namespace; helm test published and received"
    say "an upgrade that changes nothing replaces no pod, one that changes a key does"
    local before after
    before=$(hub_pods)
    expect "helm upgrade" release upgrade "$CHART" --wait --timeout 2m
    [ "$(hub_pods)" = "$before" ] || fail "an upgrade without a change replaced the pod"
    expect "helm upgrade" release upgrade "$CHART" --set publisherJwtKey="another secret of more than 32 bytes" --wait --timeout 2m
    await_gone "$before"
    after=$(hub_pods)
    [ "$after" != "$before" ] || fail "a changed key did not replace the pod"
    expect "helm test with the changed key" helm test hub --namespace "$ns" --timeout 1m
    leave_namespace
}

secret_key() { kubectl --namespace "$ns" get secret hub-petasos --output "jsonpath={.data.$1}"; }

part_upgrade() {
    use_namespace upgrade
    say "helm upgrade from the previous version of the chart"
    expect "installing $PREVIOUS" release install "$PREVIOUS" --wait --timeout 2m
    expect "helm test" helm test hub --namespace "$ns" --timeout 1m
    local keys history
    keys="$(secret_key publisher-jwt-key) $(secret_key subscriber-jwt-key)"
    history=$(in_hub history export | head -1)
    [ -n "$history" ] || fail "there is no history before the upgrade"
    expect "helm upgrade" release upgrade "$CHART" --wait --timeout 2m
    [ "$(secret_key publisher-jwt-key) $(secret_key subscriber-jwt-key)" = "$keys" ] || fail "the upgrade changed the keys"
    [ "$(in_hub history export | head -1)" = "$history" ] || fail "the upgrade lost the history"
    expect "helm test after the upgrade" helm test hub --namespace "$ns" --timeout 1m
    note "upgrade: from $(basename "$PREVIOUS" .tgz), keys and history are kept"
    leave_namespace
}

# A Deployment of another image, whose volume holds a Bolt file that it has locked, becomes one of this image.
part_migrate() {
    use_namespace migrate
    say "a volume of a reference hub changes hands"
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
    metadata: {labels: {app: mercure}}
    spec:
      terminationGracePeriodSeconds: 5
      securityContext: {runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: mercure
          image: $LOAD_IMAGE
          imagePullPolicy: IfNotPresent
          args: [hold, /mercure.db, /data/mercure.db]
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: mercure}}]
YAML
    kubectl --namespace "$ns" rollout status deployment/mercure --timeout 60s >/dev/null || fail "the old hub does not start"

    # What the old hub's users have in their values; the new pod starts while the old one holds the lock of its file.
    install_hub --set transportUrl='bolt:///data/mercure.db?size=0' --set persistence.existingClaim=mercure
    kubectl --namespace "$ns" delete deployment mercure --wait=false >/dev/null
    local listed taken
    listed=$(gzip --decompress --stdout crates/petasos-hub/testdata/bolt/reference-0.24.2.jsonl.gz |
        python3 -c 'import json,sys; print("\n".join(json.loads(line)["id"] for line in sys.stdin))')
    for _ in $(seq 60); do
        in_hub history export 2>/dev/null | python3 -c '
import json, sys
print("\n".join(json.loads(line)["id"] for line in sys.stdin))' >"$work/taken" || true
        taken=$(grep --count . "$work/taken" || true)
        [ "$taken" -gt 0 ] && break
        sleep 1
    done
    [ "$taken" -gt 0 ] || fail "nothing was taken over"
    # The list was made before the old hub's last events, so that it ends earlier, and begins where its newest events do.
    python3 scripts/kubernetes/overlap.py "$work/taken" <<<"$listed" || fail "the history is not the one of the old hub"
    say "a subscriber goes on from an event of the old hub"
    local id address token next
    id=$(sed -n 1p "$work/taken")
    next=$(sed -n 2p "$work/taken")
    address=http://$(kubectl --namespace "$ns" get service hub-petasos --output jsonpath='{.spec.clusterIP}')
    token=$(in_hub token --subscribe '*' --audience "$address/.well-known/mercure" 2>/dev/null)
    in_hub subscribe --url "$address" --token "$token" --last-event-id "$id" --count 1 --timeout 30s --format json '*' |
        grep --quiet --fixed-strings "$next" || fail "the old cursor is not known"
    expect "helm test" helm test hub --namespace "$ns" --timeout 1m
    note "migrate: $taken events of a Bolt file that was locked at first, ids and order kept; an old cursor resumes"
    leave_namespace
}
