{{/* Fields of a serving pod that KServe takes from the InferenceService. Takes {root, pod}. */}}
{{- define "crowdserve.podFields" -}}
serviceAccountName: {{ include "crowdserve.serviceAccountName" .root }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
enableServiceLinks: false
{{- if eq .root.Values.deploymentMode "Standard" }}
automountServiceAccountToken: false
securityContext: {{ include "crowdserve.podSecurityContext" .root }}
terminationGracePeriodSeconds: {{ include "crowdserve.terminationGraceSeconds" .root }}
{{- end }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "runtimeClassName" "priorityClassName" }}
{{- with get ($.pod | default dict) $field }}
{{ $field }}: {{ toJson . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The transformer drains and finishes, and only then may Triton stop; 5 s to spare. */}}
{{- define "crowdserve.terminationGraceSeconds" -}}
{{- include "crowdserve.transformerStopSeconds" . | int | add .Values.triton.exitTimeoutSeconds 5 -}}
{{- end }}

{{/* Seconds from SIGTERM until the transformer no longer calls Triton. */}}
{{- define "crowdserve.transformerStopSeconds" -}}
{{- with .Values.transformer.settings -}}
{{- addf .drainSeconds .graceSeconds | ceil -}}
{{- end -}}
{{- end }}

{{/* Resources with the GPU in the limits. Takes {root, resources, gpu}. */}}
{{- define "crowdserve.resources" -}}
{{- $resources := deepCopy (.resources | default dict) -}}
{{- if .gpu -}}
{{- $limits := merge (dict .root.Values.gpu.resource (toString .root.Values.gpu.count)) ($resources.limits | default dict) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toJson $resources -}}
{{- end }}

{{/* Security contexts; null leaves them to the cluster, as OpenShift requires. */}}
{{- define "crowdserve.podSecurityContext" -}}
{{- toJson (.Values.podSecurityContext | default dict) -}}
{{- end }}
{{- define "crowdserve.securityContext" -}}
{{- toJson (.Values.containerSecurityContext | default dict) -}}
{{- end }}

{{/* The security context of a container whose context KServe does not copy. */}}
{{- define "crowdserve.readOnlySecurityContext" -}}
{{- toJson (mergeOverwrite (include "crowdserve.securityContext" . | fromJson) (dict "readOnlyRootFilesystem" true)) -}}
{{- end }}

{{/* An HTTP probe. Takes {path, port, period, failures}. */}}
{{- define "crowdserve.httpProbe" -}}
httpGet: {path: {{ .path }}, port: {{ .port }}}
periodSeconds: {{ .period }}
timeoutSeconds: 5
failureThreshold: {{ .failures }}
{{- end }}
