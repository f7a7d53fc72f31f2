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

{{/*
Security contexts; null leaves them to the cluster. Where it assigns the user, as OpenShift does, it assigns the group of
volumes too, and refuses another.
*/}}
{{- define "crowdserve.podSecurityContext" -}}
{{- $context := deepCopy (.Values.podSecurityContext | default dict) -}}
{{- if not (hasKey $context "runAsUser") -}}
{{- $context = omit $context "fsGroup" "fsGroupChangePolicy" -}}
{{- end -}}
{{- toJson $context -}}
{{- end }}

{{/* The security context of a container. The value decides where it names readOnlyRootFilesystem. */}}
{{- define "crowdserve.securityContext" -}}
{{- $context := deepCopy (.Values.containerSecurityContext | default dict) -}}
{{- if not (hasKey $context "readOnlyRootFilesystem") -}}
{{- $context = set $context "readOnlyRootFilesystem" true -}}
{{- end -}}
{{- toJson $context -}}
{{- end }}

{{/*
The security context of a container that KServe copies to the download of the bundle. The libraries of Hugging Face and of
KServe's fetch of OCI images keep files in the home folder, and KServe mounts no volume there; the other downloads write
to the volume of the models only. Takes {root, version}.
*/}}
{{- define "crowdserve.downloadSecurityContext" -}}
{{- if regexMatch "^(hf|oci\\+fetch)://" (include "crowdserve.storageUri" .) -}}
{{- toJson (.root.Values.containerSecurityContext | default dict) -}}
{{- else -}}
{{- include "crowdserve.securityContext" .root -}}
{{- end -}}
{{- end }}

{{/* An HTTP probe. Takes {path, port, period, failures}. */}}
{{- define "crowdserve.httpProbe" -}}
httpGet: {path: {{ .path }}, port: {{ .port }}}
periodSeconds: {{ .period }}
timeoutSeconds: 5
failureThreshold: {{ .failures }}
{{- end }}
