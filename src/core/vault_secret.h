/* Memory for keys: a memfd_secret mapping where the kernel has it (then not even
 * the kernel maps it, and /proc, ptrace and a dump read nothing), else locked and
 * left out of dumps. Never inherited by a child. Zeroed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* NULL: no memory. *is_secret: it is memfd_secret. */
void *vault_secret_new(size_t bytes, bool *is_secret);
void vault_secret_free(void *memory, size_t bytes); /* wipes; NULL is fine */
