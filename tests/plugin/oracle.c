/* SPDX-License-Identifier: ISC */
/*
 * An auth backend that tests steer: it judges API keys and servers' secrets by their text, and what it answers at all by GET /test/oracle?mode=…
 *   "user:ID:CREDENTIAL", "admin:…", "machine:ID:CREDENTIAL" are good keys of that role
 *   up: answers; down: cannot tell now; slow: answers after 300 ms; never: does not answer; strict: knows nobody any more;
 *   held: answers when it is told to do something else
 * GET /test/oracle?revoke=ID&credential=NAME emits auth.revoked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <muster/muster.h>

enum { PENDING_MAX = 64, PART_MAX = 300 };
enum mode { UP, DOWN, SLOW, NEVER, STRICT, HELD };

struct answer {
  enum mu_verdict verdict;
  enum mu_role role;
  char id[PART_MAX], credential[PART_MAX];
  mu_auth_done done;
  void *context;
};

struct oracle {
  mu_instance *in;
  mu_event_type *revoked;
  mu_timer *timer;
  enum mode mode;
  struct answer pending[PENDING_MAX];
  size_t count;
};

static void tell(const struct oracle *oracle, const struct answer *answer)
{
  const struct mu_principal *principal = NULL;
  if (answer->verdict == MU_AUTH_GRANTED)
    principal = mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                        .provider = mu_instance_name(oracle->in),
                                                        .id = answer->id,
                                                        .name = answer->id,
                                                        .role = answer->role,
                                                        .owner = answer->role == MU_ROLE_MACHINE ? "" : answer->id,
                                                        .credential = answer->credential});
  answer->done(answer->context, &(struct mu_auth_answer){.size = sizeof(struct mu_auth_answer),
                                                         .verdict = answer->verdict,
                                                         .principal = principal,
                                                         .retry_after_s = 7,
                                                         .reason = "as the test says"});
  mu_principal_unref(principal);
}

static void later(void *self)
{
  struct oracle *oracle = self;
  if (oracle->count == 0)
    return;
  struct answer first = oracle->pending[0];
  memmove(oracle->pending, oracle->pending + 1, --oracle->count * sizeof first);
  if (oracle->count)
    mu_timer_start(oracle->timer, 10, 0);
  tell(oracle, &first);
}

static bool copy(char *to, struct mu_str from)
{
  if (from.len == 0 || from.len >= PART_MAX)
    return false;
  memcpy(to, from.at, from.len);
  to[from.len] = '\0';
  return true;
}

static void judge_key(struct answer *answer, struct mu_str key)
{
  static const struct {
    const char *word;
    enum mu_role role;
  } roles[] = {{"user:", MU_ROLE_USER}, {"admin:", MU_ROLE_ADMIN}, {"machine:", MU_ROLE_MACHINE}};
  for (size_t i = 0; i < MU_COUNT(roles); i++) {
    size_t skip = strlen(roles[i].word);
    if (key.len <= skip || memcmp(key.at, roles[i].word, skip) != 0)
      continue;
    const char *id = key.at + skip, *colon = memchr(id, ':', key.len - skip);
    if (colon && copy(answer->id, (struct mu_str){id, (size_t)(colon - id)}) &&
        copy(answer->credential, (struct mu_str){colon + 1, (size_t)(key.at + key.len - colon - 1)})) {
      answer->verdict = MU_AUTH_GRANTED;
      answer->role = roles[i].role;
    }
    return;
  }
}

static int judge(void *self, const struct mu_credential *credential, mu_auth_done done, void *context)
{
  struct oracle *oracle = self;
  struct answer answer = {.verdict = MU_AUTH_REFUSED, .done = done, .context = context};
  if (credential->kind == MU_CREDENTIAL_API_KEY || credential->kind == MU_CREDENTIAL_SERVER) {
    judge_key(&answer, credential->secret);
  } else if (oracle->mode != STRICT && copy(answer.id, credential->id) && copy(answer.credential, credential->secret)) {
    answer.verdict = MU_AUTH_GRANTED;
    answer.role = strncmp(answer.id, "m-", 2) == 0 ? MU_ROLE_MACHINE : MU_ROLE_USER;
  }
  if (oracle->mode == DOWN)
    answer.verdict = MU_AUTH_UNAVAILABLE;
  if (oracle->mode == NEVER)
    return MU_PENDING;
  if ((oracle->mode == SLOW || oracle->mode == HELD) && oracle->count < PENDING_MAX) {
    oracle->pending[oracle->count++] = answer;
    if (oracle->mode == SLOW && !mu_timer_active(oracle->timer))
      mu_timer_start(oracle->timer, 300, 0);
    return MU_PENDING;
  }
  tell(oracle, &answer);
  return 0;
}

static int steer(void *self, mu_http *request)
{
  struct oracle *oracle = self;
  static const char *const modes[] = {"up", "down", "slow", "never", "strict", "held"};
  struct mu_str word;
  if (mu_http_query(request, "mode", &word))
    for (size_t i = 0; i < MU_COUNT(modes); i++)
      if (mu_str_equal(word, mu_str(modes[i])))
        oracle->mode = (enum mode)i;
  if (oracle->mode != HELD && oracle->count && !mu_timer_active(oracle->timer))
    mu_timer_start(oracle->timer, 1, 0);
  char id[PART_MAX], credential[PART_MAX] = "";
  if (mu_http_query(request, "revoke", &word) && copy(id, word)) {
    if (mu_http_query(request, "credential", &word))
      copy(credential, word);
    const struct mu_principal *principal =
        mu_principal_new(&(struct mu_principal){.size = sizeof(struct mu_principal),
                                                .provider = mu_instance_name(oracle->in),
                                                .id = id,
                                                .name = "",
                                                .role = MU_ROLE_USER,
                                                .owner = id,
                                                .credential = credential});
    if (principal)
      mu_event_emit(oracle->revoked, principal);
    mu_principal_unref(principal);
  }
  mu_text *text = mu_text_printf("{}");
  int result = text ? mu_http_answer(request, 200, "application/json; charset=utf-8", text) : MU_ENOMEM;
  mu_text_unref(text);
  return result;
}

static void fini(void *self)
{
  free(self);
}

static int init(mu_instance *in, const void *config, void **self)
{
  (void)config;
  static const struct mu_auth auth = {
      .size = sizeof auth, .kinds = MU_CREDENTIAL_API_KEY | MU_CREDENTIAL_SERVER | MU_CREDENTIAL_KNOWN, .judge = judge};
  static const struct mu_http_route route = {.size = sizeof route,
                                             .path = "/test/oracle",
                                             .methods = MU_HTTP_GET,
                                             .access = MU_ACCESS_PUBLIC,
                                             .handle = steer};
  struct oracle *oracle = calloc(1, sizeof *oracle);
  if (!oracle)
    return MU_ENOMEM;
  oracle->in = in;
  oracle->timer = mu_timer_new(in, later, oracle);
  oracle->revoked = mu_event_declare(in, MU_EVENT_AUTH_REVOKED, mu_principal_event_ops());
  int result = oracle->timer && oracle->revoked ? mu_service_provide(in, MU_SERVICE_AUTH, &auth, oracle) : MU_ENOMEM;
  if (result == 0)
    result = mu_http_route(in, &route, oracle);
  if (result == 0)
    *self = oracle;
  else
    free(oracle);
  return result;
}

static const char *const provides[] = {MU_SERVICE_AUTH, NULL};
static const struct mu_component components[] = {
    {.size = sizeof(struct mu_component), .kind = MU_SERVER, .provides = provides, .init = init, .fini = fini}};

MU_PLUGIN(.name = "oracle", .version = "1.0", .summary = "judges API keys as tests tell it", .licence = "ISC",
          .components = MU_COMPONENTS(components));
