/* SPDX-License-Identifier: ISC */
/* The table of routes, from which the core makes everything else. */
#include <stdlib.h>
#include <string.h>

#include "accounts.h"

#define EMAIL_PATTERN "[^[:space:][:cntrl:]@<>]+@[^[:space:][:cntrl:]@<>]+[.][^[:space:][:cntrl:]@<>]+"

#define EMAIL(flags_)                                                                                                  \
  {                                                                                                                    \
    .name = "email", .type = MU_REST_STRING, .flags = (flags_), .min = 1, .max = 255, .pattern = EMAIL_PATTERN,        \
    .pattern_words = MU_WORDS("must be an email address", "邮箱格式无效"), .help = "Email address",                    \
    .words = MU_WORDS("must be an email address of at most 255 characters", "邮箱格式无效")                            \
  }

/* What the released server asks of passwords; a pattern cannot say it. */
static bool strong(struct mu_str text, struct mu_words *why)
{
  bool lower = false, upper = false, digit = false;
  for (size_t i = 0; i < text.len; i++) {
    lower = lower || (text.at[i] >= 'a' && text.at[i] <= 'z');
    upper = upper || (text.at[i] >= 'A' && text.at[i] <= 'Z');
    digit = digit || (text.at[i] >= '0' && text.at[i] <= '9');
  }
  if (lower && upper && digit)
    return true;
  *why = MU_WORDS("must have a lower-case letter, an upper-case letter and a digit",
                  "密码必须包含至少一个大写字母、一个小写字母和一个数字");
  return false;
}

#define NEW_PASSWORD(name_)                                                                                            \
  {                                                                                                                    \
    .name = (name_), .type = MU_REST_STRING, .flags = MU_REST_REQUIRED | MU_REST_SECRET, .min = 8, .max = 4096,        \
    .check = strong, .help = "At least 8 characters, with lower case, upper case and a digit; bcrypt reads 72 bytes",  \
    .words = MU_WORDS("must have at least 8 characters", "密码长度必须至少为 8 字符")                                  \
  }

static const struct mu_rest_field user_fields[] = {
    {.name = "id", .type = MU_REST_STRING},
    {.name = "username", .type = MU_REST_STRING},
    {.name = "email", .type = MU_REST_STRING},
    {.name = "is_admin", .type = MU_REST_BOOLEAN},
    {.name = "created_at", .type = MU_REST_TIME},
    {.name = "is_active", .type = MU_REST_BOOLEAN},
    {.name = "banned_at", .type = MU_REST_TIME, .flags = MU_REST_NULLABLE},
    {.name = "banned_reason", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
    {.name = "banned_by", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
};
/* The same and what others count. */
static const struct mu_rest_field listed_fields[] = {
    {.name = "id", .type = MU_REST_STRING},
    {.name = "username", .type = MU_REST_STRING},
    {.name = "email", .type = MU_REST_STRING},
    {.name = "is_admin", .type = MU_REST_BOOLEAN},
    {.name = "created_at", .type = MU_REST_TIME},
    {.name = "endpoint_count", .type = MU_REST_INTEGER, .help = "0 where no plugin counts endpoints"},
    {.name = "is_active", .type = MU_REST_BOOLEAN},
    {.name = "banned_at", .type = MU_REST_TIME, .flags = MU_REST_NULLABLE},
    {.name = "banned_reason", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
    {.name = "banned_by", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
};
static const struct mu_rest_field user_data[] = {
    {.name = "user", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(user_fields)},
};
static const struct mu_rest_field user_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(user_data)},
};
static const struct mu_rest_field token_data[] = {
    {.name = "token", .type = MU_REST_STRING, .help = "For Authorization: Bearer"},
    {.name = "user", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(user_fields)},
    {.name = "password_change_required",
     .type = MU_REST_BOOLEAN,
     .help = "true: the password is a one-time password. Otherwise not there"},
};
static const struct mu_rest_field token_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(token_data)},
};
static const struct mu_rest_field message_user_answer[] = {
    {.name = "message", .type = MU_REST_STRING},
    {.name = "user", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(user_fields)},
};

static const struct mu_rest_field register_body[] = {
    {.name = "inviteCode",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 8,
     .max = 12,
     .pattern = "[-A-Za-z0-9_]+",
     .pattern_words = MU_WORDS("may have letters, digits, - and _ only", "授权码只能包含字母、数字、连字符和下划线"),
     .help = "From an administrator",
     .words = MU_WORDS("must have 8 to 12 characters", "授权码长度必须为 8-12 位")},
    {.name = "username",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = USERNAME_MIN,
     .max = USERNAME_MAX,
     .pattern = "[A-Za-z0-9_]+",
     .pattern_words = MU_WORDS("may have letters, digits and _ only", "用户名只能包含字母、数字和下划线"),
     .help = "Unique, whatever the case",
     .words = MU_WORDS("must have 3 to 30 characters", "用户名长度必须为 3-30 个字符")},
    EMAIL(MU_REST_REQUIRED),
    NEW_PASSWORD("password"),
};
static const struct mu_rest_field login_body[] = {
    {.name = "username",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 1,
     .max = 255,
     .help = "Or the email address",
     .words = MU_WORDS("must be a username or an email address", "请输入用户名或邮箱")},
    {.name = "password",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED | MU_REST_SECRET,
     .min = 1,
     .max = 4096,
     .help = "The password",
     .words = MU_WORDS("must be a text", "请输入密码")},
};
static const struct mu_rest_field profile_body[] = {EMAIL(MU_REST_REQUIRED)};
static const struct mu_rest_field password_body[] = {
    {.name = "old_password",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED | MU_REST_SECRET,
     .min = 1,
     .max = 4096,
     .help = "The password so far, or the one-time password",
     .words = MU_WORDS("must be a text", "请输入原密码")},
    NEW_PASSWORD("new_password"),
};

static const struct mu_rest_field key_fields[] = {
    {.name = "id", .type = MU_REST_STRING},
    {.name = "name", .type = MU_REST_STRING},
    {.name = "created_at", .type = MU_REST_TIME},
    {.name = "last_used_at", .type = MU_REST_TIME, .flags = MU_REST_NULLABLE, .help = "To the minute"},
};
static const struct mu_rest_field new_key_fields[] = {
    {.name = "id", .type = MU_REST_STRING},
    {.name = "name", .type = MU_REST_STRING},
    {.name = "key", .type = MU_REST_STRING, .help = "Shown this once"},
    {.name = "created_at", .type = MU_REST_TIME},
    {.name = "last_used_at", .type = MU_REST_TIME, .flags = MU_REST_NULLABLE},
};
static const struct mu_rest_field keys_data[] = {
    {.name = "api_keys", .type = MU_REST_ARRAY, .fields = MU_REST_FIELDS(key_fields)},
};
static const struct mu_rest_field keys_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(keys_data)},
};
static const struct mu_rest_field new_key_data[] = {
    {.name = "api_key", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(new_key_fields)},
};
static const struct mu_rest_field new_key_answer[] = {
    {.name = "data", .type = MU_REST_OBJECT, .fields = MU_REST_FIELDS(new_key_data)},
};
static const struct mu_rest_field key_body[] = {
    {.name = "name",
     .type = MU_REST_STRING,
     .flags = MU_REST_REQUIRED,
     .min = 1,
     .max = 100,
     .help = "What the key is for"},
};
static const struct mu_rest_field message_answer[] = {{.name = "message", .type = MU_REST_STRING}};

static const struct mu_rest_field code_body[] = {
    {.name = "expires_at",
     .also = "expiresAt",
     .type = MU_REST_ANY,
     .flags = MU_REST_NULLABLE,
     .help = "Unix seconds or ISO 8601. Absent or null: never"},
};
static const struct mu_rest_field new_code_answer[] = {
    {.name = "id", .type = MU_REST_STRING},
    {.name = "code", .type = MU_REST_STRING},
    {.name = "expires_at", .type = MU_REST_TIME, .flags = MU_REST_NULLABLE},
    {.name = "created_at", .type = MU_REST_TIME},
};
static const struct mu_rest_field code_answer[] = {
    {.name = "id", .type = MU_REST_STRING},
    {.name = "code", .type = MU_REST_STRING},
    {.name = "expires_at", .type = MU_REST_TIME, .flags = MU_REST_NULLABLE},
    {.name = "used_by", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
    {.name = "used_by_username", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
    {.name = "used_at", .type = MU_REST_TIME, .flags = MU_REST_NULLABLE},
    {.name = "created_by", .type = MU_REST_STRING},
    {.name = "created_by_username", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
    {.name = "created_at", .type = MU_REST_TIME},
};
static const struct mu_rest_field page_query[] = {
    {.name = "page", .type = MU_REST_INTEGER, .min = 1, .max = 1000000, .help = "From 1"},
    {.name = "page_size",
     .also = "pageSize",
     .type = MU_REST_INTEGER,
     .min = 1,
     .max = 10000,
     .help = "Absent: the newest 10000"},
};
static const struct mu_rest_field reason_body[] = {
    {.name = "reason",
     .type = MU_REST_STRING,
     .flags = MU_REST_NULLABLE,
     .max = 255,
     .help = "For the log, and for the user where the reason is shown"},
};
static const struct mu_rest_field logs_query[] = {
    {.name = "target_type", .also = "targetType", .type = MU_REST_STRING, .max = 20, .help = "user, endpoint"},
    {.name = "action", .type = MU_REST_STRING, .max = 20, .help = "ban, unban, disable, enable"},
    {.name = "start_date", .also = "startDate", .type = MU_REST_STRING, .max = 40, .help = "ISO 8601"},
    {.name = "end_date",
     .also = "endDate",
     .type = MU_REST_STRING,
     .max = 40,
     .help = "ISO 8601; a date alone is the whole day"},
    {.name = "operator_id", .also = "operatorId", .type = MU_REST_STRING, .max = 191, .help = "An administrator's id"},
    {.name = "page", .type = MU_REST_INTEGER, .min = 1, .max = 1000000, .help = "From 1"},
    {.name = "page_size", .also = "pageSize", .type = MU_REST_INTEGER, .min = 1, .max = 100, .help = "Absent: 20"},
};
static const struct mu_rest_field log_fields[] = {
    {.name = "id", .type = MU_REST_STRING},
    {.name = "target_type", .type = MU_REST_STRING},
    {.name = "target_id", .type = MU_REST_STRING},
    {.name = "action", .type = MU_REST_STRING},
    {.name = "reason", .type = MU_REST_STRING, .flags = MU_REST_NULLABLE},
    {.name = "operator_id", .type = MU_REST_STRING},
    {.name = "created_at", .type = MU_REST_TIME},
};
static const struct mu_rest_field logs_answer[] = {
    {.name = "logs", .type = MU_REST_ARRAY, .fields = MU_REST_FIELDS(log_fields)},
    {.name = "total", .type = MU_REST_INTEGER},
};

#define FIELDS(array) MU_REST_FIELDS(array)
/* The numbers come from the options. */
#define LOGIN_RATE                                                                                                     \
  {                                                                                                                    \
    .name = "login"                                                                                                    \
  }
#define PASSWORD_RATE                                                                                                  \
  {                                                                                                                    \
    .name = "password"                                                                                                 \
  }

static const struct mu_rest_route routes[] = {
    MU_REST(POST, "/api/auth/register", PUBLIC, rest_register, .summary = "Makes a user, with an invite code",
            .body = FIELDS(register_body), .answer = FIELDS(user_answer), .status = 201, .rate = LOGIN_RATE),
    MU_REST(POST, "/api/auth/login", PUBLIC, rest_login, .summary = "A token for a name and a password",
            .body = FIELDS(login_body), .answer = FIELDS(token_answer), .rate = LOGIN_RATE),
    MU_REST(GET, "/api/auth/me", USER, rest_me, .summary = "The user whose token this is",
            .answer = FIELDS(user_answer)),
    MU_REST(PUT, "/api/auth/profile", USER, rest_profile, .summary = "Changes the email address",
            .body = FIELDS(profile_body), .answer = FIELDS(user_answer)),
    MU_REST(PUT, "/api/auth/password", USER, rest_password,
            .summary = "Changes the password; ends all other sessions and channels, and answers with a fresh token",
            .body = FIELDS(password_body), .answer = FIELDS(token_answer), .rate = PASSWORD_RATE),
    MU_REST(GET, "/api/auth/api-keys", USER, rest_keys, .summary = "The user's API keys, without the keys themselves",
            .answer = FIELDS(keys_answer)),
    MU_REST(POST, "/api/auth/api-keys", USER, rest_key_new, .summary = "Makes an API key, shown in this answer only",
            .body = FIELDS(key_body), .answer = FIELDS(new_key_answer), .status = 201),
    MU_REST(DELETE, "/api/auth/api-keys/:id", USER, rest_key_delete,
            .summary = "Takes an API key back, and closes what it opened", .owner = "api key",
            .answer = FIELDS(message_answer)),
    MU_REST(GET, "/api/admin/invite-codes", ADMIN, rest_codes, .summary = "All invite codes, newest first",
            .answer = FIELDS(code_answer), .answer_array = true),
    MU_REST(POST, "/api/admin/invite-codes", ADMIN, rest_code_new, .summary = "Makes an invite code",
            .body = FIELDS(code_body), .answer = FIELDS(new_code_answer), .status = 201),
    MU_REST(GET, "/api/admin/users", ADMIN, rest_users, .summary = "All users, newest first",
            .query = FIELDS(page_query), .answer = FIELDS(listed_fields), .answer_array = true),
    MU_REST(POST, "/api/admin/users/:id/ban", ADMIN, rest_ban,
            .summary = "Bans a user: nothing of theirs works any more, and what is open is closed",
            .body = FIELDS(reason_body), .answer = FIELDS(message_user_answer)),
    MU_REST(POST, "/api/admin/users/:id/unban", ADMIN, rest_unban, .summary = "Ends a ban", .body = FIELDS(reason_body),
            .answer = FIELDS(message_user_answer)),
    MU_REST(GET, "/api/admin/ban-logs", ADMIN, rest_ban_logs, .summary = "Who was banned or disabled by whom",
            .query = FIELDS(logs_query), .answer = FIELDS(logs_answer)),
};

int rest_serve(struct self *self)
{
  self->routes = malloc(sizeof routes);
  if (!self->routes)
    return MU_ENOMEM;
  memcpy(self->routes, routes, sizeof routes);
  for (size_t i = 0; i < MU_COUNT(routes); i++)
    if (routes[i].rate.name) {
      self->routes[i].rate.count = (unsigned)self->config->attempts;
      self->routes[i].rate.window_s = (unsigned)self->config->attempts_window;
    }
  const struct mu_rest_api api = {.size = sizeof api,
                                  .title = "Accounts",
                                  .routes = self->routes,
                                  .count = MU_COUNT(routes),
                                  .route_size = sizeof(struct mu_rest_route),
                                  .field_size = sizeof(struct mu_rest_field)};
  return mu_rest_serve(self->in, &api, self);
}
