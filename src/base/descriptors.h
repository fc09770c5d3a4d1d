/* Descriptors: the limit of open ones. */
#pragma once

/* As many as the system lets this process and its children have. A failure is told in the log. */
void dro_descriptors_raise(void);
