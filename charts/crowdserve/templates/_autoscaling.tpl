{{/* KServe's class; `external` leaves the Deployments to our own ScaledObject, `none` to a fixed number. */}}
{{- define "crowdserve.autoscalerClass" -}}
{{- with .Values.autoscaling -}}
{{- if .keda.enabled }}external{{ else if .hpa.enabled }}hpa{{ else }}none{{ end -}}
{{- end -}}
{{- end }}

{{/* Scaling, updates, time-out and logger of a component. Takes {root, version, component}: predictor or transformer. */}}
{{- define "crowdserve.componentFields" -}}
{{- $values := .root.Values -}}
{{- with $values.autoscaling -}}
minReplicas: {{ include "crowdserve.fewestReplicas" $ }}
maxReplicas: {{ ternary .maxReplicas $.version.replicas (include "crowdserve.scales" $.root | eq "true") }}
{{- if .hpa.enabled }}
scaleMetric: cpu
scaleTarget: {{ .hpa.cpuPercent }}
{{- else if .concurrency.enabled }}
scaleMetric: concurrency
scaleTarget: {{ .concurrency.target }}
{{- end }}
{{- end }}
timeout: {{ $values.requestTimeoutSeconds }}
{{- if and $values.logger.enabled (eq .component (include "crowdserve.front" .root)) }}
{{- with $values.logger }}
logger: {url: {{ .url | quote }}, mode: {{ .mode }}{{ with .metadataHeaders }}, metadataHeaders: {{ toJson . }}{{ end }}}
{{- end }}
{{- end }}
{{- if eq $values.deploymentMode "Standard" }}
deploymentStrategy: {{ include "crowdserve.deploymentStrategy" . }}
{{- end }}
{{- end }}

{{/*
How an update replaces the pods of a component. Kubernetes calls a Deployment available, and KServe calls its
InferenceService ready, with `maxUnavailable` pods missing: of one replica none may be. Takes {root, version, component}.
*/}}
{{- define "crowdserve.deploymentStrategy" -}}
{{- $surges := or (eq .component "transformer") (eq .root.Values.updateStrategy "surge") (and (eq .root.Values.updateStrategy "auto") (eq .root.Values.device "cpu")) -}}
{{- if $surges -}}
{type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
{{- else if eq (include "crowdserve.fewestReplicas" . | int) 1 -}}
{type: Recreate}
{{- else -}}
{type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}
{{- end -}}
{{- end }}

{{/* Fewest replicas of a track, with and without an autoscaler. Takes {root, version}. */}}
{{- define "crowdserve.fewestReplicas" -}}
{{- ternary .root.Values.autoscaling.minReplicas .version.replicas (include "crowdserve.scales" .root | eq "true") -}}
{{- end }}

{{- define "crowdserve.scales" -}}
{{- with .Values.autoscaling -}}
{{- or .keda.enabled .hpa.enabled .concurrency.enabled -}}
{{- end -}}
{{- end }}

{{/* PromQL labels of a track's own series. Takes {root, track}. */}}
{{- define "crowdserve.series" -}}
namespace="{{ .root.Release.Namespace }}",release="{{ .root.Release.Name }}",track="{{ .track }}"
{{- end }}

{{/* PromQL for "not an ensemble": requests that wait in one wait in its networks' queues. */}}
{{- define "crowdserve.networksOnly" -}}
model!~"{{ (.Files.Get "files/models.json" | fromJson).ensembles | join "|" }}"
{{- end }}
