{{/* The whole of Keeper's configuration; each member is told its number by its pod. */}}
{{- define "clickhouse.keeperConfig" -}}
{{- $root := . -}}
{{- $domain := include "clickhouse.domain" (list . "keeper") -}}
<clickhouse>
    {{- include "clickhouse.logger" "information" | nindent 4 }}
    <max_server_memory_usage_to_ram_ratio>0.8</max_server_memory_usage_to_ram_ratio>
    <keeper_server>
        <tcp_port>9181</tcp_port>
        <server_id from_env="KEEPER_ID"/>
        <log_storage_path>/var/lib/clickhouse/coordination/log</log_storage_path>
        <snapshot_storage_path>/var/lib/clickhouse/coordination/snapshots</snapshot_storage_path>
        <coordination_settings>
            <operation_timeout_ms>10000</operation_timeout_ms>
            <session_timeout_ms>30000</session_timeout_ms>
            <raft_logs_level>warning</raft_logs_level>
            <rotate_log_storage_interval>10000</rotate_log_storage_interval>
            <snapshots_to_keep>3</snapshots_to_keep>
        </coordination_settings>
        <four_letter_word_white_list>ruok,mntr,srvr,stat,conf,isro,dirs,csnp,lgif,rqld,ydld</four_letter_word_white_list>
        <http_control>
            <port>9182</port>
            <readiness><endpoint>/ready</endpoint></readiness>
        </http_control>
        <!-- Fixed: changing it while it runs can lose the quorum for good at a full restart. -->
        <raft_configuration>
            {{- range $member := untilStep 1 (add1 .Values.keeper.replicas | int) 1 }}
            <server>
                <id>{{ $member }}</id>
                <hostname>{{ include "ugc.fullname" $root }}-keeper-{{ $member }}.{{ $domain }}</hostname>
                <port>9234</port>
            </server>
            {{- end }}
        </raft_configuration>
    </keeper_server>
</clickhouse>
{{- end -}}
