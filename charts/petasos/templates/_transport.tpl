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
{{- $directive := include "petasos.transportDirective" . -}}
{{- $url := .Values.transportUrl | default (get $secret "transport-url" | b64dec) -}}
{{- $file := ((.Values.config | default dict).transport | default dict).url -}}
{{- $chosen := $own | default $directive | default $environment | default $url | default $file | default "sqlite" -}}
{{- (splitList ":" $chosen) | first | lower -}}
{{- end -}}

{{/* The URL or name in the transport directive, if there is one; the block `transport NAME { url URL }` has one too. */}}
{{- define "petasos.transportDirective" -}}
{{- $directives := include "petasos.knownDirectives" . -}}
{{- $value := `[ \t]+[^ \t\r\n{]+` -}}
{{- $line := regexFind (print `(?m)^[ \t]*transport(_url)?` $value) $directives | trim -}}
{{- $block := regexFind `(?ms)^[ \t]*transport[ \t]+[^{\n]*\{.*?\}` $directives -}}
{{- $inside := regexFind (print `(?m)^[ \t]*url` $value) $block | trim -}}
{{- regexReplaceAll `^(transport(_url)?|url)[ \t]+` ($inside | default $line) "" | trimAll `"` | trimAll "`" -}}
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
{{- if and .Values.existingSecret (not $own) -}}
{{- get (((lookup "v1" "Secret" .Release.Namespace .Values.existingSecret) | default dict).data | default dict) "extra-directives" | b64dec -}}
{{- else -}}
{{- $own -}}
{{- end -}}
{{- end -}}

{{/*
Whether a drain_timeout may be among directives in a Secret that cannot be seen (without a cluster, or before it is made), and is not
to be overruled by what is the default of the hub as well.
*/}}
{{- define "petasos.hidesDirectives" -}}
{{- if and (eq (int .Values.shutdown.drainSeconds) 10) .Values.existingSecret (not (include "petasos.directives" .)) (not (lookup "v1" "Secret" .Release.Namespace .Values.existingSecret)) -}}true{{- end -}}
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
{{- $hasSurge := not (has (toString (get $given "maxSurge")) (list "0" "0%")) -}}
{{- toYaml (mergeOverwrite (dict "maxSurge" 1 "maxUnavailable" (ternary 0 1 $hasSurge)) $given) -}}
{{- end -}}

{{- define "petasos.overlaps" -}}
{{- if and (eq .Values.controller "Deployment") (eq (include "petasos.updateType" .) "RollingUpdate") -}}
{{- if not (has (toString (fromYaml (include "petasos.rollingUpdate" .)).maxSurge) (list "0" "0%")) -}}true{{- end -}}
{{- end -}}
{{- end -}}
