{{/*
The transformer's container. KServe adds --model_name, --predictor_host and --http_port to a standalone one that lacks
them: the first must not be the InferenceService's name, which differs between stable and canary.
Takes {root, version}.
*/}}
{{- define "crowdserve.transformerContainer" -}}
{{- $values := .root.Values -}}
{{- $standalone := eq $values.transformer.mode "standalone" -}}
{{- $shares := eq (include "crowdserve.sharesMemory" .root) "true" -}}
name: {{ ternary "kserve-container" "transformer-container" $standalone }}
image: {{ include "crowdserve.image" (dict "image" .version.transformer "tag" .root.Chart.AppVersion) }}
imagePullPolicy: {{ .version.transformer.pullPolicy }}
args: [--model_name, {{ $values.transformer.modelName | quote }}, --http_port, "8080", --grpc_port, "8081"
  {{- if and $standalone (eq $values.deploymentMode "Standard") }}, --predictor_host, {{ printf "%s-triton:8085" .version.name }}{{ end }}]
env:
  - {name: CROWDSERVE_REPOSITORY, value: /mnt/models}
  {{- with include "crowdserve.digest" .version.digest }}
  - {name: CROWDSERVE_BUNDLE_DIGEST, value: {{ . | quote }}}
  {{- end }}
  {{- if $values.storage.publicKey }}
  - {name: CROWDSERVE_BUNDLE_PUBLIC_KEY, value: /bundle-key/cosign.pub}
  {{- end }}
  - {name: CROWDSERVE_METRICS_PORT, value: "8082"}
  - {name: CROWDSERVE_MODEL_ALIASES, value: {{ include "crowdserve.modelAliases" . | quote }}}
  {{- if $standalone }}
  - {name: PROTOCOL, value: v2} # KServe's InferenceGraph asks for it: a transformer speaks v1 to it if nothing is said
  - {name: STORAGE_URI, value: {{ include "crowdserve.storageUri" . | quote }}}
  {{- else }}
  - {name: CROWDSERVE_PREDICTOR_HOST, value: "127.0.0.1:8085"}
  {{- end }}
  {{- if $shares }}
  - {name: CROWDSERVE_TRITON_MEMORY_SOCKET, value: {{ printf "%s/memory:1" (include "crowdserve.memorySockets" .) | quote }}}
  {{- end }}
  {{- range $name, $value := $values.transformer.settings }}
  - {name: CROWDSERVE_{{ $name | snakecase | upper }}, value: {{ toJson $value | trimAll "\"" | quote }}}
  {{- end }}
  {{- with $values.transformer.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- if eq $values.deploymentMode "Standard" }}
  - {name: http, containerPort: 8080, protocol: TCP}
  - {name: grpc, containerPort: 8081, protocol: TCP}
  - {name: metrics, containerPort: 8082, protocol: TCP}
  {{- else if eq $values.knative.protocol "grpc" }}
  - {name: h2c, containerPort: 8081, protocol: TCP}
  {{- else }}
  - {name: http1, containerPort: 8080, protocol: TCP}
  {{- end }}
{{- if eq $values.deploymentMode "Standard" }}
# It answers once the bundle is present and verified; with oci:// it waits two minutes for the sidecar that brings it.
startupProbe:
  {{- include "crowdserve.httpProbe" (dict "path" "/v2/health/live" "port" 8080 "period" 5 "failures" 36) | nindent 2 }}
{{- end }}
{{- $onlyGrpc := and (eq $values.deploymentMode "Knative") (eq $values.knative.protocol "grpc") }}
readinessProbe:
  {{- if $onlyGrpc }}
  # Knative replaces any other port here by its one port, and HTTP/1 gets no answer on gRPC's.
  grpc: {port: 8081, service: ""}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
  {{- else }}
  {{- include "crowdserve.httpProbe" (dict "path" "/v2/health/ready" "port" 8080 "period" 5 "failures" 2) | nindent 2 }}
  {{- end }}
livenessProbe:
  {{- if eq $values.deploymentMode "Standard" }}
  {{- include "crowdserve.httpProbe" (dict "path" "/v2/health/live" "port" 8080 "period" 10 "failures" 6) | nindent 2 }}
  {{- else }}
  {{- if $onlyGrpc }}
  grpc: {port: 8081, service: liveness} # which does not follow Triton
  {{- else }}
  httpGet: {path: /v2/health/live, port: 8080}
  {{- end }}
  initialDelaySeconds: 120 # in place of a startup probe, which older Knatives refuse
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
  {{- end }}
resources: {{ toJson $values.transformer.resources }}
securityContext: {{ if $standalone }}{{ include "crowdserve.downloadSecurityContext" . }}{{ else }}{{ include "crowdserve.securityContext" .root }}{{ end }}
volumeMounts:
  - {name: transformer-tmp, mountPath: /tmp}
  {{- if $shares }}
  # Volumes of Triton's runtime, in the same pod.
  - {name: shm, mountPath: /dev/shm}
  - {name: memory-sockets, mountPath: {{ include "crowdserve.memorySockets" . }}}
  {{- end }}
  {{- if $values.storage.publicKey }}
  - {name: bundle-key, mountPath: /bundle-key, readOnly: true}
  {{- end }}
{{- end }}

{{/*
More names of the model, separated by commas: the InferenceService's, by which KServe's InferenceGraph calls it, and in a
canary also that of stable, whose requests it shares. Takes {root, version}.
*/}}
{{- define "crowdserve.modelAliases" -}}
{{- $names := concat (list (include "crowdserve.fullname" .root) .version.name) .root.Values.transformer.modelAliases -}}
{{- without ($names | uniq) .root.Values.transformer.modelName | join "," -}}
{{- end }}

{{/* Volumes of the transformer's container. */}}
{{- define "crowdserve.transformerVolumes" -}}
- {name: transformer-tmp, emptyDir: {sizeLimit: {{ .Values.transformer.tmpSize }}}}
{{- if .Values.storage.publicKey }}
- {name: bundle-key, configMap: {name: {{ include "crowdserve.fullname" . }}-bundle-key, defaultMode: 420}}
{{- end }}
{{- end }}
