{{/* Refuses what would lose updates or never start, and says what to do instead. */}}
{{- define "petasos.validate" -}}
{{- include "petasos.validateReplicas" . -}}
{{- include "petasos.validateVolume" . -}}
{{- include "petasos.validateStrategy" . -}}
{{- include "petasos.validateAffinity" . -}}
{{- include "petasos.validateClaimTemplates" . -}}
{{- include "petasos.validateSettings" . -}}
{{- include "petasos.validateSecret" . -}}
{{- end -}}

{{- define "petasos.validateReplicas" -}}
{{- if and (include "petasos.isMultiple" .) (ne (include "petasos.transportKind" .) "shared") -}}
{{- fail (printf "%s, but the log is in %s, which pods on several nodes cannot share: a subscriber would miss what is published through another pod. Set transportUrl to redis://…, nats://… or postgres://… (or transportShared: true where the URL is in a Secret or variable that this chart cannot read), or keep replicaCount at 1 without autoscaling: one pod carries tens of thousands of subscribers, and restarts of it go unnoticed." (ternary "autoscaling is on" (printf "replicaCount is %d" (int .Values.replicaCount)) .Values.autoscaling.enabled) (ternary "the memory of one pod (local)" "the embedded store" (eq (include "petasos.transportKind" .) "local"))) -}}
{{- end -}}
{{- end -}}

{{- define "petasos.validateVolume" -}}
{{- if include "petasos.hasVolume" . -}}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace (include "petasos.claimName" .) | default dict -}}
{{- $spec := $claim.spec | default dict -}}
{{- $modes := $spec.accessModes | default (list .Values.persistence.accessMode) -}}
{{- if and (has "ReadWriteOncePod" $modes) (include "petasos.overlaps" .) -}}
{{- fail "The volume is ReadWriteOncePod: a new pod could not start before the old one has gone, and the rollout would hang. Use a ReadWriteOnce claim (several pods on one node may share it), or accept a gap at every restart with updateStrategy.type: Recreate or controller: StatefulSet." -}}
{{- end -}}
{{- if or (has "ReadWriteMany" $modes) (has "ReadOnlyMany" $modes) -}}
{{- fail (printf "The volume is %s, which network file systems offer: hosts cannot share memory over one, and the embedded store refuses it. Use a ReadWriteOnce claim on a disk, or set transportUrl to redis://…, nats://… or postgres://… and persistence.enabled: false." (join ", " $modes)) -}}
{{- end -}}
{{- $class := $spec.storageClassName | default (ternary "" (.Values.persistence.storageClass | default "") (eq (.Values.persistence.storageClass | default "") "-")) -}}
{{- /* Who may install here may not look at classes, which are not of any namespace: a claim says who provides it, a name tells much. */ -}}
{{- $annotations := ($claim.metadata | default dict).annotations | default dict -}}
{{- $provisioner := get $annotations "volume.kubernetes.io/storage-provisioner" | default (get $annotations "volume.beta.kubernetes.io/storage-provisioner") -}}
{{- $known := $provisioner | default $class -}}
{{- if regexMatch `(?i)(\bnfs\b|\befs\b|file\.csi\.azure|azure-?file|filestore|-rwx\b|ceph-?fs|\bsmb\b|glusterfs|lustre)` $known -}}
{{- fail (printf "The volume is of %s, a network file system: hosts cannot share memory over one, and the embedded store refuses it. Choose a class of block devices, or set transportUrl to redis://…, nats://… or postgres://… and persistence.enabled: false. (Where only the name says so: make the claim yourself, and set persistence.existingClaim.)" $known) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "petasos.validateStrategy" -}}
{{- $strategy := .Values.updateStrategy | default dict -}}
{{- $types := ternary (list "RollingUpdate" "Recreate") (list "RollingUpdate" "OnDelete") (eq .Values.controller "Deployment") -}}
{{- if and $strategy.type (not (has $strategy.type $types)) -}}
{{- fail (printf "updateStrategy.type is %s, which a %s does not know: %s, or leave it out." $strategy.type .Values.controller (join " or " $types)) -}}
{{- end -}}
{{- $known := ternary (list "maxSurge" "maxUnavailable") (list "partition" "maxUnavailable") (eq .Values.controller "Deployment") -}}
{{- range $name, $_ := $strategy.rollingUpdate -}}
{{- if not (has $name $known) -}}
{{- fail (printf "updateStrategy.rollingUpdate.%s: a %s knows %s." $name $.Values.controller (join " and " $known)) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.controller "Deployment") (eq (include "petasos.updateType" .) "RollingUpdate") -}}
{{- $update := fromYaml (include "petasos.rollingUpdate" .) -}}
{{- if and (include "petasos.isNone" $update.maxSurge) (include "petasos.isNone" $update.maxUnavailable) -}}
{{- fail "updateStrategy.rollingUpdate: with maxSurge 0 and maxUnavailable 0 no pod could ever be replaced. Leave both out: then one pod more and none less is there while pods are replaced." -}}
{{- end -}}
{{- end -}}
{{- $budget := .Values.podDisruptionBudget | default dict -}}
{{- $replicas := int (ternary .Values.autoscaling.maxReplicas .Values.replicaCount .Values.autoscaling.enabled) -}}
{{- if and (include "petasos.hasBudget" .) (gt $replicas 0) -}}
{{- $least := $budget.minAvailable -}}
{{- $percent := regexFind `^[0-9]+%$` (toString $least) | trimSuffix "%" -}}
{{- $needed := ternary (int $least) (divf (mulf (float64 $percent) $replicas) 100 | ceil | int) (eq $percent "") -}}
{{- if and (not (kindIs "invalid" $least)) (ge $needed $replicas) -}}
{{- fail (printf "podDisruptionBudget.minAvailable is %v, and there are %d replicas at most: no node that has a pod could ever be drained. Take one less, or podDisruptionBudget.enabled: false." $least $replicas) -}}
{{- end -}}
{{- if and (kindIs "invalid" $least) (include "petasos.isNone" $budget.maxUnavailable) -}}
{{- fail "podDisruptionBudget.maxUnavailable is 0: no node that has a pod could ever be drained." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A new pod has to be where the old one is: pods of this release must not be kept apart. */}}
{{- define "petasos.validateAffinity" -}}
{{- if and (include "petasos.hasVolume" .) (include "petasos.overlaps" .) -}}
{{- $own := merge (fromYaml (include "petasos.selectorLabels" .)) (deepCopy (.Values.podLabels | default dict)) -}}
{{- range (((.Values.affinity | default dict).podAntiAffinity | default dict).requiredDuringSchedulingIgnoredDuringExecution) -}}
{{- $labels := (.labelSelector | default dict).matchLabels | default dict -}}
{{- $isPlain := not (or .namespaces .namespaceSelector (.labelSelector | default dict).matchExpressions) -}}
{{- $isOurs := and $isPlain (eq .topologyKey "kubernetes.io/hostname") (not (empty $labels)) -}}
{{- range $name, $value := $labels -}}{{- if ne (toString (get $own $name)) (toString $value) }}{{ $isOurs = false }}{{ end -}}{{- end -}}
{{- if $isOurs -}}
{{- fail "affinity.podAntiAffinity keeps pods of this release on different nodes, but with a volume a new pod has to start beside the old one, on the node of the disk: it would wait for ever. Leave that out; with several replicas on an engine the chart spreads them over nodes by itself." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The claim templates of a StatefulSet that is there cannot be changed: Kubernetes would say so, but not what to do. */}}
{{- define "petasos.validateClaimTemplates" -}}
{{- if eq .Values.controller "StatefulSet" -}}
{{- $there := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "petasos.fullname" .) -}}
{{- if $there -}}
{{- $had := $there.spec.volumeClaimTemplates | default list -}}
{{- $wants := include "petasos.makesVolume" . -}}
{{- $changed := list -}}
{{- if ne (not $wants) (not $had) -}}
{{- $changed = append $changed (ternary "a volume for each pod, where there was none" "no volume for each pod, where there was one" (not (not $wants))) -}}
{{- else if $wants -}}
{{- $old := (first $had).spec -}}
{{- $new := fromYaml (include "petasos.claimSpec" .) -}}
{{- /* Kubernetes writes quantities in its own way (1.5Gi is 1536Mi): only those of one unit can be compared here. */ -}}
{{- $sizes := list (toString $old.resources.requests.storage) (toString $new.resources.requests.storage) -}}
{{- $units := list (regexReplaceAll `^[0-9.]+` (first $sizes) "") (regexReplaceAll `^[0-9.]+` (last $sizes) "") -}}
{{- if and (eq (first $units) (last $units)) (ne (first $sizes) (last $sizes)) }}{{ $changed = append $changed "persistence.size" }}{{ end -}}
{{- if ne (first $old.accessModes) (first $new.accessModes) }}{{ $changed = append $changed "persistence.accessMode" }}{{ end -}}
{{- if ne ($old.storageClassName | default "") ($new.storageClassName | default "") }}{{ $changed = append $changed "persistence.storageClass" }}{{ end -}}
{{- end -}}
{{- if $changed -}}
{{- $name := include "petasos.fullname" . -}}
{{- fail (printf "Kubernetes cannot change the claim templates of a StatefulSet (%s). Its pods and claims may stay while it is made anew: kubectl delete statefulset %s --namespace %s --cascade=orphan, and then this again." (join ", " $changed) $name .Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the chart has to know is set by its own values, not behind its back. */}}
{{- define "petasos.validateSettings" -}}
{{- $config := .Values.config | default dict -}}
{{- $server := $config.server | default dict -}}
{{- $own := list
  (list "config.listen" $config.listen "PETASOS_LISTEN" "service.targetPort")
  (list "config.admin.address" ($config.admin | default dict).address "PETASOS_ADMIN_ADDRESS" "adminPort")
  (list "config.server.shutdown_delay" $server.shutdown_delay "PETASOS_SHUTDOWN_DELAY" "shutdown.delaySeconds")
  (list "config.server.drain_timeout" $server.drain_timeout "PETASOS_DRAIN_TIMEOUT" "shutdown.drainSeconds")
-}}
{{- range $own -}}
{{- $problem := "%s has to be known to the chart as well, for probes, ports and the grace period of pods: set %s instead." -}}
{{- if index . 1 -}}{{- fail (printf $problem (index . 0) (index . 3)) -}}{{- end -}}
{{- if include "petasos.isGiven" (dict "values" $.Values "name" (index . 2)) -}}{{- fail (printf $problem (printf "%s in extraEnvs" (index . 2)) (index . 3)) -}}{{- end -}}
{{- end -}}
{{- if hasSuffix "dunglas/mercure" .Values.image.repository -}}
{{- fail "image.repository names the reference hub: leave image.repository and image.tag out, so that the chart runs the hub that it is for." -}}
{{- end -}}
{{- if regexMatch `(?i)://[^/@]*:[^/@]+@|[?&](password|pass|token)=` (toString ($config.transport | default dict).url) -}}
{{- fail "config.transport.url has a password, and config is kept in a ConfigMap: set transportUrl instead, or transport-url in existingSecret." -}}
{{- end -}}
{{- range $table := list "auth" "legacy" -}}
{{- range $role := list "publisher" "subscriber" -}}
{{- if get (get $config $table | default dict) (printf "%s_jwt_key" $role) -}}
{{- fail (printf "config.%s.%s_jwt_key is a key, and config is kept in a ConfigMap: set %sJwtKey, or existingSecret." $table $role $role) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq (int .Values.adminPort) (int .Values.service.targetPort) -}}
{{- fail (printf "adminPort and service.targetPort are both %d: two listeners cannot share one port." (int .Values.adminPort)) -}}
{{- end -}}
{{- range $name, $_ := .Values.podLabels -}}
{{- if hasKey (fromYaml (include "petasos.selectorLabels" $)) $name -}}
{{- fail (printf "podLabels.%s is how the chart finds its pods: take another label (nameOverride changes app.kubernetes.io/name)." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A Secret that is there is looked at; one that is not will be made later, or cannot be seen (helm template). */}}
{{- define "petasos.validateSecret" -}}
{{- $there := include "petasos.theirSecret" . | fromJson -}}
{{- $others := or (include "petasos.knownDirectives" .) .Values.config .Values.extraEnvs .Values.extraEnvFrom -}}
{{- if and $there (not $others) -}}
{{- if not (hasKey ($there.data | default dict) "publisher-jwt-key") -}}
{{- fail (printf "The Secret %s has no publisher-jwt-key; it has: %s." .Values.existingSecret (join ", " (keys ($there.data | default dict) | sortAlpha))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
