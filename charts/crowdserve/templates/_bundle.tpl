{{/*
Shell that compares a folder of models with what the values say of it; empty with verifyBundle off.
Takes {root, digest, models, plans}: a shell word, the folder, and whether plans.sha256 is expected.
*/}}
{{- define "crowdserve.verification" -}}
{{- $verify := .root.Values.transformer.settings.verifyBundle -}}
{{- if ne $verify "off" -}}
verify={{ $verify }} digest={{ .digest }} plans={{ ternary "yes" "no" .plans }}
{{- if .root.Values.storage.publicKey }}
public_key=/tmp/cosign.pub
cat > $public_key <<'KEY'
{{ include "crowdserve.publicKey" .root }}
KEY
{{- else }}
public_key=
{{- end }}
{{ .root.Files.Get "files/verify-models.sh" | trim }}
verify_models {{ .models }}
{{- end }}
{{- end }}

{{/* The lines of the key, without spaces that YAML may have left around them. */}}
{{- define "crowdserve.publicKey" -}}
{{- regexReplaceAll "\\s*\n\\s*" (trim .Values.storage.publicKey) "\n" -}}
{{- end }}

{{/* A digest as `crowdserve bundle` prints it. */}}
{{- define "crowdserve.digest" -}}
{{- with trimPrefix "sha256:" . -}}
sha256:{{ . }}
{{- end -}}
{{- end }}
