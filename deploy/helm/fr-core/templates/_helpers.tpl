{{- define "fr-core.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fr-core.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fr-core.labels" -}}
{{ include "fr-core.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "fr-core.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* A container that may write to its volumes only, as an ordinary user. */}}
{{- define "fr-core.confined" -}}
image: {{ include "fr-core.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop:
      - ALL
volumeMounts:
  - name: data
    mountPath: /var/lib/fr-core
  - name: tmp
    mountPath: /tmp
{{- if .Values.database.secret }}
  - name: database
    mountPath: /run/secrets/database
    readOnly: true
{{- end }}
{{- end }}

{{/* Where the stores lie, for every container that opens them. */}}
{{- define "fr-core.stores" -}}
{{- if .Values.database.url }}
- name: FR__STORAGE__URL
  value: {{ .Values.database.url | quote }}
- name: FR__SERVER__NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if .Values.database.secret }}
- name: FR__STORAGE__PASSWORD
  value: file:/run/secrets/database/password
{{- end }}
{{- end }}
{{- end }}

{{/* What a probe asks: the values of the chart, and the path of HTTP. */}}
{{- define "fr-core.probe" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.probes.kind "http" -}}
httpGet:
  scheme: HTTPS
  port: https
  path: {{ index . 1 }}
{{- else -}}
exec:
  command:
    - fr-health
{{- end }}
{{- end }}
