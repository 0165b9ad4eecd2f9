# The chart without a cluster's help, and what one node cannot show: rendered manifests.
# shellcheck shell=bash

# Resources that have no schema in Kubernetes itself.
FOREIGN=ServiceMonitor,HTTPRoute,PrometheusRule,CiliumNetworkPolicy

check_values() {
    local values=$1 schemas=(-schema-location default)
    [ -z "${SCHEMAS:-}" ] || schemas=(-schema-location "$SCHEMAS/{{.ResourceKind}}{{.KindSuffix}}.json")
    expect "helm lint with $values" helm lint "$CHART" --values "$values" --quiet --strict
    helm template hub "$CHART" --namespace test --values "$values" >"$work/manifests.yaml" || fail "$values cannot be rendered"
    expect "kubeconform with $values" kubeconform -strict "${schemas[@]}" -skip "$FOREIGN" "$work/manifests.yaml"
}

# Asserts that a template says something. Usage: says VALUES TEMPLATE JSONPATH EXPECTED
says() {
    local found
    # Only the kinds of Kubernetes itself can be asked for in this way.
    found=$(helm template hub "$CHART" --namespace default --values "$CHART/ci/$1-values.yaml" --show-only "templates/$2.yaml" |
        kubectl create --dry-run=client --output "jsonpath=$3" --filename -) || fail "$1: $2 cannot be read"
    [ "$found" = "$4" ] || fail "$1: $2 $3 is $found, not $4"
}

# Asserts that values are refused, with words that help. Usage: refuses WORDS FLAG …
refuses() {
    local words=$1
    shift
    if helm template hub "$CHART" "$@" >"$work/output" 2>&1; then fail "not refused: $*"; fi
    grep --quiet --ignore-case --fixed-strings -- "$words" "$work/output" || fail "$* is refused without \"$words\": $(cat "$work/output")"
}

part_manifests() {
    local values
    for values in "$CHART"/ci/*-values.yaml; do check_values "$values"; done
    note "manifests: lint and kubeconform with $(ls "$CHART"/ci/*-values.yaml | wc -l) values files"

    say "what one node cannot show"
    local pod=.spec.template.spec
    says default deployment '{.spec.strategy.rollingUpdate}' '{"maxSurge":1,"maxUnavailable":0}'
    says default deployment "{$pod.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey}" kubernetes.io/hostname
    says default deployment "{$pod.topologySpreadConstraints}" ""
    says reference deployment '{.spec.strategy.type}' Recreate
    says reference deployment "{$pod.affinity.podAffinity}" ""
    says reference deployment "{$pod.containers[0].ports[0].containerPort}" 80
    says reference deployment "{$pod.securityContext.sysctls[0].name}" net.ipv4.ip_unprivileged_port_start
    says many deployment "{$pod.topologySpreadConstraints[*].topologyKey}" "kubernetes.io/hostname topology.kubernetes.io/zone"
    says many deployment "{$pod.affinity}" ""
    says many deployment '{.spec.replicas}' ""
    says many autoscaling '{.spec.metrics[0].pods.metric.name} {.spec.metrics[0].pods.target.averageValue}' "mercure_subscribers_connected 5000"
    says many poddisruptionbudget '{.spec.maxUnavailable}' 1
    says secret poddisruptionbudget '{.spec.minAvailable}' 2
    says secret deployment "{$pod.containers[0].env[?(@.name==\"MERCURE_PUBLISHER_JWT_KEY\")].valueFrom.secretKeyRef.name}" mercure-jwt
    says memory deployment '{.spec.strategy.type}' Recreate
    says statefulset statefulset '{.spec.volumeClaimTemplates[0].spec.storageClassName}' fast
    # Secrets stand in Secrets.
    values=$(helm template hub "$CHART" --values "$CHART/ci/many-values.yaml" | grep --count 'hub:secret@' || true)
    [ "$values" = 0 ] || fail "the password of the engine stands in plain text"
    # The program understands what the chart writes for it: numbers, lists and tables.
    helm template hub "$CHART" --values "$CHART/ci/many-values.yaml" --show-only templates/configmap.yaml |
        grep 'size = 500000$' >/dev/null || fail "whole numbers are not whole in petasos.toml"

    say "what is refused, with what to do instead"
    refuses "redis://" --set replicaCount=2
    refuses "redis://" --set autoscaling.enabled=true --set autoscaling.targetSubscribers=1000
    refuses "memory of one pod" --set replicaCount=2 --set transportUrl=local://
    refuses "embedded store" --set replicaCount=3 --set transport.name=bolt
    refuses "embedded store" --set replicaCount=3 --set config.transport.url=sqlite:///data/a.db
    refuses "embedded store" --set controller=StatefulSet --set replicaCount=2
    refuses "ReadWriteOncePod" --set persistence.accessMode=ReadWriteOncePod
    refuses "network file systems" --set persistence.accessMode=ReadWriteMany
    refuses "without a measure" --set transportUrl=redis://a --set autoscaling.enabled=true
    refuses "would be killed" --set terminationGracePeriodSeconds=10
    refuses "publisherJwtKeys" --set publisherJwtKeys=x
    refuses "accesMode" --set persistence.accesMode=ReadWriteOnce
    refuses "controller" --set controller=DaemonSet
    expect "a ReadWriteOncePod volume without overlap" helm template hub "$CHART" --set persistence.accessMode=ReadWriteOncePod --set controller=StatefulSet
    expect "replicas on an engine named in a variable" helm template hub "$CHART" --set replicaCount=3 \
        --set 'extraEnvs[0].name=MERCURE_TRANSPORT_URL' --set 'extraEnvs[0].value=nats://a'
    expect "replicas on an engine named in a directive" helm template hub "$CHART" --set replicaCount=3 \
        --set-string extraDirectives='transport_url postgres://a/b'

    say "claims and classes that are there already"
    use_namespace manifests
    kubectl --namespace "$ns" apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: single}
spec: {accessModes: [ReadWriteOncePod], storageClassName: none-$ns, resources: {requests: {storage: 1Gi}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: files-$ns}
provisioner: efs.csi.aws.com
YAML
    refuses_here "ReadWriteOncePod" --set persistence.existingClaim=single
    refuses_here "network file system" --set persistence.storageClass="files-$ns"
    kubectl delete storageclass "files-$ns" >/dev/null
    leave_namespace
    note "manifests: placement, spread, budget, autoscaler and refusals as they should be"
}

# As refuses, but the chart looks at the cluster.
refuses_here() {
    local words=$1
    shift
    if release install "$CHART" --dry-run=server "$@" >"$work/output" 2>&1; then fail "not refused: $*"; fi
    grep --quiet --fixed-strings -- "$words" "$work/output" || fail "$* is refused without \"$words\": $(cat "$work/output")"
}
