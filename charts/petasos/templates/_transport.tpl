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
{{- $directive := include "petasos.transportDirective" . -}}
{{- $url := .Values.transportUrl | default (include "petasos.theirValue" (list . "transport-url")) -}}
{{- $file := ((.Values.config | default dict).transport | default dict).url -}}
{{- $chosen := $own | default $directive | default $environment | default $url | default $file | default "sqlite" -}}
{{- (splitList ":" $chosen) | first | lower -}}
{{- end -}}

{{/* The URL or name in the transport directive, if there is one; the block `transport NAME { url URL }` has one too. */}}
{{- define "petasos.transportDirective" -}}
{{- $directives := include "petasos.knownDirectives" . -}}
{{- $block := regexFind `(?ms)^[ \t]*transport[ \t]+[^{\n]*\{.*?\}` $directives -}}
{{- $inside := include "petasos.directive" (list $block "url" `[^ \t\r\n{]+`) -}}
{{- $inside | default (include "petasos.directive" (list $directives "transport(_url)?" `[^ \t\r\n{]+`)) -}}
{{- end -}}

{{/* The first value of a directive, without its quotes. Usage: TEXT, a pattern for its name, one for the value. */}}
{{- define "petasos.directive" -}}
{{- $name := index . 1 -}}
{{- $line := regexFind (printf `(?m)^[ \t]*%s[ \t]+%s` $name (index . 2)) (index . 0) | trim -}}
{{- regexReplaceAll (printf `^%s[ \t]+` $name) $line "" | trimAll `"` | trimAll "`" -}}
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
{{- .Values.extraDirectives | default "" -}}
{{- end -}}

{{/* What the hub gets as directives, also from a Secret that is there already. */}}
{{- define "petasos.knownDirectives" -}}
{{- $own := include "petasos.environmentValue" (dict "values" .Values "name" "MERCURE_EXTRA_DIRECTIVES") | default (include "petasos.directives" .) -}}
{{- $own | default (include "petasos.theirValue" (list . "extra-directives")) -}}
{{- end -}}

{{/*
Whether a drain_timeout may be among directives in a Secret that cannot be seen (without a cluster, or before it is made), and is not
to be overruled by what is the default of the hub as well.
*/}}
{{- define "petasos.hidesDirectives" -}}
{{- if and (eq (int .Values.shutdown.drainSeconds) 10) .Values.existingSecret (not (include "petasos.directives" .)) (not (include "petasos.theirSecret" . | fromJson)) -}}true{{- end -}}
{{- end -}}

{{- define "petasos.isMultiple" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}true{{- end -}}
{{- end -}}

{{/* Whether pods mount the volume. With a shared engine there is nothing to keep on it. */}}
{{- define "petasos.hasVolume" -}}
{{- if and .Values.persistence.enabled (eq (include "petasos.transportKind" .) "embedded") -}}true{{- end -}}
{{- end -}}

{{/* Whether the chart makes what they mount, a claim or templates of claims. */}}
{{- define "petasos.makesVolume" -}}
{{- if and (include "petasos.hasVolume" .) (not .Values.persistence.existingClaim) -}}true{{- end -}}
{{- end -}}

{{/* Whether a new pod starts beside the old one. */}}
{{- define "petasos.updateType" -}}
{{- $given := (.Values.updateStrategy | default dict).type -}}
{{- if $given -}}
{{- $given -}}
{{- else if or (include "petasos.hasVolume" .) (eq (include "petasos.transportKind" .) "shared") -}}
RollingUpdate
{{- else -}}
Recreate
{{- end -}}
{{- end -}}

{{/* Of a Deployment: a pod more and none less, where nothing else is said; none more needs one less. */}}
{{- define "petasos.rollingUpdate" -}}
{{- $given := (.Values.updateStrategy | default dict).rollingUpdate | default dict -}}
{{- $least := ternary 1 0 (eq (include "petasos.isNone" (get $given "maxSurge")) "true") -}}
{{- toYaml (mergeOverwrite (dict "maxSurge" 1 "maxUnavailable" $least) $given) -}}
{{- end -}}

{{/* Whether a number of pods, or a percentage of them, is none. */}}
{{- define "petasos.isNone" -}}
{{- if has (toString .) (list "0" "0%") -}}true{{- end -}}
{{- end -}}

{{- define "petasos.overlaps" -}}
{{- if and (eq .Values.controller "Deployment") (eq (include "petasos.updateType" .) "RollingUpdate") -}}
{{- if not (include "petasos.isNone" (fromYaml (include "petasos.rollingUpdate" .)).maxSurge) -}}true{{- end -}}
{{- end -}}
{{- end -}}
