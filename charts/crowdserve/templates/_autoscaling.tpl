{{/* KServe's class; `external` leaves the Deployments to our own ScaledObject, `none` to a fixed number. */}}
{{- define "crowdserve.autoscalerClass" -}}
{{- with .Values.autoscaling -}}
{{- if .keda.enabled }}external{{ else if .hpa.enabled }}hpa{{ else }}none{{ end -}}
{{- end -}}
{{- end }}

{{/* Scaling, updates and time-out of a component. Takes {root, version}. */}}
{{- define "crowdserve.componentFields" -}}
{{- $values := .root.Values -}}
{{- with $values.autoscaling -}}
{{- $scales := or .keda.enabled .hpa.enabled .concurrency.enabled -}}
minReplicas: {{ ternary .minReplicas $.version.replicas $scales }}
maxReplicas: {{ ternary .maxReplicas $.version.replicas $scales }}
{{- if .hpa.enabled }}
scaleMetric: cpu
scaleTarget: {{ .hpa.cpuPercent }}
{{- else if .concurrency.enabled }}
scaleMetric: concurrency
scaleTarget: {{ .concurrency.target }}
{{- end }}
{{- end }}
timeout: {{ $values.requestTimeoutSeconds }}
{{- if eq $values.deploymentMode "Standard" }}
deploymentStrategy:
  type: RollingUpdate
  rollingUpdate: {{ toJson $values.rollingUpdate }}
{{- end }}
{{- end }}

{{/* PromQL labels of a track's own series. Takes {root, track}. */}}
{{- define "crowdserve.series" -}}
namespace="{{ .root.Release.Namespace }}",release="{{ .root.Release.Name }}",track="{{ .track }}"
{{- end }}

{{/* PromQL for "not an ensemble": requests that wait in one wait in its networks' queues. */}}
{{- define "crowdserve.networksOnly" -}}
model!~"{{ (.Files.Get "files/models.json" | fromJson).ensembles | join "|" }}"
{{- end }}
