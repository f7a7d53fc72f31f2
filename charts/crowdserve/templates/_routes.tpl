{{/*
Rules of a route: the tester's header to the canary only, then stable and canary by weight.
Takes {root, port, timeouts}; timeouts is whether rules of this kind of route have any.
*/}}
{{- define "crowdserve.routeRules" -}}
{{- $values := .root.Values -}}
{{- $name := include "crowdserve.fullname" .root -}}
{{- $front := include "crowdserve.front" .root -}}
{{- $stable := dict "name" (printf "%s-%s" $name $front) "port" .port -}}
{{- $canary := dict "name" (printf "%s-canary-%s" $name $front) "port" .port -}}
{{- if $values.canary.enabled }}
- matches:
    - headers: [{name: x-crowdserve-track, value: canary}]
  backendRefs:
    - {{ toJson $canary }}
  {{- include "crowdserve.routeTimeouts" . }}
- backendRefs:
    - {{ toJson (merge (dict "weight" (sub 100 $values.canary.trafficPercent)) $stable) }}
    - {{ toJson (merge (dict "weight" $values.canary.trafficPercent) $canary) }}
  {{- include "crowdserve.routeTimeouts" . }}
{{- else }}
- backendRefs:
    - {{ toJson $stable }}
  {{- include "crowdserve.routeTimeouts" . }}
{{- end }}
{{- end }}

{{/* A GRPCRoute has no time-outs; its clients set deadlines. */}}
{{- define "crowdserve.routeTimeouts" -}}
{{- if .timeouts }}
  timeouts: {request: {{ .root.Values.requestTimeoutSeconds }}s}
{{- end }}
{{- end }}

{{/* Metadata of a route. Takes {root, name}. */}}
{{- define "crowdserve.routeMetadata" -}}
name: {{ .name }}
labels:
  {{- include "crowdserve.labels" (dict "root" .root) | nindent 2 }}
{{- with .root.Values.route.annotations }}
annotations: {{ toJson . }}
{{- end }}
{{- end }}
