/* SPDX-License-Identifier: ISC */
/* The released server's tables, and Muster's own beside them. They are made once and never changed: existing ones are used as they are. */
#include "server.h"

#define ENDING " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
#define NOW_LITE "DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))"
#define CASCADE "ON DELETE CASCADE ON UPDATE CASCADE"

static const struct mu_sql released[] = {
    {.sqlite =
         "CREATE TABLE IF NOT EXISTS endpoints ("
         "id TEXT NOT NULL PRIMARY KEY, endpoint_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, "
         "user_id TEXT NOT NULL REFERENCES users (id) " CASCADE ", "
         "forwarding_mode TEXT NOT NULL DEFAULT 'DIRECT' CHECK (forwarding_mode IN ('DIRECT','JSON','CUSTOM_HEADER')), "
         "custom_header TEXT, created_at DATETIME(3) NOT NULL " NOW_LITE ", last_active_at DATETIME(3), "
         "is_disabled BOOLEAN NOT NULL DEFAULT 0, disabled_at DATETIME(3), disabled_reason TEXT, disabled_by TEXT)",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS endpoints ("
         "id VARCHAR(191) NOT NULL, endpoint_id VARCHAR(12) NOT NULL, name VARCHAR(100) NOT NULL, "
         "user_id VARCHAR(191) NOT NULL, "
         "forwarding_mode ENUM('DIRECT','JSON','CUSTOM_HEADER') NOT NULL DEFAULT 'DIRECT', "
         "custom_header VARCHAR(255) NULL, created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), "
         "last_active_at DATETIME(3) NULL, is_disabled BOOLEAN NOT NULL DEFAULT false, disabled_at DATETIME(3) NULL, "
         "disabled_reason VARCHAR(255) NULL, disabled_by VARCHAR(191) NULL, "
         "UNIQUE INDEX endpoints_endpoint_id_key (endpoint_id), INDEX endpoints_user_id_idx (user_id), PRIMARY KEY "
         "(id), "
         "CONSTRAINT endpoints_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) " CASCADE ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS endpoints_user_id_idx ON endpoints (user_id)", .mariadb = "DO 0"},
    {.sqlite = "CREATE TABLE IF NOT EXISTS endpoint_stats ("
               "id TEXT NOT NULL PRIMARY KEY, endpoint_id TEXT NOT NULL UNIQUE REFERENCES endpoints (id) " CASCADE ", "
               "current_connections INTEGER NOT NULL DEFAULT 0, total_connections INTEGER NOT NULL DEFAULT 0, "
               "total_messages INTEGER NOT NULL DEFAULT 0, updated_at DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS endpoint_stats ("
         "id VARCHAR(191) NOT NULL, endpoint_id VARCHAR(191) NOT NULL, current_connections INTEGER NOT NULL DEFAULT 0, "
         "total_connections BIGINT NOT NULL DEFAULT 0, total_messages BIGINT NOT NULL DEFAULT 0, "
         "updated_at DATETIME(3) NOT NULL, UNIQUE INDEX endpoint_stats_endpoint_id_key (endpoint_id), PRIMARY KEY "
         "(id), "
         "CONSTRAINT endpoint_stats_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) " CASCADE
         ")" ENDING},
    {.sqlite = "CREATE TABLE IF NOT EXISTS messages ("
               "id TEXT NOT NULL PRIMARY KEY, endpoint_id TEXT NOT NULL REFERENCES endpoints (id) " CASCADE ", "
               "content TEXT NOT NULL, sender_info TEXT, created_at DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb = "CREATE TABLE IF NOT EXISTS messages ("
                "id VARCHAR(191) NOT NULL, endpoint_id VARCHAR(191) NOT NULL, content TEXT NOT NULL, sender_info "
                "VARCHAR(255) NULL, "
                "created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), "
                "INDEX messages_endpoint_id_created_at_idx (endpoint_id, created_at), PRIMARY KEY (id), "
                "CONSTRAINT messages_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) " CASCADE
                ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS messages_endpoint_id_created_at_idx ON messages (endpoint_id, created_at)",
     .mariadb = "DO 0"},
    {.sqlite =
         "CREATE TABLE IF NOT EXISTS devices ("
         "id TEXT NOT NULL PRIMARY KEY, endpoint_id TEXT NOT NULL REFERENCES endpoints (id) " CASCADE ", "
         "device_id TEXT NOT NULL, custom_name TEXT NOT NULL, last_connected_at DATETIME(3) NOT NULL " NOW_LITE ", "
         "created_at DATETIME(3) NOT NULL " NOW_LITE ", UNIQUE (endpoint_id, device_id))",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS devices ("
         "id VARCHAR(191) NOT NULL, endpoint_id VARCHAR(191) NOT NULL, device_id VARCHAR(64) NOT NULL, "
         "custom_name VARCHAR(100) NOT NULL, last_connected_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), "
         "created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), "
         "UNIQUE INDEX devices_endpoint_id_device_id_key (endpoint_id, device_id), PRIMARY KEY (id), "
         "CONSTRAINT devices_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) " CASCADE ")" ENDING},
    {.sqlite = "CREATE TABLE IF NOT EXISTS device_data ("
               "id TEXT NOT NULL PRIMARY KEY, device_id TEXT NOT NULL REFERENCES devices (id) " CASCADE ", "
               "data_key TEXT NOT NULL, data_value TEXT NOT NULL, data_type TEXT NOT NULL, unit TEXT, "
               "timestamp DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS device_data ("
         "id VARCHAR(191) NOT NULL, device_id VARCHAR(191) NOT NULL, data_key VARCHAR(100) NOT NULL, "
         "data_value TEXT NOT NULL, data_type VARCHAR(20) NOT NULL, unit VARCHAR(20) NULL, "
         "timestamp DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), "
         "INDEX device_data_device_id_data_key_timestamp_idx (device_id, data_key, timestamp), PRIMARY KEY (id), "
         "CONSTRAINT device_data_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices (id) " CASCADE ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS device_data_device_id_data_key_timestamp_idx "
               "ON device_data (device_id, data_key, timestamp)",
     .mariadb = "DO 0"},
    {.sqlite =
         "CREATE TABLE IF NOT EXISTS control_commands ("
         "id TEXT NOT NULL PRIMARY KEY, endpoint_id TEXT NOT NULL REFERENCES endpoints (id) " CASCADE ", "
         "device_id TEXT NOT NULL REFERENCES devices (id) " CASCADE ", command_id TEXT NOT NULL UNIQUE, "
         "command_type TEXT NOT NULL, command_params TEXT NOT NULL, status TEXT NOT NULL, "
         "sent_at DATETIME(3) NOT NULL " NOW_LITE ", ack_at DATETIME(3), timeout_at DATETIME(3), error_message TEXT)",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS control_commands ("
         "id VARCHAR(191) NOT NULL, endpoint_id VARCHAR(191) NOT NULL, device_id VARCHAR(191) NOT NULL, "
         "command_id VARCHAR(50) NOT NULL, command_type VARCHAR(100) NOT NULL, command_params TEXT NOT NULL, "
         "status VARCHAR(20) NOT NULL, sent_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), ack_at DATETIME(3) "
         "NULL, "
         "timeout_at DATETIME(3) NULL, error_message TEXT NULL, "
         "UNIQUE INDEX control_commands_command_id_key (command_id), "
         "INDEX control_commands_device_id_sent_at_idx (device_id, sent_at), "
         "INDEX control_commands_status_idx (status), PRIMARY KEY (id), "
         "CONSTRAINT control_commands_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) " CASCADE
         ", "
         "CONSTRAINT control_commands_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices (id) " CASCADE
         ")" ENDING},
    {.sqlite =
         "CREATE INDEX IF NOT EXISTS control_commands_device_id_sent_at_idx ON control_commands (device_id, sent_at)",
     .mariadb = "DO 0"},
    {.sqlite = "CREATE INDEX IF NOT EXISTS control_commands_status_idx ON control_commands (status)",
     .mariadb = "DO 0"},
    {.sqlite = "CREATE INDEX IF NOT EXISTS control_commands_endpoint_id_idx ON control_commands (endpoint_id)",
     .mariadb = "DO 0"},
    {.sqlite = "CREATE TABLE IF NOT EXISTS alert_rules ("
               "id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id) " CASCADE ", "
               "endpoint_id TEXT NOT NULL REFERENCES endpoints (id) " CASCADE ", "
               "device_id TEXT NOT NULL REFERENCES devices (id) " CASCADE
               ", rule_name TEXT NOT NULL, data_key TEXT NOT NULL, "
               "operator TEXT NOT NULL, threshold TEXT NOT NULL, alert_level TEXT NOT NULL, "
               "enabled BOOLEAN NOT NULL DEFAULT 1, created_at DATETIME(3) NOT NULL " NOW_LITE ", "
               "updated_at DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS alert_rules ("
         "id VARCHAR(191) NOT NULL, user_id VARCHAR(191) NOT NULL, endpoint_id VARCHAR(191) NOT NULL, "
         "device_id VARCHAR(191) NOT NULL, rule_name VARCHAR(100) NOT NULL, data_key VARCHAR(100) NOT NULL, "
         "operator VARCHAR(10) NOT NULL, threshold VARCHAR(100) NOT NULL, alert_level VARCHAR(20) NOT NULL, "
         "enabled BOOLEAN NOT NULL DEFAULT true, created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), "
         "updated_at DATETIME(3) NOT NULL, INDEX alert_rules_user_id_idx (user_id), "
         "INDEX alert_rules_endpoint_id_idx (endpoint_id), INDEX alert_rules_device_id_data_key_idx (device_id, "
         "data_key), "
         "PRIMARY KEY (id), "
         "CONSTRAINT alert_rules_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) " CASCADE ", "
         "CONSTRAINT alert_rules_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) " CASCADE ", "
         "CONSTRAINT alert_rules_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices (id) " CASCADE ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS alert_rules_user_id_idx ON alert_rules (user_id)", .mariadb = "DO 0"},
    {.sqlite = "CREATE INDEX IF NOT EXISTS alert_rules_endpoint_id_idx ON alert_rules (endpoint_id)",
     .mariadb = "DO 0"},
    {.sqlite = "CREATE INDEX IF NOT EXISTS alert_rules_device_id_data_key_idx ON alert_rules (device_id, data_key)",
     .mariadb = "DO 0"},
    {.sqlite =
         "CREATE TABLE IF NOT EXISTS alert_history ("
         "id TEXT NOT NULL PRIMARY KEY, alert_rule_id TEXT NOT NULL REFERENCES alert_rules (id) " CASCADE ", "
         "device_id TEXT NOT NULL REFERENCES devices (id) " CASCADE ", triggered_at DATETIME(3) NOT NULL " NOW_LITE ", "
         "data_key TEXT NOT NULL, triggered_value TEXT NOT NULL, threshold TEXT NOT NULL, alert_level TEXT NOT NULL, "
         "status TEXT NOT NULL DEFAULT 'unread', read_at DATETIME(3), processed_at DATETIME(3), "
         "notification_sent BOOLEAN NOT NULL DEFAULT 0, email_sent BOOLEAN NOT NULL DEFAULT 0)",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS alert_history ("
         "id VARCHAR(191) NOT NULL, alert_rule_id VARCHAR(191) NOT NULL, device_id VARCHAR(191) NOT NULL, "
         "triggered_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), data_key VARCHAR(100) NOT NULL, "
         "triggered_value VARCHAR(100) NOT NULL, threshold VARCHAR(100) NOT NULL, alert_level VARCHAR(20) NOT NULL, "
         "status VARCHAR(20) NOT NULL DEFAULT 'unread', read_at DATETIME(3) NULL, processed_at DATETIME(3) NULL, "
         "notification_sent BOOLEAN NOT NULL DEFAULT false, email_sent BOOLEAN NOT NULL DEFAULT false, "
         "INDEX alert_history_alert_rule_id_triggered_at_idx (alert_rule_id, triggered_at), "
         "INDEX alert_history_device_id_triggered_at_idx (device_id, triggered_at), "
         "INDEX alert_history_triggered_at_idx (triggered_at), PRIMARY KEY (id), "
         "CONSTRAINT alert_history_alert_rule_id_fkey FOREIGN KEY (alert_rule_id) REFERENCES alert_rules (id) " CASCADE
         ", "
         "CONSTRAINT alert_history_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices (id) " CASCADE ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS alert_history_alert_rule_id_triggered_at_idx "
               "ON alert_history (alert_rule_id, triggered_at)",
     .mariadb = "DO 0"},
    {.sqlite = "CREATE INDEX IF NOT EXISTS alert_history_device_id_triggered_at_idx "
               "ON alert_history (device_id, triggered_at)",
     .mariadb = "DO 0"},
    {.sqlite = "CREATE INDEX IF NOT EXISTS alert_history_triggered_at_idx ON alert_history (triggered_at)",
     .mariadb = "DO 0"},
    {.sqlite =
         "CREATE TABLE IF NOT EXISTS visualization_cards ("
         "id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id) " CASCADE ", "
         "endpoint_id TEXT REFERENCES endpoints (id) " CASCADE ", device_id TEXT REFERENCES devices (id) " CASCADE ", "
         "card_type TEXT NOT NULL, data_key TEXT, title TEXT NOT NULL, config TEXT NOT NULL, position TEXT NOT NULL, "
         "created_at DATETIME(3) NOT NULL " NOW_LITE ", updated_at DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS visualization_cards ("
         "id VARCHAR(191) NOT NULL, user_id VARCHAR(191) NOT NULL, endpoint_id VARCHAR(191) NULL, device_id "
         "VARCHAR(191) NULL, "
         "card_type VARCHAR(50) NOT NULL, data_key VARCHAR(100) NULL, title VARCHAR(100) NOT NULL, config TEXT NOT "
         "NULL, "
         "position TEXT NOT NULL, created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), "
         "updated_at DATETIME(3) NOT NULL, INDEX visualization_cards_user_id_idx (user_id), PRIMARY KEY (id), "
         "CONSTRAINT visualization_cards_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) " CASCADE ", "
         "CONSTRAINT visualization_cards_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) " CASCADE
         ", "
         "CONSTRAINT visualization_cards_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices (id) " CASCADE
         ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS visualization_cards_user_id_idx ON visualization_cards (user_id)",
     .mariadb = "DO 0"},
    {.sqlite =
         "CREATE TABLE IF NOT EXISTS device_groups ("
         "id TEXT NOT NULL PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (id) " CASCADE ", "
         "endpoint_id TEXT NOT NULL REFERENCES endpoints (id) " CASCADE ", group_name TEXT NOT NULL, description TEXT, "
         "created_at DATETIME(3) NOT NULL " NOW_LITE ", updated_at DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb = "CREATE TABLE IF NOT EXISTS device_groups ("
                "id VARCHAR(191) NOT NULL, user_id VARCHAR(191) NOT NULL, endpoint_id VARCHAR(191) NOT NULL, "
                "group_name VARCHAR(50) NOT NULL, description VARCHAR(200) NULL, "
                "created_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), updated_at DATETIME(3) NOT NULL, "
                "INDEX device_groups_user_id_idx (user_id), INDEX device_groups_endpoint_id_idx (endpoint_id), PRIMARY "
                "KEY (id), "
                "CONSTRAINT device_groups_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) " CASCADE ", "
                "CONSTRAINT device_groups_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) " CASCADE
                ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS device_groups_user_id_idx ON device_groups (user_id)", .mariadb = "DO 0"},
    {.sqlite = "CREATE INDEX IF NOT EXISTS device_groups_endpoint_id_idx ON device_groups (endpoint_id)",
     .mariadb = "DO 0"},
    {.sqlite =
         "CREATE TABLE IF NOT EXISTS device_group_members ("
         "id TEXT NOT NULL PRIMARY KEY, group_id TEXT NOT NULL REFERENCES device_groups (id) " CASCADE ", "
         "device_id TEXT NOT NULL REFERENCES devices (id) " CASCADE ", added_at DATETIME(3) NOT NULL " NOW_LITE ", "
         "UNIQUE (group_id, device_id))",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS device_group_members ("
         "id VARCHAR(191) NOT NULL, group_id VARCHAR(191) NOT NULL, device_id VARCHAR(191) NOT NULL, "
         "added_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), "
         "UNIQUE INDEX device_group_members_group_id_device_id_key (group_id, device_id), "
         "INDEX device_group_members_device_id_idx (device_id), PRIMARY KEY (id), "
         "CONSTRAINT device_group_members_group_id_fkey FOREIGN KEY (group_id) REFERENCES device_groups (id) " CASCADE
         ", "
         "CONSTRAINT device_group_members_device_id_fkey FOREIGN KEY (device_id) REFERENCES devices (id) " CASCADE
         ")" ENDING},
    {.sqlite = "CREATE INDEX IF NOT EXISTS device_group_members_device_id_idx ON device_group_members (device_id)",
     .mariadb = "DO 0"},
};

/* Nobody else's tables refer to it, and it to none in MariaDB: the released tables' collation is not known there. */
static const struct mu_sql own[] = {
    {.sqlite = "CREATE TABLE IF NOT EXISTS muster_endpoint_access ("
               "endpoint_id TEXT NOT NULL PRIMARY KEY REFERENCES endpoints (id) " CASCADE ", "
               "access TEXT NOT NULL DEFAULT 'open' CHECK (access IN ('open','token','user')), "
               "token_sha256 TEXT, origins TEXT, updated_at DATETIME(3) NOT NULL " NOW_LITE ")",
     .mariadb =
         "CREATE TABLE IF NOT EXISTS muster_endpoint_access ("
         "endpoint_id VARCHAR(191) NOT NULL, access VARCHAR(10) NOT NULL DEFAULT 'open', token_sha256 CHAR(64) NULL, "
         "origins TEXT NULL, updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), PRIMARY KEY (endpoint_id)) "
         "DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"},
};

static const struct mu_migration migrations[] = {
    {.version = 1, .what = "the released server's tables", .statements = released, .count = MU_COUNT(released)},
    {.version = 2, .what = "access of endpoints", .statements = own, .count = MU_COUNT(own)},
};

static void migrated(void *context, const struct mu_result *result)
{
  struct relay *relay = context;
  if (result->error != 0)
    mu_log(relay->in, MU_LOG_ERROR, "the tables could not be made: %s: %s", mu_strerror(result->error), result->reason);
}

int tables_migrate(struct relay *relay)
{
  return relay->store->migrate(relay->store_self, relay->in, "relay", migrations, MU_COUNT(migrations), migrated,
                               relay);
}
