{{/* The whole of the server's config.xml: nothing of the image's own is merged in. */}}
{{- define "clickhouse.config" -}}
{{- $root := . -}}
{{- $ports := include "clickhouse.ports" . | fromJson -}}
{{- $keeper := include "clickhouse.domain" (list . "keeper") -}}
{{- $servers := include "clickhouse.domain" (list . "servers") -}}
<clickhouse>
    {{- include "clickhouse.logger" .Values.server.logLevel | nindent 4 }}
    <display_name from_env="POD_NAME"/>
    <path>/var/lib/clickhouse/</path>
    <tmp_path>/var/lib/clickhouse/tmp/</tmp_path>
    <user_files_path>/var/lib/clickhouse/user_files/</user_files_path>
    <format_schema_path>/var/lib/clickhouse/format_schemas/</format_schema_path>
    <timezone>UTC</timezone>
    <mlock_executable>false</mlock_executable>
    <default_profile>default</default_profile>
    <default_database>default</default_database>
    <max_server_memory_usage_to_ram_ratio>{{ .Values.server.memoryShare }}</max_server_memory_usage_to_ram_ratio>
    <shutdown_wait_unfinished>60</shutdown_wait_unfinished>
    <!-- Nothing that arrives by the name of a file, an address or a library. -->
    <send_crash_reports><enabled>false</enabled></send_crash_reports>
    {{- include "clickhouse.elements" .Values.server.settings | nindent 4 }}

    <user_directories>
        <users_xml><path>users.xml</path></users_xml>
        <!-- What the administrator makes by SQL is the same on every server. -->
        <replicated><zookeeper_path>/clickhouse/access/</zookeeper_path></replicated>
    </user_directories>
    <access_control_improvements>
        <users_without_row_policies_can_read_rows>true</users_without_row_policies_can_read_rows>
        <on_cluster_queries_require_cluster_grant>true</on_cluster_queries_require_cluster_grant>
        <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
        <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
    </access_control_improvements>

    {{- if .Values.tls.enabled }}
    <https_port>{{ $ports.http }}</https_port>
    <tcp_port_secure>{{ $ports.native }}</tcp_port_secure>
    <interserver_https_port>{{ $ports.interserver }}</interserver_https_port>
    <openSSL>
        <server>
            <certificateFile>/etc/ugc/tls/tls.crt</certificateFile>
            <privateKeyFile>/etc/ugc/tls/tls.key</privateKeyFile>
            <verificationMode>none</verificationMode>
            <disableProtocols>sslv2,sslv3,tlsv1,tlsv1_1</disableProtocols>
            <preferServerCiphers>true</preferServerCiphers>
        </server>
        <client>
            <caConfig>/etc/ugc/tls/ca.crt</caConfig>
            <loadDefaultCAFile>true</loadDefaultCAFile>
            <verificationMode>strict</verificationMode>
            <disableProtocols>sslv2,sslv3,tlsv1,tlsv1_1</disableProtocols>
            <invalidCertificateHandler><name>RejectCertificateHandler</name></invalidCertificateHandler>
        </client>
    </openSSL>
    {{- else }}
    <http_port>{{ $ports.http }}</http_port>
    <tcp_port>{{ $ports.native }}</tcp_port>
    <interserver_http_port>{{ $ports.interserver }}</interserver_http_port>
    {{- end }}
    <interserver_http_host from_env="POD_HOST"/>
    <interserver_http_credentials>
        <user>interserver</user>
        <password from_env="INTERSERVER_PASSWORD"/>
    </interserver_http_credentials>

    <macros>
        <cluster>{{ .Values.clusterName }}</cluster>
        <shard from_env="SHARD"/>
        <replica from_env="POD_NAME"/>
    </macros>
    <!--
      By a user and not by a secret: with a secret a server asks the next one in the name of whoever
      asked it, and an analyst may read the views but not what is below them.
    -->
    <remote_servers>
        <{{ .Values.clusterName }}>
            {{- range $shard := until (int .Values.shards) }}
            <shard>
                <internal_replication>true</internal_replication>
                {{- range $replica := until (int $root.Values.replicas) }}
                <replica>
                    <host>{{ include "ugc.fullname" $root }}-shard-{{ $shard }}-{{ $replica }}.{{ $servers }}</host>
                    <port>{{ $ports.native }}</port>
                    {{- if $root.Values.tls.enabled }}
                    <secure>1</secure>
                    {{- end }}
                    <user>cluster</user>
                    <password from_env="CLUSTER_PASSWORD"/>
                </replica>
                {{- end }}
            </shard>
            {{- end }}
        </{{ .Values.clusterName }}>
    </remote_servers>
    <zookeeper>
        {{- range $member := untilStep 1 (add1 .Values.keeper.replicas | int) 1 }}
        <node>
            <host>{{ include "ugc.fullname" $root }}-keeper-{{ $member }}.{{ $keeper }}</host>
            <port>9181</port>
        </node>
        {{- end }}
        <session_timeout_ms>30000</session_timeout_ms>
        <operation_timeout_ms>10000</operation_timeout_ms>
    </zookeeper>
    <distributed_ddl>
        <path>/clickhouse/task_queue/ddl</path>
        <!-- Who was away catches up for a week. -->
        <task_max_lifetime>604800</task_max_lifetime>
        <cleanup_delay_period>60</cleanup_delay_period>
        <max_tasks_in_queue>1000</max_tasks_in_queue>
    </distributed_ddl>

    {{- with .Values.server.mergeTree }}
    <merge_tree>
        {{- include "clickhouse.elements" . | nindent 8 }}
    </merge_tree>
    {{- end }}

    <!-- A log that is not here is not written. -->
    {{- range $log := list "query_log" "part_log" "error_log" }}
    <{{ $log }}>
        <database>system</database>
        <table>{{ $log }}</table>
        <partition_by>toMonday(event_date)</partition_by>
        <ttl>event_date + INTERVAL {{ $root.Values.server.logDays | int64 }} DAY DELETE</ttl>
        <flush_interval_milliseconds>7500</flush_interval_milliseconds>
    </{{ $log }}>
    {{- end }}

    {{- if include "clickhouse.hasBackups" . }}
    <storage_configuration>
        <disks>
            <backups>
                {{- if .Values.backup.claimName }}
                <type>local</type>
                <path>/backups/</path>
                {{- else }}
                <type>s3_plain</type>
                <!-- A server starts also while the bucket is away. -->
                <skip_access_check>true</skip_access_check>
                <endpoint>{{ .Values.backup.bucket.endpoint | html }}</endpoint>
                {{- if .Values.backup.bucket.existingSecret.name }}
                <access_key_id from_env="BACKUP_ACCESS_KEY_ID"/>
                <secret_access_key from_env="BACKUP_SECRET_ACCESS_KEY"/>
                {{- else }}
                <use_environment_credentials>true</use_environment_credentials>
                {{- end }}
                {{- end }}
            </backups>
        </disks>
    </storage_configuration>
    <backups>
        <allowed_disk>backups</allowed_disk>
    </backups>
    {{- end }}
</clickhouse>
{{- end -}}

{{- define "clickhouse.hasBackups" -}}
{{- if or .Values.backup.claimName .Values.backup.bucket.endpoint }}yes{{ end -}}
{{- end -}}
