/* The vault when the n-th call to the system, to OpenSSL or to intel-ipsec-mb fails, for every n: it says so and holds no
 * key, or goes on without what failed (secret memory, a faster cipher), and the next try is a good one. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#ifdef DROMIO_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#include "base/failing.h"
#include "base/log.h"
#include "core/vault.h"
#include "core/vault_cipher.h"
#include "core/vault_master.h"
#include "core/vault_secret.h"

enum { PLAIN = 100, SEALED = PLAIN + VAULT_OVERHEAD, CALLS_MAX = 300 };

static const uint8_t image[32] = { 0xaa };
static dro_random_seeded seeded;

/* Was that more calls than there are? Nothing fails any more. */
static bool is_past(int n)
{
    assert_true(n < CALLS_MAX);
    return fault_is_past(n);
}

FAILING(void *, calloc, (size_t count, size_t size), (count, size), NULL)
FAILING(void *, mmap64, (void *at, size_t length, int access, int flags, int fd, off_t offset), (at, length, access, flags, fd, offset), MAP_FAILED)
FAILING(int, mlock, (const void *at, size_t length), (at, length), -1)
FAILING(int, ftruncate64, (int fd, off_t length), (fd, length), -1)
FAILING(int, fstat64, (int fd, struct stat *out), (fd, out), -1)
FAILING(ssize_t, pread64, (int fd, void *out, size_t length, off_t offset), (fd, out, length, offset), -1)
FAILING(ssize_t, write, (int fd, const void *bytes, size_t length), (fd, bytes, length), -1)
FAILING(int, fsync, (int fd), (fd), -1)
FAILING(int, link, (const char *from, const char *to), (from, to), -1)
FAILING(ssize_t, pwrite64, (int fd, const void *bytes, size_t length, off_t offset), (fd, bytes, length, offset), -1)
FAILING(int, rename, (const char *from, const char *to), (from, to), -1)
FAILING(EVP_CIPHER *, EVP_CIPHER_fetch, (OSSL_LIB_CTX *library, const char *name, const char *properties), (library, name, properties), NULL)
FAILING(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void), (), NULL)
FAILING(int, EVP_CipherInit_ex2, (EVP_CIPHER_CTX *context, const EVP_CIPHER *cipher, const uint8_t *key, const uint8_t *nonce, int encrypt, const OSSL_PARAM *more),
     (context, cipher, key, nonce, encrypt, more), 0)
FAILING(int, EVP_CipherUpdate, (EVP_CIPHER_CTX *context, uint8_t *out, int *length, const uint8_t *in, int in_length), (context, out, length, in, in_length), 0)
FAILING(int, EVP_CipherFinal_ex, (EVP_CIPHER_CTX *context, uint8_t *out, int *length), (context, out, length), 0)
FAILING(int, EVP_CIPHER_CTX_ctrl, (EVP_CIPHER_CTX *context, int type, int number, void *at), (context, type, number, at), 0)
#ifdef DROMIO_IPSEC_MB
FAILING(IMB_MGR *, alloc_mb_mgr, (uint64_t flags), (flags), NULL)
FAILING(int, imb_get_errno, (IMB_MGR *manager), (manager), 1)
#endif
FAILING(EVP_PKEY *, EVP_PKEY_new_raw_private_key, (int type, ENGINE *engine, const uint8_t *key, size_t length), (type, engine, key, length), NULL)
FAILING(int, EVP_PKEY_get_raw_public_key, (const EVP_PKEY *key, uint8_t *out, size_t *length), (key, out, length), 0)
FAILING(EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL)
FAILING(int, EVP_DigestSignInit_ex, (EVP_MD_CTX *context, EVP_PKEY_CTX **inner, const char *name, OSSL_LIB_CTX *library, const char *properties, EVP_PKEY *key, const OSSL_PARAM *more),
     (context, inner, name, library, properties, key, more), 0)
FAILING(int, EVP_DigestSign, (EVP_MD_CTX *context, uint8_t *out, size_t *length, const uint8_t *bytes, size_t size), (context, out, length, bytes, size), 0)

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(list, int) : 0;
    va_end(list);
    return fails() ? -1 : __real_open64(path, flags, mode);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
static bool has_secret_memory = true;
long __wrap_syscall(long number, ...) /* memfd_secret is the only one */
{
    va_list list;
    va_start(list, number);
    int flags = va_arg(list, int);
    va_end(list);
    return fails() || !has_secret_memory ? -1 : __real_syscall(number, flags);
}

/* The other cipher: none, or one that is wrong. */
static enum { CIPHER_REAL, CIPHER_NONE, CIPHER_SEALS_WRONG, CIPHER_OPENS_WRONG, CIPHER_REFUSES } other;
static vault_cipher wrong;
static int freed;

static void wrong_key(vault_cipher *cipher, const uint8_t key[VAULT_KEY], uint8_t gcm_key[VAULT_GCM_KEY])
{
    (void)cipher;
    memcpy(gcm_key, key, VAULT_KEY);
}

static void wrong_seal(vault_cipher *cipher, const uint8_t *gcm_key, const uint8_t nonce[VAULT_NONCE], const void *associated, size_t associated_length, const uint8_t *plain, size_t length,
                       uint8_t *sealed, uint8_t tag[VAULT_TAG])
{
    vault_cipher *good = vault_cipher_openssl(NULL);
    (void)cipher;
    good->seal(good, gcm_key, nonce, associated, associated_length, plain, length, sealed, tag);
    good->free(good);
    if (other == CIPHER_SEALS_WRONG)
        tag[VAULT_TAG - 1] ^= 1;
}

static bool wrong_open(vault_cipher *cipher, const uint8_t *gcm_key, const uint8_t nonce[VAULT_NONCE], const void *associated, size_t associated_length, const uint8_t *sealed, size_t length,
                       uint8_t *plain, const uint8_t tag[VAULT_TAG])
{
    (void)cipher, (void)gcm_key, (void)nonce, (void)associated, (void)associated_length, (void)tag;
    memcpy(plain, sealed, length);
    return other != CIPHER_REFUSES;
}

static void wrong_free(vault_cipher *cipher)
{
    (void)cipher;
    freed++;
}

vault_cipher *__real_vault_cipher_ipsec_mb(uint8_t *work);
vault_cipher *__wrap_vault_cipher_ipsec_mb(uint8_t *work);
vault_cipher *__wrap_vault_cipher_ipsec_mb(uint8_t *work)
{
    if (other == CIPHER_REAL)
        return fails() ? NULL : __real_vault_cipher_ipsec_mb(work);
    wrong = (vault_cipher){ .name = "wrong", .free = wrong_free, .gcm_key = wrong_key, .seal = wrong_seal, .open = wrong_open };
    return other == CIPHER_NONE ? NULL : &wrong;
}

static bool has_openssl = true;
vault_cipher *__real_vault_cipher_openssl(uint8_t *work);
vault_cipher *__wrap_vault_cipher_openssl(uint8_t *work);
vault_cipher *__wrap_vault_cipher_openssl(uint8_t *work)
{
    return has_openssl ? __real_vault_cipher_openssl(work) : NULL;
}

/* ---- a directory with a key ---- */

static char directory[64], path[96];

static int begin(void **state)
{
    (void)state;
    fault_at(0, 0);
    other = CIPHER_REAL;
    has_secret_memory = true;
    freed = 0;
    dro_random_seeded_init(&seeded, 7);
    strcpy(directory, "/tmp/dromio-vault-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/master.key", directory);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fault_at(0, 0);
    unlink(path);
    assert_int_equal(rmdir(directory), 0); /* nothing half is left beside it */
    return 0;
}

static dro_err open_at(vault **out)
{
    vault_options options = { .master_key_path = path, .epoch = 5, .random = &seeded.random };
    return vault_open(out, &options);
}

static void round_trip(vault *vault)
{
    uint8_t plain[PLAIN] = "what is private", sealed[SEALED], back[PLAIN];
    vault_binding binding = { .domain = 1, .twin = 100, .image = image, .revision = 3 };
    vault_seal_context(vault, &binding, plain, sizeof plain, sealed);
    memset(back, 0, sizeof back);
    assert_int_equal(vault_open_context(vault, &binding, sealed, sizeof sealed, back), DRO_OK);
    assert_memory_equal(back, plain, sizeof plain);
    sealed[20] ^= 1;
    assert_int_equal(vault_open_context(vault, &binding, sealed, sizeof sealed, back), DRO_CORRUPT);
}

static void works(vault *vault)
{
    uint8_t wrapped[VAULT_WRAPPED];
    assert_int_equal(vault_domain_new(vault, 1, wrapped), DRO_OK);
    round_trip(vault);
}

/* ---- claims ---- */

static void open_with_each_fault(bool is_made_anew, int error)
{
    int failed = 0, went_on = 0;
    for (int n = 1;; n++) {
        vault *vault = NULL;
        if (is_made_anew)
            unlink(path);
        fault_at(n, error);
        dro_err err = open_at(&vault);
        if (is_past(n)) {
            assert_int_equal(err, DRO_OK);
            vault_close(vault);
            break;
        }
        failed += err != DRO_OK;
        went_on += err == DRO_OK;
        if (err == DRO_OK) {
            works(vault);
            vault_close(vault);
        }
        assert_int_equal(open_at(&vault), DRO_OK); /* whatever is left of it, the next start is good */
        works(vault);
        vault_close(vault);
    }
    assert_true(failed > 3 && went_on > 1);
}

static void an_opening_that_fails_anywhere_is_told_and_the_next_is_good(void **state)
{
    vault *vault;
    (void)state;
    open_with_each_fault(true, EIO);
    unlink(path);
    assert_int_equal(open_at(&vault), DRO_OK);
    vault_close(vault);
    open_with_each_fault(false, ENOMEM);
}

static void without_secret_memory_all_goes_on_in_locked_memory(void **state)
{
    vault *vault, *beside;
    uint8_t wrapped[VAULT_WRAPPED];
    (void)state;
    has_secret_memory = false;
    open_with_each_fault(true, ENOMEM);
    assert_int_equal(open_at(&vault), DRO_OK);
    assert_false(vault_is_secret(vault));
    assert_int_equal(vault_open_beside(&beside, vault), DRO_OK);
    vault_close(beside);
    for (int n = 1; n <= 3; n++) { /* no secret memory, no memory at all, none that can be locked */
        fault_at(n, ENOMEM);
        dro_err err = vault_domain_new(vault, (uint32_t)n * 5000, wrapped);
        fault_at(0, 0);
        assert_int_equal(err, n == 2 ? DRO_NOMEM : DRO_OK);
    }
    works(vault);
    vault_close(vault);
    has_secret_memory = true;
    assert_int_equal(open_at(&vault), DRO_OK);
    has_secret_memory = false; /* used up: what comes now is only locked, and nothing is secret any more */
    bool was_secret = vault_is_secret(vault);
    works(vault);
    assert_false(vault_is_secret(vault));
    if (was_secret) {
        vault_close(vault);
        has_secret_memory = true;
        assert_int_equal(open_at(&vault), DRO_OK);
        has_secret_memory = false;
        assert_int_equal(vault_open_beside(&beside, vault), DRO_UNSUPPORTED);
    }
    vault_close(vault);
}

static void a_call_that_was_interrupted_is_made_again(void **state)
{
    vault *vault;
    (void)state;
    assert_int_equal(open_at(&vault), DRO_OK);
    vault_close(vault);
    int again = 0;
    for (int n = 1;; n++) {
        fault_at(n, EINTR);
        dro_err err = open_at(&vault);
        int calls = fault.count;
        if (is_past(n))
            break;
        if (err == DRO_OK)
            vault_close(vault);
        again += err == DRO_OK && calls > n;
    }
    vault_close(vault);
    assert_true(again > 0);
}

/* Another core makes the file between our look and our try: its key is the one. */
static void who_comes_second_takes_the_first_ones_key(void **state)
{
    uint8_t key[VAULT_KEY], same[VAULT_KEY];
    (void)state;
    assert_int_equal(vault_master_load(path, &seeded.random, key), DRO_OK);
    fault_at(1, ENOENT); /* it seems not to be there */
    assert_int_equal(vault_master_load(path, &seeded.random, same), DRO_OK);
    assert_memory_equal(key, same, sizeof key);
}

static void a_path_too_long_for_its_fresh_file_is_told(void **state)
{
    static char longest[4096];
    uint8_t key[VAULT_KEY];
    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    for (size_t at = 0; at < sizeof longest - 1; at += 200)
        longest[at] = '/';
    assert_int_equal(vault_master_load(longest, &seeded.random, key), DRO_IO);
    longest[300] = '\0'; /* short enough, but there is no such directory */
    assert_int_equal(vault_master_load(longest, &seeded.random, key), DRO_IO);
}

/* Whatever fails, the file holds one whole key: the one from before, or the one that was made for its place. */
static void a_master_key_that_is_replaced_is_the_old_one_or_the_new_one(void **state)
{
    uint8_t old[VAULT_KEY], next[VAULT_KEY], now[VAULT_KEY];
    int failed = 0;
    (void)state;
    assert_int_equal(vault_master_read(path, now), DRO_NOT_FOUND);
    assert_true(vault_master_is_ours(path));
    assert_int_equal(vault_master_load(path, &seeded.random, old), DRO_OK);
    vault_master_discard(path); /* there is none */
    for (int n = 1;; n++) {
        memset(next, 0, sizeof next);
        fault_at(n, EIO);
        dro_err made = vault_master_make_next(path, &seeded.random, next);
        dro_err replaced = made == DRO_OK ? vault_master_replace(path) : made;
        bool is_over = is_past(n);
        failed += replaced != DRO_OK;
        assert_int_equal(vault_master_read(path, now), DRO_OK);
        assert_true(memcmp(now, old, sizeof now) == 0 || memcmp(now, next, sizeof now) == 0);
        assert_true(replaced != DRO_OK || memcmp(now, next, sizeof now) == 0);
        memcpy(old, now, sizeof old);
        vault_master_discard(path);
        fault_at(1, EACCES);
        assert_int_equal(vault_master_read(path, now), DRO_IO);
        fault_at(0, 0);
        if (is_over)
            break;
    }
    assert_true(failed >= 5);
}

/* systemd gives a credential to one user by an access list: its mask stands where the group's bits are. */
static void a_credential_of_systemd_is_read_and_not_ours(void **state)
{
    uint8_t key[VAULT_KEY], same[VAULT_KEY];
    (void)state;
    assert_int_equal(vault_master_load(path, &seeded.random, key), DRO_OK);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", directory, 1), 0);
    assert_false(vault_master_is_ours(path));
    assert_int_equal(chmod(path, 0440), 0);
    assert_int_equal(vault_master_read(path, same), geteuid() == 0 ? DRO_OK : DRO_DENIED);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(vault_master_read(path, same), DRO_DENIED);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "", 1), 0);
    assert_int_equal(chmod(path, 0440), 0);
    assert_true(vault_master_is_ours(path));
    assert_int_equal(vault_master_read(path, same), DRO_DENIED);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/tmp/dromio", 1), 0); /* begins alike, is another */
    assert_true(vault_master_is_ours(path));
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(vault_master_read(directory, same), DRO_CORRUPT); /* no file */
}

static void a_vault_beside_fails_with_the_memory_and_takes_nothing(void **state)
{
    vault *first, *beside;
    uint8_t wrapped[VAULT_WRAPPED], sealed[SEALED], plain[PLAIN] = "a part of the log";
    (void)state;
    assert_int_equal(open_at(&first), DRO_OK);
    assert_int_equal(vault_domain_new(first, 1, wrapped), DRO_OK);
    vault_seal_log(first, 1, "a", 1, plain, sizeof plain, sealed);
    int failed = 0;
    for (int n = 1;; n++) {
        uint8_t back[PLAIN];
        fault_at(n, ENOMEM);
        dro_err err = vault_open_beside(&beside, first);
        bool is_over = is_past(n);
        failed += err != DRO_OK;
        if (err == DRO_OK) {
            assert_int_equal(vault_open_log(beside, 1, "a", 1, sealed, sizeof sealed, back), DRO_OK);
            assert_memory_equal(back, plain, sizeof plain);
            vault_close(beside);
        }
        if (is_over)
            break;
    }
    assert_true(failed > 1);
    works(first);
    vault_close(first);
}

static void a_domain_without_memory_is_refused_and_others_stay(void **state)
{
    vault *vault;
    uint8_t wrapped[VAULT_WRAPPED], other_wrapped[VAULT_WRAPPED];
    (void)state;
    assert_int_equal(open_at(&vault), DRO_OK);
    assert_int_equal(vault_domain_new(vault, 1, wrapped), DRO_OK);
    int failed = 0;
    uint32_t far = VAULT_DOMAINS_MAX - 1; /* in memory of its own */
    for (int n = 1;; n++) {
        fault_at(n, ENOMEM);
        dro_err err = vault_domain_new(vault, far, other_wrapped);
        bool is_over = is_past(n);
        failed += err == DRO_NOMEM;
        assert_true(err == DRO_OK || err == DRO_NOMEM);
        round_trip(vault);
        if (err == DRO_OK || is_over)
            break;
    }
    assert_true(failed > 0 || !vault_is_secret(vault));
    assert_int_equal(vault_domain_new(vault, VAULT_DOMAINS_MAX, other_wrapped), DRO_RANGE);
    assert_int_equal(vault_domain_load(vault, VAULT_DOMAINS_MAX, other_wrapped), DRO_RANGE);
    vault_domain_drop(vault, VAULT_DOMAINS_MAX); /* nobody's */
    vault_domain_drop(vault, 77);
    vault_close(vault);
    assert_int_equal(open_at(&vault), DRO_OK); /* and as it is loaded */
    for (int n = 1; n < 3; n++) {
        fault_at(n, ENOMEM);
        dro_err err = vault_domain_load(vault, far, other_wrapped);
        fault_at(0, 0);
        assert_true(err == DRO_OK || err == DRO_NOMEM);
    }
    vault_close(vault);
}

static void what_is_of_no_domain_or_too_short_does_not_open(void **state)
{
    vault *vault;
    uint8_t wrapped[VAULT_WRAPPED], sealed[SEALED] = { 0 }, back[SEALED];
    char digits[16];
    uint64_t hash[2];
    (void)state;
    (void)hash;
    assert_int_equal(open_at(&vault), DRO_OK);
    vault_binding binding = { .domain = 9, .twin = 1, .image = image };
    assert_int_not_equal(vault_open_context(vault, &binding, sealed, sizeof sealed, back), DRO_OK);
    assert_int_not_equal(vault_open_log(vault, 9, NULL, 0, sealed, sizeof sealed, back), DRO_OK);
    assert_int_not_equal(vault_identity_open(vault, 1, sealed, digits), DRO_OK);
    assert_int_equal(vault_domain_new(vault, 9, wrapped), DRO_OK);
    assert_int_equal(vault_open_context(vault, &binding, sealed, VAULT_OVERHEAD - 1, back), DRO_CORRUPT);
    assert_int_equal(vault_open_log(vault, 9, NULL, 0, sealed, VAULT_OVERHEAD - 1, back), DRO_CORRUPT);
    vault_close(vault);
    vault_close(NULL);
}

static void a_domain_has_two_keys_at_most_and_what_is_sealed_again_is_under_the_newest(void **state)
{
    vault *vault;
    uint8_t wrapped[VAULT_WRAPPED], sealed[SEALED], again[SEALED], back[PLAIN], plain[PLAIN] = "what is private";
    vault_binding binding = { .domain = 1, .twin = 100, .image = image, .revision = 3 };
    (void)state;
    assert_int_equal(open_at(&vault), DRO_OK);
    assert_int_equal(vault_newest_tag(vault, 1), 0); /* nobody's */
    assert_false(vault_domain_has(vault, vault_key(1, 0)));
    assert_int_equal(vault_domain_new(vault, vault_key(1, 0), wrapped), DRO_OK);
    vault_seal_context(vault, &binding, plain, sizeof plain, sealed);
    assert_int_equal(vault_domain_new(vault, vault_key(1, 1), wrapped), DRO_OK);
    assert_int_equal(vault_newest_tag(vault, 1), 1);
    assert_true(vault_domain_has(vault, vault_key(1, 0)) && vault_domain_has(vault, vault_key(1, 1)) && !vault_domain_has(vault, vault_key(1, 2)));
    assert_int_equal(vault_domain_new(vault, vault_key(1, 2), wrapped), DRO_LIMIT); /* the oldest is still needed */
    assert_int_equal(vault_reseal_context(vault, &binding, sealed, sizeof sealed, again), DRO_OK);
    assert_int_equal(vault_sealed_tag(again), 1);
    assert_int_equal(vault_open_context(vault, &binding, again, sizeof again, back), DRO_OK);
    assert_memory_equal(back, plain, sizeof plain);
    sealed[SEALED - 1] ^= 1;
    assert_int_equal(vault_reseal_context(vault, &binding, sealed, sizeof sealed, again), DRO_CORRUPT);
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    vault_domain_drop(vault, 0); /* the host's own: nothing is hashed or signed under it any more */
    assert_int_not_equal(vault_sign(vault, 1, "abc", 3, sealed), DRO_OK);
    vault_close(vault);
}

static void a_master_key_of_another_user_is_refused(void **state)
{
    uint8_t key[VAULT_KEY], same[VAULT_KEY];
    (void)state;
    assert_int_equal(vault_master_load(path, &seeded.random, key), DRO_OK);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", "/nowhere", 1), 0);
    assert_true(vault_master_is_ours(path));
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(vault_master_read(path, same), DRO_DENIED);
        assert_int_equal(setenv("CREDENTIALS_DIRECTORY", directory, 1), 0);
        assert_int_equal(vault_master_read(path, same), DRO_DENIED);
        assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
        assert_int_equal(chown(path, 0, 0), 0);
    }
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(vault_master_load("master.key", &seeded.random, key), DRO_OK); /* a path of one word */
    assert_int_equal(vault_master_read(path, same), DRO_OK);
    assert_memory_equal(key, same, sizeof key);
    assert_int_equal(chdir(before), 0);
}

static void a_signature_that_cannot_be_made_is_told(void **state)
{
    vault *vault;
    uint8_t wrapped[VAULT_WRAPPED], public_key[VAULT_PUBLIC], signature[VAULT_SIGNATURE];
    (void)state;
    assert_int_equal(open_at(&vault), DRO_OK);
    assert_int_not_equal(vault_sign(vault, 1, "abc", 3, signature), DRO_OK); /* without the host's key */
    assert_int_equal(vault_domain_new(vault, 0, wrapped), DRO_OK);
    int failed = 0;
    other = CIPHER_NONE;
    for (int n = 1;; n++) {
        fault_at(n, 0);
        dro_err err = vault_sign_public(vault, 1, public_key), second = vault_sign(vault, 1, "abc", 3, signature);
        if (is_past(n)) {
            assert_true(err == DRO_OK && second == DRO_OK);
            break;
        }
        failed += (err != DRO_OK) + (second != DRO_OK);
        assert_true((err == DRO_OK) != (second == DRO_OK)); /* one of both had it */
    }
    assert_true(failed >= 5);
    vault_close(vault);
}

static void a_cipher_that_is_wrong_is_not_used(void **state)
{
    (void)state;
    for (other = CIPHER_NONE; other <= CIPHER_REFUSES; other++) {
        vault *vault;
        freed = 0;
        assert_int_equal(open_at(&vault), DRO_OK); /* with OpenSSL's */
        works(vault);
        vault_close(vault);
        assert_int_equal(freed, other == CIPHER_NONE ? 0 : 1);
    }
    vault *vault;
    other = CIPHER_NONE;
    has_openssl = false;
    assert_int_equal(open_at(&vault), DRO_UNSUPPORTED);
    has_openssl = true;
}

static void openssl_is_there_whole_or_not_at_all(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        fault_at(n, 0);
        vault_cipher *cipher = vault_cipher_openssl(NULL);
        if (is_past(n)) {
            assert_non_null(cipher);
            assert_true(vault_cipher_is_right(cipher));
            cipher->free(cipher);
            assert_int_equal(n, 8); /* memory, two ciphers, two contexts, two keys */
            break;
        }
        assert_null(cipher);
    }
}

/* OpenSSL's: what does not open leaves nothing of it. */
static void a_part_that_openssl_cannot_open_is_wiped(void **state)
{
    static const uint8_t key[VAULT_GCM_KEY] = { 7 }, nonce[VAULT_NONCE] = { 8 }, nothing[PLAIN];
    uint8_t plain[PLAIN] = "secret", sealed[PLAIN], back[PLAIN], tag[VAULT_TAG];
    (void)state;
    vault_cipher *cipher = vault_cipher_openssl(NULL);
    assert_non_null(cipher);
    cipher->seal(cipher, key, nonce, "with", 4, plain, sizeof plain, sealed, tag);
    int failed = 0;
    for (int n = 1;; n++) {
        memset(back, 0xee, sizeof back);
        fault_at(n, 0);
        /* The last call puts a key of zeros in the place of this one; that it cannot fail is asserted. */
        bool is_open = n < 6 && cipher->open(cipher, key, nonce, "with", 4, sealed, sizeof sealed, back, tag);
        if (n == 6 || is_past(n))
            break;
        failed += !is_open;
        assert_false(is_open);
        assert_memory_equal(back, nothing, sizeof back);
    }
    fault_at(0, 0);
    assert_int_equal(failed, 5); /* key, associated, bytes, tag, the end */
    assert_true(cipher->open(cipher, key, nonce, "with", 4, sealed, sizeof sealed, back, tag));
    cipher->seal(cipher, key, nonce, NULL, 0, NULL, 0, NULL, tag); /* of nothing the tag alone */
    assert_true(cipher->open(cipher, key, nonce, NULL, 0, NULL, 0, back, tag));
    tag[0] ^= 1;
    assert_false(cipher->open(cipher, key, nonce, NULL, 0, NULL, 0, back, tag));
    cipher->free(cipher);
}

/* A seal that failed would be kept in place of a context: the process ends instead, where asserts are on, as in every build that is used. */
static void a_seal_that_openssl_cannot_make_ends_the_process(void **state)
{
    static const uint8_t key[VAULT_GCM_KEY] = { 7 }, nonce[VAULT_NONCE] = { 8 };
    (void)state;
    for (int n = 1; n <= 9; n++) {
        pid_t child = fork();
        if (child == 0) {
            uint8_t plain[PLAIN] = "secret", sealed[PLAIN], tag[VAULT_TAG];
            vault_cipher *cipher = vault_cipher_openssl(NULL);
            signal(SIGABRT, SIG_DFL);
            fclose(stderr);
            fault_at(n <= 6 ? n : n - 6, 0);
            if (n <= 6) /* key, associated, bytes, end, tag; then zeros in the place of the key */
                cipher->seal(cipher, key, nonce, "with", 4, plain, sizeof plain, sealed, tag);
            else /* of blocks: key, bytes, zeros */
                cipher->blocks(cipher, key, plain, sealed, 1);
            exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
#ifdef NDEBUG
        assert_true(WIFEXITED(status));
#else
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#endif
    }
}

int main(void)
{
    dro_log_setup("test", DRO_LOG_NOTHING);
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        CLAIM(an_opening_that_fails_anywhere_is_told_and_the_next_is_good),
        CLAIM(without_secret_memory_all_goes_on_in_locked_memory),
        CLAIM(a_call_that_was_interrupted_is_made_again),
        CLAIM(who_comes_second_takes_the_first_ones_key),
        CLAIM(a_path_too_long_for_its_fresh_file_is_told),
        CLAIM(a_master_key_that_is_replaced_is_the_old_one_or_the_new_one),
        CLAIM(a_credential_of_systemd_is_read_and_not_ours),
        CLAIM(a_vault_beside_fails_with_the_memory_and_takes_nothing),
        CLAIM(a_domain_without_memory_is_refused_and_others_stay),
        CLAIM(what_is_of_no_domain_or_too_short_does_not_open),
        CLAIM(a_domain_has_two_keys_at_most_and_what_is_sealed_again_is_under_the_newest),
        CLAIM(a_master_key_of_another_user_is_refused),
        CLAIM(a_signature_that_cannot_be_made_is_told),
        CLAIM(a_cipher_that_is_wrong_is_not_used),
        CLAIM(openssl_is_there_whole_or_not_at_all),
        CLAIM(a_part_that_openssl_cannot_open_is_wiped),
        CLAIM(a_seal_that_openssl_cannot_make_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
