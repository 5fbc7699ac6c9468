{{- define "etl.clickhouse.env" -}}
{{- with .Values.clickhouse }}
CLICKHOUSE_HOST: {{ tpl .host $ | quote }}
CLICKHOUSE_PORT: {{ .port | int64 | quote }}
CLICKHOUSE_USER: {{ .user | quote }}
CLICKHOUSE_SECURE: {{ .tls.enabled | quote }}
CLICKHOUSE_DATABASE: {{ .database | quote }}
CLICKHOUSE_ANALYTICS_DATABASE: {{ .analyticsDatabase | quote }}
CLICKHOUSE_CLUSTER: {{ tpl .cluster $ | quote }}
{{- if .tls.caSecret.name }}
CLICKHOUSE_CA_FILE: /etc/ugc/clickhouse-ca/{{ .tls.caSecret.key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "etl.clickhouse.secretEnv" -}}
{{- with .Values.clickhouse }}
{{- if or .password .existingSecret.name }}
- name: CLICKHOUSE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ default (include "ugc.fullname" $) (tpl .existingSecret.name $) }}
      key: {{ ternary .existingSecret.key "clickhouse-password" (ne .existingSecret.name "") }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "etl.clickhouse.volumeMounts" -}}
{{- if .Values.clickhouse.tls.caSecret.name }}
- name: clickhouse-ca
  mountPath: /etc/ugc/clickhouse-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "etl.clickhouse.volumes" -}}
{{- with .Values.clickhouse.tls.caSecret }}
{{- if .name }}
- name: clickhouse-ca
  secret:
    secretName: {{ tpl .name $ }}
    items:
      - key: {{ .key }}
        path: {{ .key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "etl.pseudonym.secretName" -}}
{{- default (printf "%s-pseudonym" (include "ugc.fullname" .)) (tpl .Values.pseudonymKey.existingSecret.name .) -}}
{{- end -}}

{{- define "etl.pseudonym.env" -}}
- name: PSEUDONYM_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "etl.pseudonym.secretName" . }}
      key: {{ .Values.pseudonymKey.existingSecret.key }}
{{- end -}}

{{- define "etl.egress.clickhouse" -}}
- ports:
    {{- $ports := list (.Values.clickhouse.port | int64 | toString) }}
    {{- range regexFindAll ":[0-9]+" (tpl (.Values.settings.CLICKHOUSE_SHARDS | default "") .) -1 }}
    {{- $ports = append $ports (trimPrefix ":" .) }}
    {{- end }}
    {{- range $ports | uniq }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.clickhouse }}
  to:
    {{- include "ugc.yaml" (list . $) | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The Job's pod; its hash is in the Job's name, since what a Job runs cannot be changed. */}}
{{- define "etl.migration.pod" -}}
metadata:
  labels:
    {{- include "ugc.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/component: schema
spec:
  restartPolicy: OnFailure
  {{- include "ugc.podSpec" . | nindent 2 }}
  containers:
    - name: migrate
      image: {{ include "ugc.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [migrate]
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext:
        {{- include "ugc.securityContext" . | nindent 8 }}
      env:
        {{- range $name, $value := include "etl.clickhouse.env" . | fromYaml }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
        {{- range $name, $value := .Values.settings }}
        {{- if or (hasPrefix "CLICKHOUSE_" $name) (eq $name "LOG_LEVEL") }}
        - name: {{ $name }}
          value: {{ tpl (include "ugc.setting" $value) $ | quote }}
        {{- end }}
        {{- end }}
        {{- include "etl.clickhouse.secretEnv" . | nindent 8 }}
      resources:
        {{- toYaml .Values.migration.resources | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- include "etl.clickhouse.volumeMounts" . | nindent 8 }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- include "etl.clickhouse.volumes" . | nindent 4 }}
{{- end -}}
