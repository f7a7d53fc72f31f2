{{/*
Triton's container. It starts through the image's entrypoint, which sets up CUDA's forward compatibility, and a shell,
which draws a key that nobody learns: the endpoints it guards load models, read shared memory, trace and set logging.
Takes {root, version}.
*/}}
{{- define "crowdserve.tritonContainer" -}}
{{- $values := .root.Values -}}
{{- $standard := eq $values.deploymentMode "Standard" -}}
{{- $standalone := eq $values.transformer.mode "standalone" -}}
name: kserve-container
image: {{ include "crowdserve.image" (dict "image" .version.triton) }}
imagePullPolicy: {{ .version.triton.pullPolicy }}
args:
  - /bin/sh
  - -c
  - |
    set -eu
    {{- if eq (include "crowdserve.hasEngineCache" .root) "true" }}
    {{- $models := .root.Files.Get "files/models.json" | fromJson }}
    mkdir -p{{ range $models.networks }} {{ $models.engineCache }}/{{ .name }}{{ end }}
    {{- end }}
    read -r key < /proc/sys/kernel/random/uuid
    exec "$@" "--http-restricted-api=model-repository,shared-memory,trace,logging:crowdserve-admin=$key"
  - triton
  - tritonserver
  {{- range include "crowdserve.tritonFlags" .root | fromJsonArray }}
  - {{ . | quote }}
  {{- end }}
{{- with $values.triton.env }}
env: {{ toJson . }}
{{- end }}
{{- if $standard }}
ports:
  - {name: triton, containerPort: 8085, protocol: TCP}
  - {name: triton-metrics, containerPort: 8002, protocol: TCP}
startupProbe:
  {{- include "crowdserve.httpProbe" (dict "path" "/v2/health/ready" "port" 8085 "period" 5 "failures" (div (add $values.triton.startupSeconds 4) 5)) | nindent 2 }}
readinessProbe:
  {{- include "crowdserve.httpProbe" (dict "path" "/v2/health/ready" "port" 8085 "period" 5 "failures" 3) | nindent 2 }}
livenessProbe:
  {{- include "crowdserve.httpProbe" (dict "path" "/v2/health/live" "port" 8085 "period" 10 "failures" 6) | nindent 2 }}
lifecycle:
  preStop:
    sleep: {seconds: {{ include "crowdserve.tritonStopDelay" .root }}}
{{- else if $standalone }}
ports:
  - {name: http1, containerPort: 8085, protocol: TCP}
readinessProbe:
  {{- include "crowdserve.httpProbe" (dict "path" "/v2/health/ready" "port" 8085 "period" 5 "failures" 3) | nindent 2 }}
{{- end }}
securityContext: {{ toJson $values.containerSecurityContext }}
volumeMounts:
  - {name: shm, mountPath: /dev/shm}
  - {name: tmp, mountPath: /tmp}
  {{- if eq (include "crowdserve.hasEngineCache" .root) "true" }}
  - name: engines
    mountPath: {{ (.root.Files.Get "files/models.json" | fromJson).engineCache }}
    {{- if $values.engineCache.existingClaim }}
    subPath: {{ .version.name }}
    {{- end }}
  {{- end }}
{{- end }}

{{/* Flags of tritonserver as a JSON array. */}}
{{- define "crowdserve.tritonFlags" -}}
{{- $flags := list
      "--model-repository=/mnt/models"
      "--model-control-mode=none"
      "--disable-auto-complete-config"
      "--strict-readiness=true"
      "--exit-on-error=true"
      (printf "--exit-timeout-secs=%d" (int .Values.triton.exitTimeoutSeconds))
      "--http-port=8085"
      "--allow-grpc=false"
      "--metrics-port=8002" -}}
{{- if eq .Values.device "cpu" -}}
{{- $flags = concat $flags (list
      "--model-config-name=cpu"
      "--allow-gpu-metrics=false"
      "--pinned-memory-pool-byte-size=0"
      "--backend-config=onnxruntime,enable-global-threadpool=1"
      (printf "--backend-config=onnxruntime,intra_op_thread_count=%s" (include "crowdserve.cpuThreads" .))
      "--backend-config=onnxruntime,inter_op_thread_count=1") -}}
{{- end -}}
{{- toJson (concat $flags .Values.triton.extraArgs) -}}
{{- end }}

{{/* onnxruntime would take every core of the node, whatever the limit. */}}
{{- define "crowdserve.cpuThreads" -}}
{{- $limit := ((.Values.triton.resources).limits).cpu | default 1 | toString -}}
{{- $cores := ternary (divf ($limit | trimSuffix "m" | float64) 1000) ($limit | float64) (hasSuffix "m" $limit) -}}
{{- .Values.triton.cpuThreads | default (ceil $cores) | int | max 1 -}}
{{- end }}

{{- define "crowdserve.hasEngineCache" -}}
{{- and .Values.engineCache.enabled (eq .Values.device "gpu") -}}
{{- end }}

{{/* In the same pod Triton outlives the transformer; in its own it leaves the Service before it stops. */}}
{{- define "crowdserve.tritonStopDelay" -}}
{{- if eq .Values.transformer.mode "collocated" -}}
{{- include "crowdserve.transformerStopSeconds" . -}}
{{- else -}}
{{- ceil .Values.transformer.settings.drainSeconds -}}
{{- end -}}
{{- end }}

{{/* Volumes of Triton's pod. Takes {root, version}. */}}
{{- define "crowdserve.tritonVolumes" -}}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .root.Values.triton.shmSize }}}
- name: tmp
  emptyDir: {}
{{- if eq (include "crowdserve.hasEngineCache" .root) "true" }}
- name: engines
  {{- with .root.Values.engineCache }}
  {{- if .existingClaim }}
  persistentVolumeClaim: {claimName: {{ .existingClaim }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .sizeLimit }}}
  {{- end }}
  {{- end }}
{{- end }}
{{- end }}
