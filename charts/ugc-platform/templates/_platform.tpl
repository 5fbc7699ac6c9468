{{/* Name of a subchart's objects, as its own "ugc.fullname" makes it. Takes (list root name). */}}
{{- define "ugc-platform.fullname" -}}
{{- $release := (index . 0).Release.Name -}}
{{- if contains (index . 1) $release -}}
{{- $release | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" $release (index . 1) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* These two are what the values of the subcharts ask. */}}
{{- define "ugc-platform.kafka" -}}
{{- include "ugc-platform.fullname" (list . "kafka") -}}
{{- end -}}

{{- define "ugc-platform.clickhouse" -}}
{{- include "ugc-platform.fullname" (list . "clickhouse") -}}
{{- end -}}

{{/* Labels of the pods of a subchart of this release. Takes (list root name). */}}
{{- define "ugc-platform.podLabels" -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end -}}
