{{/* Names and labels. */}}

{{- define "petasos.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "petasos.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "petasos.selectorLabels" -}}
app.kubernetes.io/name: {{ include "petasos.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: hub
{{- end -}}

{{- define "petasos.labels" -}}
app.kubernetes.io/name: {{ include "petasos.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "petasos.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "petasos.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "petasos.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "petasos.claimName" -}}
{{- .Values.persistence.existingClaim | default (include "petasos.fullname" .) -}}
{{- end -}}

{{/* How many seconds a pod may take to stop. */}}
{{- define "petasos.gracePeriod" -}}
{{- $stop := .Values.shutdown -}}
{{- $needed := add (int $stop.preStopSeconds) (int $stop.delaySeconds) (int (include "petasos.drainSeconds" .)) -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $given -}}
{{- add $needed 20 -}}
{{- else if lt (int $given) (add $needed 5 | int) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but a pod takes up to %d s to stop (shutdown.preStopSeconds + delaySeconds + drainSeconds, and 5 s to come to an end) and would be killed with open streams: raise it, or shorten those." (int $given) (add $needed 5 | int)) -}}
{{- else -}}
{{- int $given -}}
{{- end -}}
{{- end -}}

{{/*
How long streams may take to end, in seconds, rounded up. The directive drain_timeout of a reference hub says so too, where it is
not 0s.
*/}}
{{- define "petasos.drainSeconds" -}}
{{- $given := include "petasos.directive" (list (include "petasos.knownDirectives" .) "drain_timeout" `[^ \t\r\n]+`) -}}
{{- if or (not $given) (regexMatch `^0+[a-z]*$` $given) -}}
{{- int .Values.shutdown.drainSeconds -}}
{{- else if not (regexMatch `^([0-9]+(\.[0-9]+)?(d|h|ms|m|us|µs|ns|s))+$` $given) -}}
{{- fail (printf "drain_timeout %s is nothing that this chart can reckon with, which needs it for the grace period of pods: leave it out, and set shutdown.drainSeconds." $given) -}}
{{- else -}}
{{- $factors := dict "d" 86400.0 "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 "us" 0.000001 "µs" 0.000001 "ns" 0.000000001 -}}
{{- $seconds := 0.0 -}}
{{- range regexFindAll `[0-9]+(\.[0-9]+)?(d|h|ms|m|us|µs|ns|s)` $given -1 -}}
{{- $number := regexFind `^[0-9.]+` . -}}
{{- $seconds = addf $seconds (mulf (float64 $number) (get $factors (trimPrefix $number .))) -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}
{{- end -}}

{{/* The pod's security context: what the restricted Pod Security Standard wants, then what was given. */}}
{{- define "petasos.podSecurityContext" -}}
{{- $context := dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "fsGroupChangePolicy" "OnRootMismatch" "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- if lt (int .Values.service.targetPort) 1024 -}}
{{- $_ := set $context "sysctls" (list (dict "name" "net.ipv4.ip_unprivileged_port_start" "value" "0")) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $context (deepCopy (.Values.podSecurityContext | default dict))) -}}
{{- end -}}

{{- define "petasos.securityContext" -}}
{{- $context := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- toYaml (mergeOverwrite $context (deepCopy (.Values.securityContext | default dict))) -}}
{{- end -}}
