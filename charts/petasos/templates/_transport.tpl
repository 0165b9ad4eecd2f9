{{/*
Where updates are kept, as far as the chart can know it: "embedded" (a store on the volume), "local" (memory) or "shared" (an
engine that several pods can use). The hub looks in this order: PETASOS_TRANSPORT_URL, the transport directive,
MERCURE_TRANSPORT_URL, the configuration file.
*/}}

{{- define "petasos.transportKind" -}}
{{- $scheme := include "petasos.transportScheme" . -}}
{{- if or .Values.transportShared (has $scheme (list "redis" "rediss" "valkey" "valkeys" "nats" "tls" "postgres" "postgresql")) -}}
shared
{{- else if eq $scheme "local" -}}
local
{{- else -}}
embedded
{{- end -}}
{{- end -}}

{{- define "petasos.transportScheme" -}}
{{- $own := include "petasos.environmentValue" (dict "values" .Values "name" "PETASOS_TRANSPORT_URL") -}}
{{- $environment := include "petasos.environmentValue" (dict "values" .Values "name" "MERCURE_TRANSPORT_URL") -}}
{{- $secret := dict -}}
{{- if .Values.existingSecret -}}
{{- $secret = ((lookup "v1" "Secret" .Release.Namespace .Values.existingSecret) | default dict).data | default dict -}}
{{- end -}}
{{- $directives := include "petasos.directives" . | default (get $secret "extra-directives" | b64dec) -}}
{{- $line := regexFind `(?m)^[ \t]*transport(_url)?[ \t]+[^ \t\r\n{]+` $directives | trim -}}
{{- $directive := regexReplaceAll `^transport(_url)?[ \t]+` $line "" | trimAll `"` | trimAll "`" -}}
{{- $url := .Values.transportUrl | default (get $secret "transport-url" | b64dec) -}}
{{- $file := (.Values.config.transport | default dict).url -}}
{{- $chosen := $own | default $directive | default $environment | default $url | default $file | default "sqlite" -}}
{{- (splitList ":" $chosen) | first | lower -}}
{{- end -}}

{{- define "petasos.environmentValue" -}}
{{- $name := .name -}}
{{- range .values.extraEnvs -}}
{{- if eq .name $name -}}{{- .value | default "" -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* The directives of the hub, with the one that `transport` comes to. */}}
{{- define "petasos.directives" -}}
{{- with .Values.transport -}}
{{- if kindIs "string" . -}}
transport {{ . }}
{{ else if .name -}}
transport {{ .name }} {
{{- range $name, $value := .options }}
    {{ $name }} {{ if kindIs "string" $value }}{{ $value | quote }}{{ else if kindIs "float64" $value }}{{ if eq (floor $value) $value }}{{ int64 $value }}{{ else }}{{ $value }}{{ end }}{{ else }}{{ $value }}{{ end }}
{{- end }}
}
{{ end -}}
{{- end -}}
{{- .Values.extraDirectives -}}
{{- end -}}

{{- define "petasos.isMultiple" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}true{{- end -}}
{{- end -}}

{{/* Whether pods mount the volume. With a shared engine there is nothing to keep on it. */}}
{{- define "petasos.hasVolume" -}}
{{- if and .Values.persistence.enabled (eq (include "petasos.transportKind" .) "embedded") -}}true{{- end -}}
{{- end -}}

{{/* Whether a new pod starts beside the old one. */}}
{{- define "petasos.updateType" -}}
{{- $given := .Values.updateStrategy.type -}}
{{- if $given -}}
{{- $given -}}
{{- else if or (include "petasos.hasVolume" .) (eq (include "petasos.transportKind" .) "shared") -}}
RollingUpdate
{{- else -}}
Recreate
{{- end -}}
{{- end -}}

{{- define "petasos.overlaps" -}}
{{- if and (eq .Values.controller "Deployment") (eq (include "petasos.updateType" .) "RollingUpdate") -}}true{{- end -}}
{{- end -}}

{{/* Refuses what would lose updates or never start, and says what to do instead. */}}
{{- define "petasos.validate" -}}
{{- if and (include "petasos.isMultiple" .) (ne (include "petasos.transportKind" .) "shared") -}}
{{- fail (printf "%s, but the log is in %s, which pods on several nodes cannot share: a subscriber would miss what is published through another pod. Set transportUrl to redis://…, nats://… or postgres://… (or transportShared: true where the URL is in a Secret or variable that this chart cannot read), or keep replicaCount at 1 without autoscaling: one pod carries tens of thousands of subscribers, and restarts of it go unnoticed." (ternary "autoscaling is on" (printf "replicaCount is %d" (int .Values.replicaCount)) .Values.autoscaling.enabled) (ternary "the memory of one pod (local)" "the embedded store" (eq (include "petasos.transportKind" .) "local"))) -}}
{{- end -}}
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
{{- if $class -}}
{{- $provisioner := (lookup "storage.k8s.io/v1" "StorageClass" "" $class | default dict).provisioner | default "" -}}
{{- if regexMatch `(?i)(nfs|efs\.csi|file\.csi\.azure|azure-file|filestore|cephfs|smb\.csi|glusterfs|lustre)` $provisioner -}}
{{- fail (printf "The storage class %s is a network file system (%s): hosts cannot share memory over one, and the embedded store refuses it. Choose a class of block devices, or set transportUrl to redis://…, nats://… or postgres://… and persistence.enabled: false." $class $provisioner) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
