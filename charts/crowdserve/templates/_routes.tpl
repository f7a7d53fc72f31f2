{{/*
Everything in a route that the API server would add by itself is written out: a GitOps controller would see a difference.
Rules of a route: the testers' header to the canary only, then stable and canary by weight. Both take only the paths, or
the methods of gRPC, that are for callers.
Takes {root, kind, port}; kind is HTTPRoute or GRPCRoute.
*/}}
{{- define "crowdserve.routeRules" -}}
{{- $values := .root.Values -}}
{{- $http := eq .kind "HTTPRoute" -}}
{{- $name := include "crowdserve.fullname" .root -}}
{{- $front := include "crowdserve.front" .root -}}
{{- $service := dict "group" "" "kind" "Service" "port" .port "weight" 1 -}}
{{- $stable := merge (dict "name" (printf "%s-%s" $name $front)) $service -}}
{{- $canary := merge (dict "name" (printf "%s-canary-%s" $name $front)) $service -}}
{{- $header := dict "headers" (list (dict "name" "x-crowdserve-track" "type" "Exact" "value" $values.canary.headerValue)) -}}
{{- $matches := list -}}
{{- if $http -}}
{{- range $values.route.paths }}{{ $matches = append $matches (dict "path" (dict "type" "PathPrefix" "value" .)) }}{{ end -}}
{{- else -}}
{{- range include "crowdserve.grpcMethods" $ | fromJsonArray }}{{ $matches = append $matches (dict "method" (dict "type" "Exact" "service" "inference.GRPCInferenceService" "method" .)) }}{{ end -}}
{{- range concat (list "grpc.health.v1.Health") (ternary (include "crowdserve.reflection" $ | fromJsonArray) list $values.route.grpc.reflection) }}{{ $matches = append $matches (dict "method" (dict "type" "Exact" "service" .)) }}{{ end -}}
{{- end -}}
{{- $alone := list -}}
{{- range $matches }}{{ $alone = append $alone (merge (dict) . $header) }}{{ end -}}
{{- if $values.canary.enabled }}
- matches: {{ toJson $alone }}
  backendRefs:
    - {{ toJson $canary }}
  {{- include "crowdserve.routeTimeouts" . }}
{{- end }}
- backendRefs:
    {{- if $values.canary.enabled }}
    - {{ toJson (mergeOverwrite $stable (dict "weight" (sub 100 $values.canary.trafficPercent))) }}
    - {{ toJson (mergeOverwrite $canary (dict "weight" $values.canary.trafficPercent)) }}
    {{- else }}
    - {{ toJson $stable }}
    {{- end }}
  matches: {{ toJson $matches }}
  {{- include "crowdserve.routeTimeouts" . }}
{{- end }}

{{/* The methods of the service that are for callers: not those that load and unload models. */}}
{{- define "crowdserve.grpcMethods" -}}
["ModelConfig", "ModelInfer", "ModelMetadata", "ModelReady", "ModelStatistics", "ModelStreamInfer", "RepositoryIndex", "ServerLive", "ServerMetadata", "ServerReady"]
{{- end }}

{{/* The services of reflection. */}}
{{- define "crowdserve.reflection" -}}
["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
{{- end }}

{{/* The gateways that a route attaches to. Takes the values' list. */}}
{{- define "crowdserve.parentRefs" -}}
{{- $refs := list -}}
{{- range . -}}
{{- $refs = append $refs (merge (deepCopy .) (dict "group" "gateway.networking.k8s.io" "kind" "Gateway")) -}}
{{- end -}}
{{- toJson $refs -}}
{{- end }}

{{/* A GRPCRoute has no time-outs; its clients set deadlines. */}}
{{- define "crowdserve.routeTimeouts" -}}
{{- if eq .kind "HTTPRoute" }}
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
