{{/* Names are the program's own: one installation serves a cluster. */}}
{{- define "slipway.labels" -}}
app.kubernetes.io/name: slipway-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "slipway.selector" -}}
app.kubernetes.io/name: slipway-operator
app.kubernetes.io/component: operator
{{- end }}

{{/* The settings file: what is empty is left out, or filled in. */}}
{{- define "slipway.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if not $settings.namespace }}{{ $settings = omit $settings "namespace" }}{{ end -}}
{{- if not $settings.leaderElection.namespace }}{{ $_ := set $settings.leaderElection "namespace" .Release.Namespace }}{{ end -}}
{{- if not $settings.drain.configMapNamespace }}{{ $_ := set $settings.drain "configMapNamespace" .Release.Namespace }}{{ end -}}
{{- $certificate := $settings.servers.certificate -}}
{{- if not $certificate.namespace }}{{ $_ := set $certificate "namespace" .Release.Namespace }}{{ end -}}
{{- if .Values.certificate.existingSecret }}{{ $_ := set $certificate "directory" "/etc/slipway-certificate" }}{{ end -}}
{{- if not $certificate.directory }}{{ $_ := unset $certificate "directory" }}{{ end -}}
{{- toYaml $settings }}
{{- end }}

{{/* The port of an address; nothing where nobody listens. */}}
{{- define "slipway.port" -}}
{{- if ne (toString .) "0" }}{{ regexFind "[0-9]+$" (toString .) }}{{ end -}}
{{- end }}

{{- define "slipway.agentNamespace" -}}
{{ .Values.settings.namespace | default .Values.agent.namespace }}
{{- end }}

{{/* A role of rules, and its binding to the operator: dict root, kind, name, namespace, rules. */}}
{{- define "slipway.grant" -}}
{{- if .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "slipway.labels" .root | nindent 4 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "slipway.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .root.Values.serviceAccount.name }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end }}
