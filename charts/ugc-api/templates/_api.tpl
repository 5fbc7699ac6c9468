{{- define "ugc-api.jwtSecret" -}}
{{- with .Values.jwt -}}
{{- if or .generate .secret .existingSecret.name -}}
name: {{ default (include "ugc.fullname" $) (tpl .existingSecret.name $) }}
key: {{ ternary .existingSecret.key "jwt-secret" (ne .existingSecret.name "") }}
{{- end -}}
{{- end -}}
{{- end -}}
