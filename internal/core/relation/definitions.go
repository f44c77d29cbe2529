package relation

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// InformationSchema is the namespace of the standard's views.
const InformationSchema = "information_schema"

// firstSystemID is where the numbers of system tables begin; stored tables
// count from 1 and never get there.
const firstSystemID schema.TableID = 0xF000_0000

// layout is a system table: its columns in order, each "name type", with " pk"
// behind key columns and "?" behind the type of those that may be NULL. Where
// the key has another order than the columns, a number follows pk.
type layout struct{ namespace, name, columns string }

// layouts lists the tables and views of the server itself, with the columns
// that existing clients know them by.
var layouts = [...]layout{
	{"system", "users", `user_id text pk, password_hash text, role text, email text?, auth_type text, auth_data json?,
		storage_mode text?, storage_id text?, failed_login_attempts int, locked_until timestamp?, last_login_at timestamp?,
		created_at timestamp, updated_at timestamp, last_seen timestamp?, deleted_at timestamp?`},
	{"system", "namespaces", `namespace_id text pk, name text, created_at timestamp, options json?, table_count int`},
	{"system", "schemas", `table_id text pk, table_name text, namespace_id text, table_type text, created_at timestamp,
		schema_version int pk, columns json, table_comment text?, updated_at timestamp, options json?, access_level text?,
		is_latest boolean, storage_id text?, use_user_storage boolean?`},
	{"system", "storages", `storage_id text pk, storage_name text, description text?, storage_type text, base_directory text,
		credentials json?, config_json json?, shared_tables_template text, user_tables_template text, created_at timestamp,
		updated_at timestamp`},
	{"system", "jobs", `job_id text pk, job_type text, status text, leader_status text?, parameters json?, message text?,
		exception_trace text?, idempotency_key text?, queue text?, priority int?, retry_count smallint, max_retries smallint,
		memory_used bigint?, cpu_used bigint?, created_at timestamp, updated_at timestamp, started_at timestamp?,
		finished_at timestamp?, node_id bigint, leader_node_id bigint?, progress int, result text?, error_message text?,
		trace text?, namespace text?, table_name text?, user_id text?, start_time timestamp?, end_time timestamp?,
		memory_used_mb double?, cpu_used_percent double?`},
	{"system", "job_nodes", `job_id text pk, node_id bigint pk, status text, error_message text?, created_at timestamp,
		started_at timestamp?, finished_at timestamp?, updated_at timestamp`},
	{"system", "manifest", `cache_key text pk, namespace_id text, table_name text, scope text, etag text?,
		last_refreshed timestamp, last_accessed timestamp, in_memory boolean, sync_state text, manifest_json json`},
	{"system", "audit_log", `audit_id text pk, timestamp timestamp, actor_user_id text, action text, target text,
		details text?, ip_address text?, subject_user_id text?`},
	{"system", "topics", `topic_id text pk, name text, alias text?, partitions int, retention_seconds bigint?,
		retention_max_bytes bigint?, routes json, created_at timestamp, updated_at timestamp`},
	{"system", "topic_offsets", `topic_id text pk, group_id text pk, partition_id int pk, last_acked_offset bigint,
		updated_at timestamp`},
	{"system", "live", `live_id text pk, connection_id text, subscription_id text, namespace_id text, table_name text,
		user_id text, query text, options json?, status text, created_at timestamp, last_update timestamp, changes bigint,
		node_id bigint, last_ping_at timestamp, position bigint?, lag_ms bigint?, bytes_queued bigint, delivered bigint,
		state text, idle_ms bigint, stalled_ms bigint, slow boolean, upkeep text`},
	{"system", "stats", `metric_name text pk, metric_value text`},
	{"system", "slow_queries", `timestamp text, timestamp_ms bigint, duration_ms double, user_id text, table_type text,
		table_name text?, row_count bigint, query text`},
	{"system", "settings", `name text pk, value text, description text, category text`},
	{"system", "server_logs", `timestamp text, level text, thread text?, target text?, line bigint?, message text`},
	{"system", "sessions", `session_id text pk, backend_pid bigint?, current_schema text?, state text, transaction_id text?,
		transaction_state text?, transaction_has_writes boolean, client_addr text?, transport text, opened_at timestamp,
		last_seen_at timestamp, last_method text?`},
	{"system", "transactions", `transaction_id text pk, owner_id text, origin text, state text, age_ms bigint, idle_ms bigint,
		write_count bigint, write_bytes bigint, touched_tables_count bigint, snapshot_commit_seq bigint`},
	{"system", "statements", `statement_id text pk, user_id text, actor_user_id text, client_addr text, request_id text,
		transaction_id text?, kind text?, state text, started_at timestamp, age_ms bigint, query text`},
	{"system", "sequences", `namespace_id text pk, sequence_name text pk, start_value bigint, min_value bigint, max_value bigint,
		increment_by bigint, cycle boolean, next_value bigint?, table_name text?, column_name text?, created_at timestamp`},
	{"system", "migrations", `migration_key text pk, migration_id text, namespace text, name text, checksum text, status text,
		started_at timestamp?, finished_at timestamp?, error_message text?, source text?, kalam_version text?`},
	{"system", "cluster", `cluster_id text, node_id bigint pk, role text, status text, rpc_addr text, api_addr text,
		is_self boolean, is_leader boolean, groups_leading int, total_groups int, current_term bigint?,
		last_applied_log bigint?, leader_last_log_index bigint?, snapshot_index bigint?, catchup_progress_pct smallint?,
		replication_lag bigint?, hostname text?, version text?, memory_mb bigint?, memory_usage_mb bigint?,
		cpu_usage_percent float?, uptime_seconds bigint?, uptime_human text?, os text?, arch text?`},
	{"system", "cluster_groups", `group_id bigint pk, cluster_id text, node_id bigint pk, group_type text,
		current_term bigint?, vote json?, last_log_index bigint?, last_applied bigint?, snapshot bigint?, purged bigint?,
		committed bigint?, state text?, current_leader bigint?, millis_since_quorum_ack bigint?`},
	{"system", "datatypes", `arrow_type text, kalam_type text pk, sql_name text, description text`},
	{"system", "describe", `column_name text, ordinal_position int pk3, column_id bigint, data_type text, is_nullable boolean,
		is_primary_key boolean, column_default text?, column_comment text?, schema_version int, namespace_id text pk1,
		table_name text pk2`},
	{"system", "tables", `namespace_id text pk, table_name text pk, table_type text, storage_id text?, version bigint,
		options text?, comment text?, updated_at timestamp, created_at timestamp`},
	{"system", "columns", `namespace_id text pk, table_name text pk, version bigint, column_id bigint, column_name text,
		comment text?, data_type text, default_value text?, ordinal int pk, nullable boolean, primary_key boolean,
		primary_key_pos int?`},
	{InformationSchema, "schemata", `catalog_name text, schema_name text pk, schema_owner text?,
		default_character_set_catalog text?, default_character_set_schema text?, default_character_set_name text?,
		sql_path text?`},
	{InformationSchema, "tables", `table_catalog text, table_schema text pk, table_name text pk, table_type text,
		kdb_namespace_id text?, kdb_table_type text?, kdb_storage_id text?, kdb_version bigint?, kdb_options text?,
		kdb_comment text?, kdb_updated_at timestamp?, kdb_created_at timestamp?`},
	{InformationSchema, "columns", `table_catalog text, table_schema text pk, table_name text pk, column_name text,
		ordinal_position bigint pk, column_default text?, is_nullable text, data_type text, character_maximum_length bigint?,
		character_octet_length bigint?, numeric_precision bigint?, numeric_precision_radix bigint?, numeric_scale bigint?,
		datetime_precision bigint?, interval_type text?, udt_schema text, udt_name text, is_generated text,
		kdb_data_type text, kdb_namespace_id text, kdb_version bigint, kdb_column_id bigint, kdb_comment text?,
		kdb_default_value text?, kdb_primary_key boolean, kdb_primary_key_pos bigint?, udt_catalog text, is_identity text,
		identity_generation text?, identity_start text?, identity_increment text?, identity_maximum text?,
		identity_minimum text?, identity_cycle text, is_updatable text`},
}

// secondNames are further names under which a system table can be selected.
var secondNames = [...]struct{ name, of string }{
	{"storage_locations", "storages"},
	{"live_queries", "live"},
	{"table_schemas", "schemas"},
	{"system_tables", "tables"},
	{"system_columns", "columns"},
}

// define builds the definition of a system table.
func (l layout) define(id schema.TableID) *schema.Table {
	t := &schema.Table{ID: id, Namespace: l.namespace, Name: l.name, Kind: schema.System, Version: 1}
	for column := range strings.SplitSeq(l.columns, ",") {
		words := strings.Fields(column)
		kind, optional := strings.CutSuffix(words[1], "?")
		typ, err := layoutType(kind)
		fault.Assert(err == nil, "system table %s has the type %q", l.name, kind)
		c := schema.Column{ID: schema.ColumnID(len(t.Columns) + 1), Name: words[0], Type: typ, NotNull: !optional}
		if len(words) > 2 {
			place := len(t.Key)
			if digit := strings.TrimPrefix(words[2], "pk"); digit != "" {
				place = int(digit[0] - '1')
			}
			t.Key = append(t.Key, make([]schema.ColumnID, max(0, place+1-len(t.Key)))...)
			t.Key[place] = c.ID
		}
		t.Columns = append(t.Columns, c)
	}
	t.NextColumnID = schema.ColumnID(len(t.Columns) + 1)
	return t
}

// layoutType reads the type of a column: T, T[], int2vector or oidvector.
func layoutType(name string) (datum.Type, error) {
	switch element, array := strings.CutSuffix(name, "[]"); {
	case name == "int2vector":
		return datum.VectorType(datum.SmallInt), nil
	case name == "oidvector":
		return datum.VectorType(datum.BigInt), nil
	case array:
		t, err := datum.ParseType(element, nil)
		return datum.ArrayType(t), err
	}
	return datum.ParseType(name, nil)
}
