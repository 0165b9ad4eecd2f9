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
says() { says_with "${@:2}" --values "$CHART/ci/$1-values.yaml"; }

# The same with flags. Usage: says_with TEMPLATE JSONPATH EXPECTED FLAG …
says_with() {
    local template=$1 path=$2 expected=$3 found
    shift 3
    # Only the kinds of Kubernetes itself can be asked for in this way.
    found=$(helm template hub "$CHART" --namespace default "$@" --show-only "templates/$template.yaml" |
        kubectl create --dry-run=client --output "jsonpath=$path" --filename -) || fail "$template with $* cannot be read"
    [ "$found" = "$expected" ] || fail "$template $path with $* is $found, not $expected"
}

# Another chart has this one among its dependencies, and switches it on and off.
as_dependency() {
    local parent=$work/parent enabled found
    mkdir -p "$parent/charts"
    cp -r "$CHART" "$parent/charts/petasos"
    cat >"$parent/Chart.yaml" <<YAML
apiVersion: v2
name: parent
version: 1.0.0
dependencies: [{name: petasos, version: "*", condition: petasos.enabled}]
YAML
    for enabled in true false; do
        found=$(helm template hub "$parent" --set global.some=thing --set "petasos.enabled=$enabled" | grep --count 'kind: Deployment' || true)
        [ "$found" = "$([ "$enabled" = true ] && echo 1 || echo 0)" ] || fail "as a dependency with enabled=$enabled: $found Deployments"
    done
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
    says secret deployment "{$pod.containers[0].env[?(@.name==\"MERCURE_TRANSPORT_URL\")].valueFrom.secretKeyRef['key','optional']}" transport-url
    local one_less=(--set updateStrategy.rollingUpdate.maxSurge=0)
    says_with deployment '{.spec.strategy.rollingUpdate}' '{"maxSurge":0,"maxUnavailable":1}' "${one_less[@]}"
    says_with deployment "{$pod.affinity}" "" "${one_less[@]}"
    local environment="$pod.containers[0].env" drain=(--set-string 'extraDirectives=drain_timeout 2m')
    says_with deployment "{$pod.terminationGracePeriodSeconds}" 155 "${drain[@]}"
    says_with deployment "{$environment[?(@.name==\"PETASOS_DRAIN_TIMEOUT\")].value}" 120s "${drain[@]}"
    says_with deployment "{$pod.terminationGracePeriodSeconds}" 45 --set-string 'extraDirectives=drain_timeout 0s'
    says_with deployment "{$environment[?(@.name==\"PETASOS_DRAIN_TIMEOUT\")].value}" 98s --set-string 'extraDirectives=drain_timeout 1.5m07.5s'
    # Keys that are elsewhere are not made.
    says_with deployment "{$environment[?(@.name==\"MERCURE_PUBLISHER_JWT_KEY\")].name}" "" --set 'config.issuers[0].id=https://app'
    local proxies="{$environment[?(@.name==\"PETASOS_TRUSTED_PROXIES\")].value}"
    says_with deployment "$proxies" private --set ingress.enabled=true
    says_with deployment "$proxies" "" --set ingress.enabled=true --set 'config.server.trusted_proxies={10.0.0.1}'
    says_with deployment "{$pod.containers[0]['readinessProbe','livenessProbe'].httpGet.path}" "/healthz /mercure/health/live" \
        --set healthCheck.enabled=false
    says_with pvc '{.metadata.annotations.helm\.sh/resource-policy}' keep
    # A route of one's own keeps the streams as well.
    helm template hub "$CHART" --set httpRoute.enabled=true --set 'httpRoute.rules[0].matches[0].path.value=/a' \
        --show-only templates/httproute.yaml | grep 'request: 0s' >/dev/null || fail "a rule of one's own has a time limit"
    helm template hub "$CHART" --set httpRoute.enabled=true --set 'httpRoute.rules[0].filters[0].type=RequestRedirect' \
        --show-only templates/httproute.yaml | grep 'backendRefs' >/dev/null && fail "a redirect has a backend"
    as_dependency
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
    refuses "network file system" --set persistence.storageClass=azurefile-csi
    refuses "without a measure" --set transportUrl=redis://a --set autoscaling.enabled=true
    refuses "would be killed" --set terminationGracePeriodSeconds=10
    refuses "would be killed" --set terminationGracePeriodSeconds=29
    refuses "would be killed" --set terminationGracePeriodSeconds=60 --set-string extraDirectives='drain_timeout 1m'
    refuses "shutdown.drainSeconds" --set-string extraDirectives='drain_timeout {$TIME}'
    refuses "shutdown.drainSeconds" --set config.server.drain_timeout=2m
    refuses "shutdown.delaySeconds" --set 'extraEnvs[0].name=PETASOS_SHUTDOWN_DELAY' --set-string 'extraEnvs[0].value=9s'
    refuses "two listeners" --set adminPort=8080
    refuses "RollingUpdate or Recreate" --set updateStrategy.type=OnDelete
    refuses "maxSurge and maxUnavailable" --set updateStrategy.rollingUpdate.partition=1
    refuses "ever be replaced" --set updateStrategy.rollingUpdate.maxSurge=0 --set updateStrategy.rollingUpdate.maxUnavailable=0
    refuses "RollingUpdate or OnDelete" --set controller=StatefulSet --set updateStrategy.type=Recreate
    refuses "be drained" --set podDisruptionBudget.enabled=true --set podDisruptionBudget.minAvailable=1
    refuses "be drained" --set transportUrl=redis://a --set replicaCount=3 --set podDisruptionBudget.maxUnavailable=0
    refuses "another label" --set 'podLabels.app\.kubernetes\.io/component=x'
    refuses "set publisherJwtKey" --set publisherJwtAlg=RS256
    refuses "existingSecret" --api-versions argoproj.io/v1alpha1/Application
    refuses "missing property 'ingress'" --set ingress=null
    refuses "leave image.repository" --set image.repository=dunglas/mercure
    refuses "has a password" --set config.transport.url=redis://user:secret@redis
    refuses "is a key" --set config.auth.publisher_jwt_key=secret
    refuses "wait for ever" --values <(printf '%s' '{affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [
        {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app.kubernetes.io/instance: hub}}}]}}}')
    refuses "be drained" --set transportUrl=redis://a --set replicaCount=3 --set podDisruptionBudget.minAvailable=99%
    refuses "publisherJwtKeys" --set publisherJwtKeys=x
    refuses "accesMode" --set persistence.accesMode=ReadWriteOnce
    refuses "controller" --set controller=DaemonSet
    expect "a ReadWriteOncePod volume without overlap" helm template hub "$CHART" --set persistence.accessMode=ReadWriteOncePod --set controller=StatefulSet
    expect "keys of one's own with Argo CD" helm template hub "$CHART" --set existingSecret=mine \
        --api-versions argoproj.io/v1alpha1/Application
    expect "a budget below what an autoscaler may reach" helm template hub "$CHART" --set transportUrl=redis://a \
        --set autoscaling.enabled=true --set autoscaling.minReplicas=1 --set autoscaling.targetSubscribers=1000 \
        --set podDisruptionBudget.minAvailable=1
    expect "values of version 0.1.0" helm template hub "$CHART" --set persistence.keep=false
    expect "replicas on an engine named inside a directive" helm template hub "$CHART" --set replicaCount=3 \
        --set transport.name=bolt --set transport.options.url=redis://a
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
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: files
  # As Kubernetes itself writes it.
  annotations: {volume.kubernetes.io/storage-provisioner: efs.csi.aws.com}
spec: {accessModes: [ReadWriteOnce], storageClassName: none-$ns, resources: {requests: {storage: 1Gi}}}
YAML
    refuses_here "ReadWriteOncePod" install --set persistence.existingClaim=single
    refuses_here "network file system" install --set persistence.existingClaim=files
    kubectl --namespace "$ns" create secret generic mine --from-literal=publisher_jwt_key=x >/dev/null
    refuses_here "has no publisher-jwt-key; it has: publisher_jwt_key" install --set existingSecret=mine
    # Whoever may do everything in a namespace, and see nothing outside, can install as well.
    kubectl --namespace "$ns" create rolebinding tenant --clusterrole=admin --user=tenant >/dev/null
    expect "helm install as a user of the namespace only" release install "$CHART" --dry-run=server --kube-as-user tenant \
        --set persistence.storageClass=fast
    expect "helm install as that user, with a StatefulSet" release install "$CHART" --dry-run=server --kube-as-user tenant \
        --set controller=StatefulSet
    leave_namespace
    note "manifests: placement, spread, budget, autoscaler and refusals as they should be"
}

# As refuses, but the chart looks at the cluster. Usage: refuses_here WORDS VERB FLAG …
refuses_here() {
    local words=$1 verb=$2
    shift 2
    if release "$verb" "$CHART" --dry-run=server "$@" >"$work/output" 2>&1; then fail "not refused: $verb $*"; fi
    grep --quiet --fixed-strings -- "$words" "$work/output" ||
        fail "$verb $* is refused without \"$words\": $(cat "$work/output")"
}
