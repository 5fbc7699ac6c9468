{{/* Takes (list root "server" or "keeper"). */}}
{{- define "clickhouse.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ index $image (index . 1) }}
{{- with index $image.digests (index . 1) }}@{{ . }}{{ else }}:{{ default (index . 0).Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- define "clickhouse.secretName" -}}
{{- default (printf "%s-users" (include "ugc.fullname" .)) (tpl .Values.passwords.existingSecret.name .) -}}
{{- end -}}

{{- define "clickhouse.tlsSecretName" -}}
{{- default (printf "%s-tls" (include "ugc.fullname" .)) (tpl .Values.tls.existingSecret.name .) -}}
{{- end -}}

{{/* Ports by name, as the values of TLS make them. */}}
{{- define "clickhouse.ports" -}}
{{- if .Values.tls.enabled -}}
{"native": 9440, "http": 8443, "interserver": 9010}
{{- else -}}
{"native": 9000, "http": 8123, "interserver": 9009}
{{- end -}}
{{- end -}}

{{/* Domain of the servers' and of Keeper's pods. Takes (list root "servers" or "keeper"). */}}
{{- define "clickhouse.domain" -}}
{{- $root := index . 0 -}}
{{ include "ugc.fullname" $root }}-{{ index . 1 }}.{{ $root.Release.Namespace }}.svc
{{- end -}}

{{/* What a pod has in common. Takes (dict "root" "component" "role"). */}}
{{- define "clickhouse.podLabels" -}}
{{ include "ugc.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
ugc.dev/role: {{ .role }}
{{- with .root.Values.pod.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Takes (list root size className). */}}
{{- define "clickhouse.claim" -}}
- metadata:
    name: data
    labels:
      {{- include "ugc.selectorLabels" (index . 0) | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with index . 2 }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ index . 1 }}
{{- end -}}

{{/* A setting of a configuration as an element. Takes a map. */}}
{{- define "clickhouse.elements" -}}
{{- range $name, $value := . }}
<{{ $name }}>{{ include "ugc.setting" $value | html }}</{{ $name }}>
{{- end }}
{{- end -}}

{{- define "clickhouse.logger" -}}
<logger>
    <level>{{ . }}</level>
    <console>true</console>
    <formatting><type>json</type></formatting>
</logger>
<listen_host>::</listen_host>
<listen_host>0.0.0.0</listen_host>
<!-- A node without IPv6 has no "::". -->
<listen_try>1</listen_try>
<prometheus>
    <endpoint>/metrics</endpoint>
    <port>9363</port>
    <metrics>true</metrics>
    <events>true</events>
    <asynchronous_metrics>true</asynchronous_metrics>
</prometheus>
{{- end -}}

{{/* The variable of a password. Takes (list root variable key). */}}
{{- define "clickhouse.passwordEnv" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "clickhouse.secretName" (index . 0) }}
      key: {{ index . 2 }}
{{- end -}}

{{/* Names that a certificate of the servers must have, as a list. */}}
{{- define "clickhouse.dnsNames" -}}
{{- $root := . -}}
{{- $services := list (include "ugc.fullname" .) -}}
{{- range $shard := until (int .Values.shards) -}}
{{- $services = append $services (printf "%s-shard-%d" (include "ugc.fullname" $root) $shard) -}}
{{- end -}}
{{- range $services }}
- {{ . }}
- {{ . }}.{{ $root.Release.Namespace }}.svc
{{- end }}
- "*.{{ include "clickhouse.domain" (list . "servers") }}"
- localhost
{{- end -}}
