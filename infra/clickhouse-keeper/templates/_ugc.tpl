{{/* What every chart of the platform needs, the same file in each; a test compares the copies. */}}

{{/* Name of the chart's objects: release "ugc" makes ugc-api and ugc-etl. At most 40 characters, of
which a long release loses its own last ones: the charts of one release still differ. */}}
{{- define "ugc.fullname" -}}
{{- $name := default (.Chart.Name | trimPrefix "ugc-") .Values.nameOverride | trunc 30 | trimSuffix "-" -}}
{{- $full := "" -}}
{{- if .Values.fullnameOverride -}}
{{- $full = .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- $full = .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $full = printf "%s-%s" (.Release.Name | trunc (sub 39 (len $name) | int) | trimSuffix "-") $name -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $full) -}}
{{- fail (printf "\n\nobjects would be called %q, but a Service begins with a letter and has letters, digits and hyphens only: choose another name for the release, or set fullnameOverride\n" $full) -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{/* Labels that select; they never change in the life of a release. */}}
{{- define "ugc.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ugc.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "ugc.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: ugc-platform
{{- end -}}

{{- define "ugc.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ugc.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "ugc.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* A setting as the environment has it. YAML's numbers arrive as floats: 20000000 is no 2e+07. */}}
{{- define "ugc.setting" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- . | int64 -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* Takes (list values root): values in which strings may be templates, as YAML. */}}
{{- define "ugc.yaml" -}}
{{- tpl (toYaml (index . 0)) (index . 1) -}}
{{- end -}}

{{/* Plain variables of the Kafka connection. */}}
{{- define "ugc.kafka.env" -}}
{{- with .Values.kafka }}
KAFKA_BOOTSTRAP_SERVERS: {{ tpl .bootstrapServers $ | quote }}
KAFKA_TOPIC_PREFIX: {{ .topicPrefix | quote }}
KAFKA_SECURITY_PROTOCOL: {{ printf "%s%s" (ternary "SASL_" "" (ne .sasl.mechanism "")) (ternary "SSL" "PLAINTEXT" .tls.enabled) | quote }}
{{- if .sasl.mechanism }}
KAFKA_SASL_MECHANISM: {{ .sasl.mechanism | quote }}
KAFKA_SASL_USERNAME: {{ tpl .sasl.username $ | quote }}
{{- end }}
{{- if .tls.caSecret.name }}
KAFKA_SSL_CA_LOCATION: /etc/ugc/kafka-ca/{{ .tls.caSecret.key }}
{{- end }}
{{- if .tls.clientSecret.name }}
KAFKA_SSL_CERTIFICATE_LOCATION: /etc/ugc/kafka-client/{{ .tls.clientSecret.certificateKey }}
KAFKA_SSL_KEY_LOCATION: /etc/ugc/kafka-client/{{ .tls.clientSecret.privateKeyKey }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Variables of the Kafka connection that come from Secrets. */}}
{{- define "ugc.kafka.secretEnv" -}}
{{- with .Values.kafka.sasl }}
{{- if .mechanism }}
- name: KAFKA_SASL_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ default (include "ugc.fullname" $) (tpl .existingSecret.name $) }}
      key: {{ ternary .existingSecret.key "kafka-password" (ne .existingSecret.name "") }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ugc.kafka.volumeMounts" -}}
{{- with .Values.kafka.tls }}
{{- if .caSecret.name }}
- name: kafka-ca
  mountPath: /etc/ugc/kafka-ca
  readOnly: true
{{- end }}
{{- if .clientSecret.name }}
- name: kafka-client
  mountPath: /etc/ugc/kafka-client
  readOnly: true
{{- end }}
{{- end }}
{{- end -}}

{{- define "ugc.kafka.volumes" -}}
{{- with .Values.kafka.tls }}
{{- with .caSecret }}
{{- if .name }}
- name: kafka-ca
  secret:
    secretName: {{ tpl .name $ }}
    items:
      - key: {{ .key }}
        path: {{ .key }}
{{- end }}
{{- end }}
{{- with .clientSecret }}
{{- if .name }}
- name: kafka-client
  secret:
    secretName: {{ tpl .name $ }}
    defaultMode: 0440
    items:
      - key: {{ .certificateKey }}
        path: {{ .certificateKey }}
      - key: {{ .privateKeyKey }}
        path: {{ .privateKeyKey }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What is wrong with the values of the Kafka connection, as a JSON array of sentences. */}}
{{- define "ugc.kafka.problems" -}}
{{- $problems := list -}}
{{- with .Values.kafka -}}
{{- if not .bootstrapServers -}}
{{- $problems = append $problems "kafka.bootstrapServers is empty: set the host:port of your Kafka's brokers, for example ugc-kafka-bootstrap:9092" -}}
{{- else if not (regexMatch "^[^:,\\s]+:[0-9]{1,5}(,[^:,\\s]+:[0-9]{1,5})*$" (tpl .bootstrapServers $)) -}}
{{- $problems = append $problems (printf "kafka.bootstrapServers becomes %q: set it to host:port, several separated by commas" (tpl .bootstrapServers $)) -}}
{{- end -}}
{{- if and .sasl.mechanism (not .sasl.username) -}}
{{- $problems = append $problems "kafka.sasl.username is empty: kafka.sasl.mechanism is set, so name the user" -}}
{{- end -}}
{{- if and .sasl.mechanism (not .sasl.password) (not .sasl.existingSecret.name) -}}
{{- $problems = append $problems "there is no Kafka password: set kafka.sasl.existingSecret.name (the Secret that has it) or kafka.sasl.password" -}}
{{- end -}}
{{- if and (not .sasl.mechanism) (or .sasl.username .sasl.password .sasl.existingSecret.name) -}}
{{- $problems = append $problems "kafka.sasl.mechanism is empty, so the user and the password would not be used: set it, for example to SCRAM-SHA-512" -}}
{{- end -}}
{{- if and .sasl.password .sasl.existingSecret.name -}}
{{- $problems = append $problems "kafka.sasl.password and kafka.sasl.existingSecret.name are both set: keep one of them" -}}
{{- end -}}
{{- if and (not .tls.enabled) (or .tls.caSecret.name .tls.clientSecret.name) -}}
{{- $problems = append $problems "kafka.tls.enabled is false, so the certificates would not be used: set it to true" -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{/* Restricted Pod Security: of the pod. */}}
{{- define "ugc.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.pod.runAsUser }}
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
# A volume of many files would be gone through at every start.
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Restricted Pod Security: of a container. */}}
{{- define "ugc.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* What the pods of a chart have in common: account, security, places. */}}
{{- define "ugc.podSpec" -}}
serviceAccountName: {{ include "ugc.serviceAccountName" . }}
automountServiceAccountToken: false
# A Service called clickhouse would put CLICKHOUSE_PORT=tcp://... into the environment.
enableServiceLinks: false
securityContext:
  {{- include "ugc.podSecurityContext" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Takes (list root component). */}}
{{- define "ugc.spread" -}}
{{- $root := index . 0 -}}
{{- if ne $root.Values.pod.spread "off" }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ ternary "DoNotSchedule" "ScheduleAnyway" (and (eq $root.Values.pod.spread "required") (eq . "kubernetes.io/hostname")) }}
    labelSelector:
      matchLabels:
        {{- include "ugc.selectorLabels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ index $ 1 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Egress rules to names and to Kafka, on the ports that kafka.bootstrapServers has. */}}
{{- define "ugc.egress.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
    # Where OpenShift's DNS listens behind its Service's 53.
    - {port: 5353, protocol: UDP}
    - {port: 5353, protocol: TCP}
{{- end -}}

{{- define "ugc.egress.kafka" -}}
- ports:
    {{- $ports := list }}
    {{- range splitList "," (tpl .Values.kafka.bootstrapServers $) }}
    {{- $ports = append $ports (regexFind "[0-9]+$" .) }}
    {{- end }}
    {{- range $ports | uniq }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.kafka }}
  to:
    {{- include "ugc.yaml" (list . $) | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A quantity of memory (512Mi) in bytes; fails where it is none. */}}
{{- define "ugc.bytes" -}}
{{- $text := include "ugc.setting" . -}}
{{- $units := dict "m" 0.001 "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $number := trimSuffix $unit $text -}}
{{- if not (and (hasKey $units $unit) (regexMatch "^[0-9]+([.][0-9]+)?(e[0-9]+)?$" $number)) -}}
{{- fail (printf "\n\nthe memory limit %q is no quantity: write it like 512Mi\n" $text) -}}
{{- end -}}
{{- mulf (float64 $number) (index $units $unit) | int64 -}}
{{- end -}}

{{/* files/alerts.yaml as a PrometheusRule. Takes (list root job words): the label "job" that
Prometheus gives to what the chart's monitor scrapes, and, if any, more words of the file with what
they stand for. */}}
{{- define "ugc.alerts" -}}
{{- $root := index . 0 -}}
{{- $job := index . 1 -}}
{{- $words := ternary (last .) dict (eq (len .) 3) -}}
{{- with $root.Values.metrics.prometheusRule }}
{{- if .enabled }}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ include "ugc.fullname" $root }}
  labels:
    {{- include "ugc.labels" $root | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  groups:
    - name: {{ include "ugc.fullname" $root }}
      rules:
        {{- $selector := printf "namespace=%q, job=%q" $root.Release.Namespace $job }}
        {{- $limit := "no limit" }}
        {{- with dig "resources" "limits" "memory" "" $root.Values.pod }}{{ $limit = include "ugc.bytes" . }}{{ end }}
        {{- $rules := $root.Files.Get "files/alerts.yaml" | replace "SELECTOR" $selector | replace "MEMORY_BYTES" $limit }}
        {{- range $word, $value := $words }}{{ $rules = replace $word $value $rules }}{{ end }}
        {{- range $rule := fromYamlArray $rules }}
        {{- if not (or (has $rule.alert $root.Values.metrics.prometheusRule.without) (contains "no limit" $rule.expr)) }}
        {{- $runbook := printf "%s#%s" $root.Values.metrics.prometheusRule.runbooks (lower $rule.alert) }}
        {{- $_ := set $rule.annotations "runbook_url" $runbook }}
        - {{- toYaml $rule | nindent 10 }}
        {{- end }}
        {{- end }}
{{- end }}
{{- end }}
{{- end -}}
