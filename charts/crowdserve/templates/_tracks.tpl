{{/*
The versions that run side by side, as JSON: one, or stable and canary. In Knative mode the canary is the newest revision
of the one InferenceService, so there is one track, of the canary's version, whose traffic KServe splits.
*/}}
{{- define "crowdserve.tracks" -}}
{{- $knative := eq .Values.deploymentMode "Knative" -}}
{{- $name := include "crowdserve.fullname" . -}}
{{- $tracks := list -}}
{{- if not (and $knative .Values.canary.enabled) -}}
{{- $tracks = append $tracks (dict "track" "stable" "name" $name "replicas" .Values.replicas
      "source" (include "crowdserve.stableSource" .) "digest" .Values.storage.digest "triton" .Values.triton.image
      "transformer" .Values.transformer.image) -}}
{{- end -}}
{{- if .Values.canary.enabled -}}
{{- $tracks = append $tracks (dict
      "track" (ternary "stable" "canary" $knative)
      "name" (ternary $name (printf "%s-canary" $name) $knative)
      "replicas" (ternary .Values.replicas .Values.canary.replicas $knative)
      "source" (.Values.canary.storageUri | default (include "crowdserve.stableSource" .))
      "digest" (ternary .Values.canary.storageDigest .Values.storage.digest (ne .Values.canary.storageUri ""))
      "triton" (include "crowdserve.overriddenImage" (list .Values.triton.image .Values.canary.triton.image) | fromJson)
      "transformer" (include "crowdserve.overriddenImage" (list .Values.transformer.image .Values.canary.transformer.image) | fromJson)) -}}
{{- end -}}
{{- toJson $tracks -}}
{{- end }}

{{- define "crowdserve.stableSource" -}}
{{- with .Values.storage.existingClaim -}}
{{- if .name -}}
{{- printf "pvc://%s/%s" .name .path | trimSuffix "/" -}}
{{- else -}}
{{- $.Values.storage.uri -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* An image with another's tag or digest, where that names one. Takes [image, other]. */}}
{{- define "crowdserve.overriddenImage" -}}
{{- $image := index . 0 -}}
{{- $other := index . 1 -}}
{{- if or $other.tag $other.digest -}}
{{- toJson (merge (dict "tag" $other.tag "digest" $other.digest) (omit $image "tag" "digest")) -}}
{{- else -}}
{{- toJson $image -}}
{{- end -}}
{{- end }}

{{/* Address of a track's bundle for KServe: its source, or the plan builder's folder. Takes {root, track…}. */}}
{{- define "crowdserve.storageUri" -}}
{{- if .root.Values.planBuilder.enabled -}}
{{- printf "pvc://%s/%s" .root.Values.planBuilder.existingClaim (include "crowdserve.planFolder" .) -}}
{{- else -}}
{{- .version.source -}}
{{- end -}}
{{- end }}

{{/* A folder name from all that plans depend on: another bundle, TensorRT, option or type of node gets its own. */}}
{{- define "crowdserve.planFolder" -}}
{{- with .root.Values.planBuilder -}}
{{- $nodes := pick $.root.Values.pod "nodeSelector" "affinity" "runtimeClassName" -}}
{{- $inputs := list $.version.source (include "crowdserve.image" (dict "image" .image)) .precision .workspaceMiB $.root.Values.gpu.resource $nodes ($.root.Files.Get "files/models.json") -}}
{{- printf "%s-%s" (include "crowdserve.fullname" $.root) (toJson $inputs | sha256sum | trunc 10) -}}
{{- end -}}
{{- end }}
