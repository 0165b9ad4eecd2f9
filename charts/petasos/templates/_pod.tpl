{{/* The pod, the same for both controllers. */}}
{{- define "petasos.podTemplate" -}}
{{- include "petasos.validate" . -}}
metadata:
  annotations:
    checksum/secret: {{ include "petasos.secretChecksum" . }}
    checksum/config: {{ include "petasos.configFile" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "petasos.selectorLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "petasos.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
  # A Service by the name of petasos would set variables that look like options.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "petasos.gracePeriod" . }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- include "petasos.podSecurityContext" . | nindent 4 }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: petasos
      image: {{ include "petasos.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      securityContext:
        {{- include "petasos.securityContext" . | nindent 8 }}
      ports:
        - name: http
          containerPort: {{ .Values.service.targetPort }}
        - name: admin
          containerPort: {{ .Values.adminPort }}
      env:
        {{- include "petasos.env" . | trim | nindent 8 }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if gt (int .Values.shutdown.preStopSeconds) 0 }}
      lifecycle:
        preStop:
          # Still ready meanwhile: where no other pod is, nodes keep sending clients here.
          sleep:
            seconds: {{ int .Values.shutdown.preStopSeconds }}
      {{- end }}
      {{- range $probe, $path := dict "readiness" "ready" "liveness" "live" }}
      {{ $probe }}Probe:
        httpGet:
          {{- /* Liveness has to be asked where an answer is from the first moment on, also while the log is waited for. */}}
          {{- if or $.Values.healthCheck.enabled (eq $probe "liveness") }}
          path: /mercure/health/{{ $path }}
          port: admin
          {{- else }}
          path: /healthz
          port: http
          {{- end }}
        {{- with get $.Values.healthCheck $probe }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: data
          mountPath: /data
        - name: tmp
          mountPath: /tmp
        {{- if .Values.config }}
        - name: config
          mountPath: /etc/petasos
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- if not (include "petasos.hasVolume" .) }}
    - name: data
      emptyDir: {}
    {{- else if or (eq .Values.controller "Deployment") .Values.persistence.existingClaim }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ include "petasos.claimName" . }}
    {{- end }}
    - name: tmp
      emptyDir: {}
    {{- if .Values.config }}
    - name: config
      configMap:
        name: {{ include "petasos.fullname" . }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "petasos.affinity" . }}
  affinity:
    {{- . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
  {{- else if include "petasos.isMultiple" . }}
  topologySpreadConstraints:
    {{- range $key, $skew := dict "kubernetes.io/hostname" 1 "topology.kubernetes.io/zone" 1 }}
    - maxSkew: {{ $skew }}
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "petasos.selectorLabels" $ | nindent 10 }}
      # Without it, pods that are about to go would count.
      matchLabelKeys: [{{ ternary "pod-template-hash" "controller-revision-hash" (eq $.Values.controller "Deployment") }}]
    {{- end }}
  {{- end }}
{{- end -}}

{{/*
A disk can be attached to one node only, and the scheduler does not know to which: a new pod goes where the old one is.
*/}}
{{- define "petasos.affinity" -}}
{{- $affinity := deepCopy (.Values.affinity | default dict) -}}
{{- if and (include "petasos.hasVolume" .) (include "petasos.overlaps" .) -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (fromYaml (include "petasos.selectorLabels" .))) -}}
{{- $pods := $affinity.podAffinity | default dict -}}
{{- $terms := append ($pods.requiredDuringSchedulingIgnoredDuringExecution | default list) $term -}}
{{- $_ := set $pods "requiredDuringSchedulingIgnoredDuringExecution" $terms -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- end -}}
{{- if $affinity -}}{{- toYaml $affinity -}}{{- end -}}
{{- end -}}
