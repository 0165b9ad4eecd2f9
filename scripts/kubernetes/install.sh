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
    after=$(hub_pods)
    [ "$after" != "$before" ] || fail "a changed key did not replace the pod"
    # Until nodes have learned of the new pod, the old one answers as well, which knows the old key.
    expect_soon "helm test with the changed key" helm test hub --namespace "$ns" --timeout 1m
    leave_namespace
}

secret_key() { kubectl --namespace "$ns" get secret hub-petasos --output "jsonpath={.data.$1}"; }

part_upgrade() {
    use_namespace upgrade
    say "helm upgrade from the previous version of the chart"
    expect "installing $PREVIOUS" release install "$PREVIOUS" "${STOP[@]}" --wait --timeout 2m
    expect "helm test" helm test hub --namespace "$ns" --timeout 1m
    local keys history
    keys="$(secret_key publisher-jwt-key) $(secret_key subscriber-jwt-key)"
    history=$(in_hub history export 2>/dev/null | sed -n 1p)
    [ -n "$history" ] || fail "there is no history before the upgrade"
    # With the values of that version, and to an engine at once: the claim stays among the objects of the release.
    expect "a dry run" release upgrade "$CHART" --dry-run=server --reuse-values --set transportUrl=redis://elsewhere
    grep --quiet 'helm.sh/resource-policy: keep' "$work/output" || fail "an upgrade to an engine would delete the claim"
    refuses_here "persistence.existingClaim: hub-petasos" upgrade --set fullnameOverride=other
    expect "helm upgrade" release upgrade "$CHART" "${STOP[@]}" --wait --timeout 2m
    [ "$(secret_key publisher-jwt-key) $(secret_key subscriber-jwt-key)" = "$keys" ] || fail "the upgrade changed the keys"
    [ "$(in_hub history export 2>/dev/null | sed -n 1p)" = "$history" ] || fail "the upgrade lost the history"
    expect "helm test after the upgrade" helm test hub --namespace "$ns" --timeout 1m
    say "what is uninstalled and installed again finds its history"
    expect "helm uninstall" helm uninstall hub --namespace "$ns" --wait
    expect "helm install" release install "$CHART" "${STOP[@]}" --wait --timeout 2m
    [ "$(in_hub history export 2>/dev/null | sed -n 1p)" = "$history" ] || fail "a new installation lost the history"
    note "upgrade: from $(basename "$PREVIOUS" .tgz), keys and history are kept; after uninstall and install the history"
    leave_namespace
}
