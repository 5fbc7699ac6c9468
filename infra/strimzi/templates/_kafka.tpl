{{/* How many nodes have a role. Takes (list root role). */}}
{{- define "kafka.nodes" -}}
{{- $count := 0 -}}
{{- range (index . 0).Values.nodePools -}}
{{- if has (index $ 1) .roles -}}{{- $count = add $count (int .replicas) -}}{{- end -}}
{{- end -}}
{{- $count -}}
{{- end -}}

{{- define "kafka.replicationFactor" -}}
{{- $brokers := include "kafka.nodes" (list . "broker") | int -}}
{{- default (min 3 $brokers) (int .Values.replicationFactor) -}}
{{- end -}}

{{/* All copies but one, and at least one. */}}
{{- define "kafka.minIsr" -}}
{{- max 1 (sub (include "kafka.replicationFactor" . | int) 1) -}}
{{- end -}}

{{/* Labels of what Strimzi's operators look after. */}}
{{- define "kafka.labels" -}}
{{ include "ugc.labels" . }}
strimzi.io/cluster: {{ include "ugc.fullname" . }}
{{- end -}}

{{/* What stays when the release goes. */}}
{{- define "kafka.keep" -}}
annotations:
  helm.sh/resource-policy: keep
{{- end -}}

{{/* Restricted Pod Security. The root is writable: whether Strimzi's images can do without is theirs. */}}
{{- define "kafka.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- end -}}

{{/* One rule of an ACL. Takes (list type name operations...). */}}
{{- define "kafka.acl" -}}
- resource: {type: {{ index . 0 }}, name: {{ index . 1 }}, patternType: literal}
  operations: [{{ slice . 2 | join ", " }}]
{{- end -}}

{{- define "kafka.networkPolicyPeers" -}}
{{- if .Values.networkPolicy.enabled }}
networkPolicyPeers:
  # The API and the consumers, of this release or of their own.
  - podSelector:
      matchExpressions:
        - {key: app.kubernetes.io/name, operator: In, values: [api, ugc-api, etl]}
  {{- if .Values.ui.enabled }}
  - podSelector:
      matchLabels:
        {{- include "ugc.selectorLabels" . | nindent 8 }}
        app.kubernetes.io/component: ui
  {{- end }}
  {{- with .Values.listeners.tls.clients }}
  {{- include "ugc.yaml" (list . $) | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
