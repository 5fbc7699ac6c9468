{{/* Name of the objects of a subchart whose values do not change it. Takes (list root name). */}}
{{- define "ugc-platform.fullname" -}}
{{- include "ugc.fullname" (dict "Chart" (dict "Name" (index . 1)) "Values" dict "Release" (index . 0).Release) -}}
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
