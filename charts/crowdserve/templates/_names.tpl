{{/*
Names and labels, on which `crowdserve rollout` and every selector of pods rely:

  InferenceService, ServingRuntime   <fullname> and <fullname>-canary
  their Deployments and Services     <InferenceService>-predictor and, standalone, -transformer: named by KServe
  Service of standalone Triton       <InferenceService>-triton
  HTTPRoute, GRPCRoute               <fullname> and <fullname>-grpc; stable is the first of two weighted backends, and
                                     an earlier rule sends x-crowdserve-track: SECRET to the canary only
  labels                             app.kubernetes.io/name=crowdserve, app.kubernetes.io/instance=<release>, and on
                                     objects of one version, pods included, crowdserve.io/track=stable|canary

The full name is the release's, not <release>-<chart>: otherwise releases "a" and "a-crowdserve" could collide. KServe
appends up to 12 characters and a Service's name has 63, so a name over 33 is cut, with a hash that keeps it unique.
*/}}
{{- define "crowdserve.fullname" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name -}}
{{- if gt (len $name) 33 -}}
{{- printf "%s-%s" ($name | trunc 24 | trimSuffix "-") ($name | sha256sum | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end }}

{{- define "crowdserve.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "crowdserve.fullname" .) -}}
{{- end }}

{{/* Labels that pods are selected by; they never change in an upgrade. Takes {root, track}; track may be missing. */}}
{{- define "crowdserve.selectorLabels" -}}
app.kubernetes.io/name: crowdserve
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .track }}
crowdserve.io/track: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of an object that no pods inherit: a new chart version would restart them. Takes {root, track}. */}}
{{- define "crowdserve.labels" -}}
{{ include "crowdserve.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* repository:tag or repository@digest. Takes {image, tag}; tag is the default for a missing one. */}}
{{- define "crowdserve.image" -}}
{{- with .image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The suffix of the Service and Deployment that answer requests. */}}
{{- define "crowdserve.front" -}}
{{- ternary "transformer" "predictor" (eq .Values.transformer.mode "standalone") -}}
{{- end }}

{{/* Addresses of the service in the cluster: host names without a scheme. */}}
{{- define "crowdserve.restAddress" -}}
{{- printf "%s-%s.%s.svc" (include "crowdserve.fullname" .) (include "crowdserve.front" .) .Release.Namespace -}}
{{- end }}
{{- define "crowdserve.grpcAddress" -}}
{{- printf "%s:%d" (include "crowdserve.restAddress" .) (ternary 80 8081 (eq .Values.deploymentMode "Knative")) -}}
{{- end }}

{{/* URL of the service that counts: this release's own, unless another is named. Takes {root, url}. */}}
{{- define "crowdserve.serviceUrl" -}}
{{- .url | default (printf "http://%s" (include "crowdserve.restAddress" .root)) -}}
{{- end }}
