/* SPDX-License-Identifier: ISC */
/* bcrypt by libxcrypt, as the released server has it: cost 10, of which the first 72 bytes of a password count. */
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "password.h"

enum {
  COST_MAX = 14, /* about a second; a row with more would hold a worker for minutes or for days */
  SALT_BYTES = 16,
  SETTING_LEN = 29, /* $2b$10$ and 22 characters of salt */
};

/* The hash of a password that nobody knows, nor ever knew: 16 random bytes in hex. */
static const char dummy[] = "$2b$10$/edkCWQdHYcuOaEy0OeJAeD.6zUxu7.fO5Dq4G7bzgDear8C4WQd.";

struct job {
  struct job *next;
  struct hasher *hasher;
  hasher_wanted wanted;
  hasher_done done;
  void *context;
  bool make;
  bool known; /* the stored hash is of a user, and not the dummy */
  char hash[PASSWORD_HASH_SIZE];
  size_t len;
  char password[];
};

struct hasher {
  mu_instance *in;
  struct job *first, **last;
  size_t running, waiting, threads, queue;
  void (*idle)(void *context); /* it stops */
  void *idle_context;
};

/* ---- the work -------------------------------------------------------------------------------- */

bool password_hash_ok(const char *stored)
{
  static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  if (!stored || strlen(stored) != PASSWORD_HASH_SIZE - 1 || stored[0] != '$' || stored[1] != '2' ||
      !strchr("aby", stored[2]) || stored[3] != '$' || stored[6] != '$')
    return false;
  if (stored[4] < '0' || stored[4] > '1' || stored[5] < '0' || stored[5] > '9')
    return false;
  int cost = (stored[4] - '0') * 10 + (stored[5] - '0');
  return cost >= 4 && cost <= COST_MAX && strspn(stored + 7, alphabet) == PASSWORD_HASH_SIZE - 1 - 7;
}

/*
 * crypt with memory of its own, wiped. False: it failed. Not crypt_r(): the address sanitizer puts itself before that, and then finds no crypt_r()
 * in a program whose plugins alone bring libcrypt.
 */
static bool crypt_into(const char *password, const char *setting, char out[PASSWORD_HASH_SIZE])
{
  struct crypt_data *data = calloc(1, sizeof *data);
  if (!data)
    return false;
  const char *hash = crypt_rn(password, setting, data, sizeof *data);
  bool good = password_hash_ok(hash);
  if (good)
    memcpy(out, hash, PASSWORD_HASH_SIZE);
  mu_secret_wipe(data, sizeof *data);
  free(data);
  return good;
}

int password_hash(const char *password, char out[PASSWORD_HASH_SIZE])
{
  char salt[SALT_BYTES], setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (mu_random(salt, sizeof salt) != 0 ||
      !crypt_gensalt_rn("$2b$", PASSWORD_COST, salt, sizeof salt, setting, sizeof setting))
    return MU_EIO;
  return crypt_into(password, setting, out) ? 0 : MU_EIO;
}

int password_verify(const char *password, const char *stored)
{
  char hash[PASSWORD_HASH_SIZE], setting[SETTING_LEN + 1];
  bool known = password_hash_ok(stored);
  if (!known)
    stored = dummy;
  memcpy(setting, stored, SETTING_LEN);
  setting[SETTING_LEN] = '\0';
  if (!crypt_into(password, setting, hash))
    return MU_ENOMEM;
  bool same = mu_secret_equal(mu_str(hash), mu_str(stored));
  mu_secret_wipe(hash, sizeof hash);
  return same && known ? 0 : MU_EREFUSED;
}

/* ---- on worker threads ----------------------------------------------------------------------- */

static void begin(struct hasher *hasher);

static void job_free(struct job *job)
{
  mu_secret_wipe(job->password, job->len);
  mu_secret_wipe(job->hash, sizeof job->hash);
  free(job);
}

/* A job's result that is no failure of the job: a wrong password is no error of the server's, and is not counted as one. */
enum { DIFFERENT = 1 };

static int work(void *context)
{
  struct job *job = context;
  int result = job->make ? password_hash(job->password, job->hash)
                         : password_verify(job->password, job->known ? job->hash : NULL);
  return result == MU_EREFUSED ? DIFFERENT : result;
}

/* Frees the job first: whoever is told may begin another. */
static void tell(struct job *job, int result)
{
  hasher_done done = job->done;
  void *context = job->context;
  char hash[PASSWORD_HASH_SIZE] = "";
  if (result == 0 && job->make)
    memcpy(hash, job->hash, sizeof hash);
  job_free(job);
  done(context, result, hash);
}

static void worked(void *context, int result)
{
  struct job *job = context;
  if (result == MU_ECLOSED) { /* the instance has stopped, and the hasher may be gone */
    job_free(job);
    return;
  }
  struct hasher *hasher = job->hasher;
  hasher->running--;
  tell(job, result == DIFFERENT ? MU_EREFUSED : result);
  if (hasher->idle && hasher->running == 0)
    hasher->idle(hasher->idle_context);
  else
    begin(hasher);
}

void hasher_stop(struct hasher *hasher, void (*idle)(void *context), void *context)
{
  hasher->idle = idle;
  hasher->idle_context = context;
}

bool hasher_runs(const struct hasher *hasher)
{
  return hasher->running > 0;
}

static void begin(struct hasher *hasher)
{
  while (hasher->first && hasher->running < hasher->threads && !hasher->idle) {
    struct job *job = hasher->first;
    hasher->first = job->next;
    if (!hasher->first)
      hasher->last = &hasher->first;
    hasher->waiting--;
    if (job->wanted && !job->wanted(job->context)) {
      tell(job, MU_ECLOSED);
      continue;
    }
    const struct mu_job given = {.size = sizeof given, .work = work, .done = worked, .context = job, .what = "bcrypt"};
    int result = mu_work(hasher->in, &given);
    if (result == 0)
      hasher->running++;
    else
      tell(job, MU_EUNAVAILABLE);
  }
}

static int add(struct hasher *hasher, const char *password, bool make, const char *stored, hasher_wanted wanted,
               hasher_done done, void *context)
{
  if (hasher->waiting >= hasher->queue)
    return MU_ELIMIT;
  size_t len = strlen(password);
  struct job *job = calloc(1, sizeof *job + len + 1);
  if (!job)
    return MU_ENOMEM;
  job->hasher = hasher;
  job->wanted = wanted;
  job->done = done;
  job->context = context;
  job->make = make;
  job->known = password_hash_ok(stored);
  if (job->known)
    memcpy(job->hash, stored, sizeof job->hash);
  job->len = len;
  memcpy(job->password, password, len + 1);
  *hasher->last = job;
  hasher->last = &job->next;
  hasher->waiting++;
  begin(hasher);
  return 0;
}

int hasher_verify(struct hasher *hasher, const char *password, const char *stored, hasher_wanted wanted,
                  hasher_done done, void *context)
{
  return add(hasher, password, false, stored, wanted, done, context);
}

int hasher_make(struct hasher *hasher, const char *password, hasher_wanted wanted, hasher_done done, void *context)
{
  return add(hasher, password, true, NULL, wanted, done, context);
}

struct hasher *hasher_new(mu_instance *in, size_t threads, size_t queue)
{
  struct hasher *hasher = calloc(1, sizeof *hasher);
  if (!hasher)
    return NULL;
  hasher->in = in;
  hasher->last = &hasher->first;
  hasher_bounds(hasher, threads, queue);
  return hasher;
}

void hasher_bounds(struct hasher *hasher, size_t threads, size_t queue)
{
  hasher->threads = threads;
  hasher->queue = queue;
}

void hasher_free(struct hasher *hasher)
{
  if (!hasher)
    return;
  for (struct job *job = hasher->first, *next; job; job = next) {
    next = job->next;
    job_free(job);
  }
  free(hasher);
}
