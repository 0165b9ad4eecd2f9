{{/*
The keys: those that were given, else those of the Secret that is there, else new ones. Made once for each rendering, so that
the checksum in the pods is that of the Secret.
*/}}
{{- define "petasos.secretData" -}}
{{- if not (hasKey .Values "computedSecret") -}}
{{- $old := (lookup "v1" "Secret" .Release.Namespace (include "petasos.fullname" .) | default dict).data | default dict -}}
{{- $data := dict -}}
{{- if not .Values.existingSecret -}}
{{- range $role := list "publisher" "subscriber" -}}
{{- $name := printf "%s-jwt-key" $role -}}
{{- $given := get $.Values (printf "%sJwtKey" $role) -}}
{{- $kept := get $old $name | b64dec -}}
{{- $others := include "petasos.otherKeys" (dict "root" $ "role" $role) -}}
{{- $alg := get $.Values (printf "%sJwtAlg" $role) | default "HS256" -}}
{{- if not (or $given $kept $others) -}}
{{- if not (hasPrefix "HS" $alg) -}}
{{- fail (printf "%sJwtAlg is %s, whose public key cannot be made at random: set %sJwtKey or existingSecret." $role $alg $role) -}}
{{- end -}}
{{- /* A tool that only renders would make new keys each time. With a cluster there is a list of Secrets, be it empty. */ -}}
{{- if and $.Release.IsInstall ($.Capabilities.APIVersions.Has "argoproj.io/v1alpha1/Application") (not (lookup "v1" "Secret" $.Release.Namespace "")) -}}
{{- fail "Argo CD renders charts without their cluster, so that keys made at random would be new ones at every refresh, and all tokens void: set existingSecret, or publisherJwtKey and subscriberJwtKey. (Helm itself sees the cluster with --dry-run=server.)" -}}
{{- end -}}
{{- end -}}
{{- /* One that is there stays, also unused: it might be wanted again. */ -}}
{{- if or $given $kept (not $others) -}}
{{- $_ := set $data $name ($given | default $kept | default (randAlphaNum 64)) -}}
{{- $_ := set $data (printf "%s-jwt-alg" $role) $alg -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.transportUrl -}}{{- $_ := set $data "transport-url" . -}}{{- end -}}
{{- with include "petasos.directives" . -}}{{- $_ := set $data "extra-directives" . -}}{{- end -}}
{{- $_ := set .Values "computedSecret" (toJson $data) -}}
{{- end -}}
{{- .Values.computedSecret -}}
{{- end -}}

{{/* Changes with every value that pods read at start, so that they are replaced. */}}
{{- define "petasos.secretChecksum" -}}
{{- $theirs := (include "petasos.theirSecret" . | fromJson).data | default dict -}}
{{- printf "%s%s" (include "petasos.secretData" .) (toJson $theirs) | sha256sum -}}
{{- end -}}

{{/* The Secret that existingSecret names, as far as it is there and can be seen; looked up once for each rendering. */}}
{{- define "petasos.theirSecret" -}}
{{- if not (hasKey .Values "computedTheirSecret") -}}
{{- $name := .Values.existingSecret -}}
{{- $there := dict -}}
{{- if $name }}{{ $there = lookup "v1" "Secret" .Release.Namespace $name | default dict }}{{ end -}}
{{- $_ := set .Values "computedTheirSecret" (toJson $there) -}}
{{- end -}}
{{- .Values.computedTheirSecret -}}
{{- end -}}

{{/* A value in it. Usage: the root, the key. */}}
{{- define "petasos.theirValue" -}}
{{- get ((include "petasos.theirSecret" (first .) | fromJson).data | default dict) (last .) | b64dec -}}
{{- end -}}

{{- define "petasos.configFile" -}}
{{- if .Values.config -}}
{{- $config := deepCopy .Values.config -}}
{{- include "petasos.wholeNumbers" $config -}}
{{- toToml $config -}}
{{- end -}}
{{- end -}}

{{/* Makes whole numbers of a map whole again, in place: all numbers of values are floating ones, and TOML tells them apart. */}}
{{- define "petasos.wholeNumbers" -}}
{{- $map := . -}}
{{- range $name, $value := . -}}
{{- if kindIs "map" $value -}}
{{- include "petasos.wholeNumbers" $value -}}
{{- else if kindIs "slice" $value -}}
{{- $whole := list -}}
{{- range $value -}}
{{- if kindIs "map" . -}}{{- include "petasos.wholeNumbers" . -}}{{- end -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{- $whole = append $whole (int64 .) -}}{{- else -}}{{- $whole = append $whole . -}}{{- end -}}
{{- end -}}
{{- $_ := set $map $name $whole -}}
{{- else if and (kindIs "float64" $value) (eq (floor $value) $value) -}}
{{- $_ := set $map $name (int64 $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A variable from one of the two Secrets. */}}
{{- define "petasos.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{/* What the hub is told, without what extraEnvs says otherwise. Used by `helm test` as well, whose tokens it tells. */}}
{{- define "petasos.env" -}}
{{- $own := include "petasos.fullname" . -}}
{{- $theirs := .Values.existingSecret -}}
{{- $given := list -}}
{{- range .Values.extraEnvs }}{{ $given = append $given .name }}{{ end -}}
{{- $plain := list
  (list "PETASOS_LISTEN" (printf ":%d" (int .Values.service.targetPort)))
  (list "PETASOS_ADMIN_ADDRESS" (printf ":%d" (int .Values.adminPort)))
  (list "PETASOS_SHUTDOWN_DELAY" (printf "%ds" (int .Values.shutdown.delaySeconds)))
  (list "PETASOS_DRAIN_TIMEOUT" (ternary "" (printf "%ss" (include "petasos.drainSeconds" .)) (eq (include "petasos.hidesDirectives" .) "true")))
  (list "PETASOS_TRUSTED_PROXIES" (include "petasos.trustedProxies" .))
  (list "MERCURE_TRUSTED_ISSUERS" (join "," (.Values.trustedIssuers | default list)))
  (list "MERCURE_RESOURCE_IDENTIFIER" .Values.resourceIdentifier)
  (list "PETASOS_CONFIG" (ternary "/etc/petasos/petasos.toml" "" (not (empty .Values.config))))
-}}
{{- if .Values.dev -}}
{{- $plain = concat $plain (list (list "PETASOS_ANONYMOUS" "true") (list "PETASOS_SUBSCRIPTIONS" "true") (list "PETASOS_CORS_ORIGINS" "*")) -}}
{{- end -}}
{{- range $plain -}}
{{- if and (last .) (not (has (first .) $given)) }}
- name: {{ first . }}
  value: {{ last . | quote }}
{{- end -}}
{{- end -}}
{{- range $role := list "publisher" "subscriber" -}}
{{- range $what := list "key" "alg" -}}
{{- $variable := printf "MERCURE_%s_JWT_%s" (upper $role) (upper $what) -}}
{{- $alg := get $.Values (printf "%sJwtAlg" $role) -}}
{{- $isOwn := or (get $.Values (printf "%sJwtKey" $role)) (not (include "petasos.otherKeys" (dict "root" $ "role" $role))) -}}
{{- if or (has $variable $given) (not (or $theirs $isOwn)) -}}
{{- else if and $theirs (eq $what "alg") (ne ($alg | default "HS256") "HS256") }}
- name: {{ $variable }}
  value: {{ $alg }}
{{- else }}
{{ include "petasos.fromSecret" (dict "variable" $variable "secret" ($theirs | default $own) "key" (printf "%s-jwt-%s" $role $what) "optional" (not (empty $theirs))) }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list (list "MERCURE_TRANSPORT_URL" "transport-url" .Values.transportUrl) (list "MERCURE_EXTRA_DIRECTIVES" "extra-directives" (include "petasos.directives" .)) -}}
{{- $variable := index . 0 -}}
{{- if has $variable $given -}}
{{- else if index . 2 }}
{{ include "petasos.fromSecret" (dict "variable" $variable "secret" $own "key" (index . 1)) }}
{{- else if $theirs }}
{{- /* Where replicas rely on it, a key that is missing must not leave each of them with a store of its own. */}}
{{- $needed := and $.Values.transportShared (eq $variable "MERCURE_TRANSPORT_URL") (not $.Values.extraEnvFrom) (not (include "petasos.isGiven" (dict "values" $.Values "name" "PETASOS_TRANSPORT_URL"))) (not (include "petasos.transportDirective" $)) (not (($.Values.config | default dict).transport | default dict).url) }}
{{ include "petasos.fromSecret" (dict "variable" $variable "secret" $theirs "key" (index . 1) "optional" (not $needed)) }}
{{- end -}}
{{- end -}}
{{- with .Values.extraEnvs }}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{/*
Whether the keys of a role are from elsewhere: key sets, issuers with keys of their own, variables. The issuers of trustedIssuers use
no others than the key or set of their role.
*/}}
{{- define "petasos.otherKeys" -}}
{{- $values := .root.Values -}}
{{- $role := .role -}}
{{- $config := $values.config | default dict -}}
{{- $tables := list ($config.auth | default dict) -}}
{{- $variables := list (printf "MERCURE_%s_JWT_KEY" (upper $role)) (printf "PETASOS_%s_JWT_KEY" (upper $role)) (printf "PETASOS_%s_JWKS" (upper $role)) -}}
{{- $found := false -}}
{{- if not $values.trustedIssuers -}}
{{- $tables = append $tables ($config.legacy | default dict) -}}
{{- $variables = concat $variables (list "PETASOS_ISSUERS" (printf "PETASOS_LEGACY_%s_JWT_KEY" (upper $role)) (printf "PETASOS_LEGACY_%s_JWKS" (upper $role))) -}}
{{- $found = or (not (empty $config.issuers)) (regexMatch (printf `(?m)^[ \t]*(issuer|%s_jwks_url|%s_jwt)[ \t]` $role $role) (include "petasos.knownDirectives" .root)) -}}
{{- end -}}
{{- range $table := $tables -}}
{{- range $what := list "jwt_key" "jwt_key_file" "jwks" -}}
{{- if get $table (printf "%s_%s" $role $what) }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $variable := $variables -}}
{{- range $suffix := list "" "_FILE" -}}
{{- if include "petasos.isGiven" (dict "values" $values "name" (print $variable $suffix)) }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $found -}}true{{- end -}}
{{- end -}}

{{/* Whether extraEnvs sets a variable. */}}
{{- define "petasos.isGiven" -}}
{{- $name := .name -}}
{{- range .values.extraEnvs -}}{{- if eq .name $name -}}true{{- end -}}{{- end -}}
{{- end -}}

{{/* Whose X-Forwarded-* is believed. What the configuration file says is not widened. */}}
{{- define "petasos.trustedProxies" -}}
{{- if .Values.trustedProxies -}}
{{- join "," .Values.trustedProxies -}}
{{- else if ((.Values.config | default dict).server | default dict).trusted_proxies -}}
{{- else if or .Values.ingress.enabled .Values.httpRoute.enabled -}}
private
{{- end -}}
{{- end -}}
