{{/*
Triton's container. It starts through the image's entrypoint, which sets up CUDA's forward compatibility, and a shell, which
verifies the bundle and handles backends and engines. An init container could not: KServe gives the models to this
container and the transformer's only, and they start at the same time.
The digest is a variable of the InferenceService, where a rollout changes it together with the address.
Takes {root, version}.
*/}}
{{- define "crowdserve.tritonContainer" -}}
{{- $values := .root.Values -}}
{{- $standard := eq $values.deploymentMode "Standard" -}}
{{- $standalone := eq $values.transformer.mode "standalone" -}}
{{- $caches := eq (include "crowdserve.hasEngineCache" .root) "true" -}}
{{- $keeps := and $caches (ne $values.engineCache.existingClaim "") -}}
{{- $shares := eq (include "crowdserve.sharesMemory" .root) "true" -}}
{{- $engines := (.root.Files.Get "files/models.json" | fromJson).engineCache -}}
name: kserve-container
image: {{ include "crowdserve.image" (dict "image" .version.triton) }}
imagePullPolicy: {{ .version.triton.pullPolicy }}
args:
  - /bin/sh
  - -c
  - |
    set -eu
    rm -f /dev/shm/triton_python_backend_shm_region_* /dev/shm/crowdserve-* # of containers that were killed: the volume stays
    until [ -d /mnt/models ]; do sleep 1; done # with oci:// a sidecar brings it
    {{- include "crowdserve.verification" (dict "root" .root "digest" "${CROWDSERVE_BUNDLE_DIGEST-}" "models" "/mnt/models" "plans" (eq $values.device "tensorrt")) | nindent 4 }}
    device={{ $values.device }}
    {{- .root.Files.Get "files/choose-backends.sh" | trim | nindent 4 }}
    {{- if eq $values.device "cpu" }}
    precision={{ $values.triton.precision }}
    {{- .root.Files.Get "files/choose-precision.sh" | trim | nindent 4 }}
    {{- end }}
    host={{ $values.triton.host | squote }}
    {{- .root.Files.Get "files/choose-address.sh" | trim | nindent 4 }}
    {{- if not $standalone }}
    own=127.0.0.1
    {{- end }}
    {{- if $shares }}
    sockets={{ include "crowdserve.memorySockets" . }}
    {{- .root.Files.Get "files/share-memory.sh" | trim | nindent 4 }}
    {{- end }}
    {{- if $caches }}
    engines={{ $engines }} kept={{ ternary "/engines" "" $keeps }}
    {{- .root.Files.Get "files/keep-engines.sh" | trim | nindent 4 }}
    {{- end }}
    program=$1
    shift
    exec "$program" --http-address={{ ternary "\"$listen\"" "127.0.0.1" $standalone }} --metrics-address="$listen" {{ if $shares }}"$grpc" {{ end }}"$@"
  - triton
  - tritonserver
  {{- range include "crowdserve.tritonFlags" .root | fromJsonArray }}
  - {{ . | quote }}
  {{- end }}
{{- with include "crowdserve.tritonEnvironment" .root | fromJsonArray }}
env: {{ toJson . }}
{{- end }}
{{- if $standard }}
ports:
  {{- if $standalone }}
  - {name: triton, containerPort: 8085, protocol: TCP}
  {{- end }}
  - {name: triton-metrics, containerPort: 8002, protocol: TCP}
startupProbe:
  {{- include "crowdserve.tritonProbe" (dict "root" .root "path" "/v2/health/ready" "period" 5 "failures" (div (add $values.triton.startupSeconds 4) 5)) | nindent 2 }}
readinessProbe:
  {{- include "crowdserve.tritonProbe" (dict "root" .root "path" "/v2/health/ready" "period" 5 "failures" 3) | nindent 2 }}
livenessProbe:
  {{- include "crowdserve.tritonProbe" (dict "root" .root "path" "/v2/health/live" "period" 10 "failures" 6) | nindent 2 }}
{{- if not $standalone }}
lifecycle:
  preStop:
    exec:
      command:
        - /bin/sh
        - -c
        - |
          seconds={{ include "crowdserve.transformerStopSeconds" .root }}
          {{- .root.Files.Get "files/outlive-transformer.sh" | trim | nindent 10 }}
{{- else if $values.transformer.settings.drainSeconds }}
lifecycle:
  preStop:
    sleep: {seconds: {{ ceil $values.transformer.settings.drainSeconds }}} # it leaves the Service first
{{- end }}
{{- else if $standalone }}
ports:
  - {name: http1, containerPort: 8085, protocol: TCP}
readinessProbe:
  {{- include "crowdserve.tritonProbe" (dict "root" .root "path" "/v2/health/ready" "period" 5 "failures" 3) | nindent 2 }}
{{- end }}
securityContext: {{ include "crowdserve.downloadSecurityContext" . }}
volumeMounts:
  - {name: shm, mountPath: /dev/shm}
  - {name: tmp, mountPath: /tmp}
  {{- if $shares }}
  - {name: memory-sockets, mountPath: {{ include "crowdserve.memorySockets" . }}}
  {{- end }}
  {{- if $caches }}
  - {name: engines, mountPath: {{ $engines }}}
  {{- end }}
  {{- if $keeps }}
  - {name: kept-engines, mountPath: /engines}
  {{- end }}
{{- end }}

{{/* A probe of Triton, from inside where it listens on the loopback address. Takes {root, path, period, failures}. */}}
{{- define "crowdserve.tritonProbe" -}}
{{- if eq .root.Values.transformer.mode "standalone" -}}
{{- include "crowdserve.httpProbe" (dict "path" .path "port" 8085 "period" .period "failures" .failures) -}}
{{- else -}}
exec:
  command:
    - bash
    - -c
    - |
      path={{ .path }}
      {{- .root.Files.Get "files/triton-answers.sh" | trim | nindent 6 }}
periodSeconds: {{ .period }}
timeoutSeconds: 5
failureThreshold: {{ .failures }}
{{- end -}}
{{- end }}

{{/*
Flags of tritonserver as a JSON array. Only the models of the cards are loaded, whatever else the bundle holds. Nobody loads
others, reads shared memory, traces or sets logging: the header that these endpoints ask for needs the value of an empty
line, which ends a request's headers. gRPC has nothing but shared memory and health, where it listens at all, which is on a Unix
socket; Triton makes its port a part of the path.
*/}}
{{- define "crowdserve.tritonFlags" -}}
{{- $flags := list
      "--model-repository=/mnt/models"
      "--backend-directory=/tmp/backends"
      "--model-control-mode=explicit"
      "--disable-auto-complete-config"
      "--strict-readiness=true"
      "--exit-on-error=true"
      (printf "--exit-timeout-secs=%d" (int .Values.triton.exitTimeoutSeconds))
      "--http-port=8085"
      "--http-restricted-api=model-repository,shared-memory,trace,logging:nobody=\n\n"
      "--metrics-port=8002" -}}
{{- if eq (include "crowdserve.sharesMemory" .) "true" -}}
{{- $flags = concat $flags (list
      "--grpc-port=1"
      "--grpc-restricted-protocol=inference,metadata,statistics,model-config,model-repository,trace,logging:nobody=\n\n") -}}
{{- else -}}
{{- $flags = append $flags "--allow-grpc=false" -}}
{{- end -}}
{{- range (.Files.Get "files/models.json" | fromJson).served -}}
{{- $flags = append $flags (printf "--load-model=%s" .) -}}
{{- end -}}
{{- if eq .Values.device "cpu" -}}
{{- $flags = concat $flags (list
      "--allow-gpu-metrics=false"
      "--pinned-memory-pool-byte-size=0"
      "--backend-config=onnxruntime,enable-global-threadpool=1"
      (printf "--backend-config=onnxruntime,intra_op_thread_count=%s" (include "crowdserve.cpuThreads" .))
      "--backend-config=onnxruntime,inter_op_thread_count=1") -}}
{{- end -}}
{{- toJson (concat $flags .Values.triton.extraArgs) -}}
{{- end }}

{{/* Without this, onnxruntime would use every core of the node, whatever the limit. */}}
{{- define "crowdserve.cpuThreads" -}}
{{- $limit := ((.Values.triton.resources).limits).cpu | default 1 | toString -}}
{{- $cores := ternary (divf ($limit | trimSuffix "m" | float64) 1000) ($limit | float64) (hasSuffix "m" $limit) -}}
{{- .Values.triton.cpuThreads | default (ceil $cores) | int | max 1 -}}
{{- end }}

{{/* The values' variables as a JSON array. The first is read by the python backend of an embedded bundle. */}}
{{- define "crowdserve.tritonEnvironment" -}}
{{- $variables := .Values.triton.env -}}
{{- $named := list -}}
{{- range $variables -}}{{- $named = append $named .name -}}{{- end -}}
{{- if and (eq .Values.device "cpu") (not (has "CROWDSERVE_TRITON_THREADS" $named)) -}}
{{- $variables = prepend $variables (dict "name" "CROWDSERVE_TRITON_THREADS" "value" (include "crowdserve.cpuThreads" .)) -}}
{{- end -}}
{{- toJson $variables -}}
{{- end }}

{{/* Whether the transformer gives photos to Triton by memory: in one pod. */}}
{{- define "crowdserve.sharesMemory" -}}
{{- and .Values.triton.sharedMemory.enabled (eq .Values.transformer.mode "collocated") -}}
{{- end }}

{{/* Folder of the Unix socket by which Triton is told of that memory, in both containers. */}}
{{- define "crowdserve.memorySockets" -}}
/run/crowdserve
{{- end }}

{{- define "crowdserve.hasEngineCache" -}}
{{- and .Values.engineCache.enabled (eq .Values.device "gpu") -}}
{{- end }}

{{/* Volumes of Triton's pod. Takes {root, version}. */}}
{{- define "crowdserve.tritonVolumes" -}}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .root.Values.triton.shmSize }}}
- name: tmp
  emptyDir: {sizeLimit: {{ .root.Values.triton.tmpSize }}}
{{- if eq (include "crowdserve.sharesMemory" .root) "true" }}
- name: memory-sockets
  emptyDir: {sizeLimit: 1Mi}
{{- end }}
{{- if eq (include "crowdserve.hasEngineCache" .root) "true" }}
- name: engines
  emptyDir: {sizeLimit: {{ .root.Values.engineCache.sizeLimit }}}
{{- with .root.Values.engineCache.existingClaim }}
- name: kept-engines
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
