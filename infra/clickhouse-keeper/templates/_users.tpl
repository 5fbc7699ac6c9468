{{/* users.xml: who there is, what they may do and how much of it. No password is in it. */}}
{{- define "clickhouse.users" -}}
{{- $raw := .Values.databases.raw -}}
{{- $analytics := .Values.databases.analytics -}}
<clickhouse>
    <profiles>
        <default>
            <log_queries>1</log_queries>
            <!-- A client that stopped cannot go on with an old connection for long. -->
            <idle_connection_timeout>300</idle_connection_timeout>
            <max_bytes_ratio_before_external_group_by>0.5</max_bytes_ratio_before_external_group_by>
            <max_bytes_ratio_before_external_sort>0.5</max_bytes_ratio_before_external_sort>
        </default>
        <etl>
            <profile>default</profile>
            <async_insert>0</async_insert>
            <insert_quorum>{{ include "ugc.setting" .Values.insertQuorum }}</insert_quorum>
            <insert_quorum_parallel>1</insert_quorum_parallel>
            <insert_quorum_timeout>20000</insert_quorum_timeout>
            <distributed_ddl_task_timeout>180</distributed_ddl_task_timeout>
        </etl>
        <analyst>
            <profile>default</profile>
            <!-- 2: reads only, but may choose the settings of a query, as tools do. -->
            <readonly>2</readonly>
            <allow_ddl>0</allow_ddl>
            {{- with .Values.analyst }}
            <max_execution_time>{{ .maxExecutionS | int64 }}</max_execution_time>
            <max_memory_usage>{{ .maxMemoryBytes | int64 }}</max_memory_usage>
            <max_memory_usage_for_user>{{ mul 2 (.maxMemoryBytes | int64) }}</max_memory_usage_for_user>
            <max_result_rows>{{ .maxResultRows | int64 }}</max_result_rows>
            <result_overflow_mode>throw</result_overflow_mode>
            <max_concurrent_queries_for_user>{{ .maxConcurrentQueries | int64 }}</max_concurrent_queries_for_user>
            {{- with .maxRowsToRead }}
            <max_rows_to_read>{{ . | int64 }}</max_rows_to_read>
            {{- end }}
            <constraints>
                <!-- Less is the user's choice; 0 would be "no limit". -->
                <max_execution_time><min>1</min><max>{{ .maxExecutionS | int64 }}</max></max_execution_time>
                <max_memory_usage><min>1</min><max>{{ .maxMemoryBytes | int64 }}</max></max_memory_usage>
                <max_result_rows><min>1</min><max>{{ .maxResultRows | int64 }}</max></max_result_rows>
                {{- with .maxRowsToRead }}
                <max_rows_to_read><min>1</min><max>{{ . | int64 }}</max></max_rows_to_read>
                {{- end }}
                {{- range list "max_memory_usage_for_user" "max_concurrent_queries_for_user" "allow_ddl" "timeout_overflow_mode" "result_overflow_mode" "read_overflow_mode" "log_queries" "idle_connection_timeout" }}
                <{{ . }}><const/></{{ . }}>
                {{- end }}
            </constraints>
            {{- end }}
        </analyst>
    </profiles>

    <quotas>
        <default>
            <interval><duration>3600</duration></interval>
        </default>
        <analyst>
            {{- with .Values.analyst.quota }}
            <interval>
                <duration>{{ .intervalS | int64 }}</duration>
                <queries>{{ .queries | int64 }}</queries>
                <execution_time>{{ .executionTimeS | int64 }}</execution_time>
                <read_rows>{{ .readRows | int64 }}</read_rows>
            </interval>
            {{- end }}
        </analyst>
    </quotas>

    <!-- There is no user "default". -->
    <users>
        <etl>
            <password from_env="ETL_PASSWORD"/>
            <networks><ip>::/0</ip></networks>
            <profile>etl</profile>
            <quota>default</quota>
            <grants>
                <!-- Not ALL, which has IMPERSONATE and CREATE USER in it. -->
                {{- range list $raw $analytics }}
                <query>GRANT SHOW, SELECT, CREATE DATABASE, CREATE VIEW, DROP VIEW ON {{ . }}.*</query>
                {{- end }}
                <query>GRANT CREATE TABLE, INSERT, ALTER TABLE, DROP TABLE, TRUNCATE, OPTIMIZE, SYSTEM SYNC REPLICA ON {{ $raw }}.*</query>
                <query>GRANT SELECT ON system.*</query>
                <query>GRANT CLUSTER, REMOTE, KILL QUERY ON *.*</query>
            </grants>
        </etl>
        <!-- The views read the rest in the name of the user that made them, etl. -->
        <analyst>
            <password from_env="ANALYST_PASSWORD"/>
            <networks><ip>::/0</ip></networks>
            <profile>analyst</profile>
            <quota>analyst</quota>
            <grants>
                <query>GRANT SELECT, SHOW ON {{ $analytics }}.*</query>
            </grants>
        </analyst>
        <!-- Another server, for its part of a query on a Distributed table. -->
        <cluster>
            <password from_env="CLUSTER_PASSWORD"/>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SELECT ON {{ $raw }}.*</query>
                <!-- Which views it has, as `etl migrate` asks every server. -->
                <query>GRANT SHOW ON {{ $analytics }}.*</query>
                <query>GRANT SELECT ON system.*</query>
            </grants>
        </cluster>
        <!-- From inside the pod only: kubectl exec. -->
        <admin>
            <password from_env="ADMIN_PASSWORD"/>
            <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT ALL ON *.* WITH GRANT OPTION</query>
            </grants>
        </admin>
    </users>
</clickhouse>
{{- end -}}
