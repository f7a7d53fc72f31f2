{{/* A pod of `helm test` that runs a script with the transformer's image. Takes {root, name, script, address}. */}}
{{- define "crowdserve.testPod" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "crowdserve.fullname" .root }}-test-{{ .name }}
  labels:
    {{- include "crowdserve.labels" (dict "root" .root) | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  securityContext: {{ include "crowdserve.podSecurityContext" .root }}
  containers:
    - name: count
      image: {{ include "crowdserve.image" (dict "image" .root.Values.transformer.image "tag" .root.Chart.AppVersion) }}
      imagePullPolicy: {{ .root.Values.transformer.image.pullPolicy }}
      command: [python, -c]
      args:
        - |
          {{- .root.Files.Get (printf "files/%s" .script) | nindent 10 }}
        - {{ .address | quote }}
        - {{ .root.Values.transformer.modelName | quote }}
        - /photo/pedestrians.jpg
        - {{ .root.Values.tests.timeoutSeconds | quote }}
      resources: {{ toJson .root.Values.tests.resources }}
      securityContext: {{ include "crowdserve.securityContext" .root }}
      volumeMounts:
        - {name: photo, mountPath: /photo, readOnly: true}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: photo
      configMap: {name: {{ include "crowdserve.fullname" .root }}-test-photo}
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
{{- end }}
